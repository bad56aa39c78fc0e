-- What clients and other servers ask for by name or by time.

-- With these a user shows to a third party who they are, and nothing else can be done with them.
CREATE TABLE openid_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX openid_tokens_by_user ON openid_tokens (user_id);
CREATE INDEX openid_tokens_by_age ON openid_tokens (expires_ms);

-- The event of a room that is closest to a time.
CREATE INDEX events_by_time ON events (room_id, origin_server_ts, event_nid) WHERE place IS NOT NULL;
