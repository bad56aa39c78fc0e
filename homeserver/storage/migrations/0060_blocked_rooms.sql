-- Rooms in which this server takes no part, known here or not, and whoever decided that. For those that are known
-- here, rooms.is_blocked says the same. They stay blocked when all else of them is deleted.
CREATE TABLE blocked_rooms (
    room_id TEXT NOT NULL PRIMARY KEY,
    blocked_by TEXT,
    blocked_ms BIGINT NOT NULL
);
