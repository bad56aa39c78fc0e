-- For how long a room keeps what is said in it, by its own state (m.room.retention; null: it does not say), and how far
-- what is older was removed: of the events from first_place on, those up to upto_place were looked at.
CREATE TABLE room_lifetimes (
    room_id TEXT NOT NULL PRIMARY KEY,
    max_lifetime_ms BIGINT,
    first_place BIGINT,
    upto_place BIGINT,
    removed BIGINT NOT NULL
);
