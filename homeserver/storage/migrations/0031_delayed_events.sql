-- Events that users gave to be sent later. `send_ms` is when; from `finalised_ms` on `outcome` says what became of one:
-- send, cancel or error. `reason` is whether somebody asked for that (action), or the time had come (delay). `error` is
-- JSON, as the client would have been answered.
CREATE TABLE delayed_events (
    delay_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    content BYTES NOT NULL,
    delay_ms BIGINT NOT NULL,
    running_since_ms BIGINT NOT NULL,
    send_ms BIGINT NOT NULL,
    finalised_ms BIGINT,
    outcome TEXT,
    reason TEXT,
    event_id TEXT,
    error BYTES
);

CREATE INDEX delayed_events_due ON delayed_events (send_ms) WHERE finalised_ms IS NULL;

CREATE INDEX delayed_events_by_age ON delayed_events (finalised_ms) WHERE finalised_ms IS NOT NULL;

CREATE INDEX delayed_events_by_user ON delayed_events (user_id);

CREATE INDEX delayed_events_by_room ON delayed_events (room_id);
