-- What users keep for themselves, and how far they have read.

-- `thread_id` is empty for a receipt that is for no thread; `place` is null while the event is not known here.
CREATE TABLE receipts (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    receipt_type TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    place BIGINT,
    ts BIGINT NOT NULL,
    log_position BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, receipt_type, thread_id)
);

CREATE INDEX receipts_by_position ON receipts (room_id, log_position);
CREATE INDEX receipts_by_user ON receipts (user_id);

-- `room_id` is empty for what belongs to no room. The tags of a room are its row of type m.tag.
CREATE TABLE account_data (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    type TEXT NOT NULL,
    content BYTES NOT NULL,
    log_position BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, type)
);

CREATE INDEX account_data_by_position ON account_data (user_id, log_position);
CREATE INDEX account_data_by_room ON account_data (room_id);

-- Filters for sync, named after what they say.
CREATE TABLE filters (
    user_id TEXT NOT NULL,
    filter_id TEXT NOT NULL,
    definition BYTES NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);
