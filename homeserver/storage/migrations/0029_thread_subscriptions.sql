-- Which threads users care about, and which they do not any more: what was said once may not come back by itself.
CREATE TABLE thread_subscriptions (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    is_subscribed BOOLEAN NOT NULL,
    is_automatic BOOLEAN NOT NULL,
    log_position BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, root_id)
) WITHOUT ROWID;

CREATE INDEX thread_subscriptions_by_position ON thread_subscriptions (user_id, log_position);
CREATE INDEX thread_subscriptions_by_thread ON thread_subscriptions (room_id, root_id);
