-- The room in which the server speaks to a user of its own. Who was in one before, and left it, is invited to it again.
CREATE TABLE notice_rooms (
    user_id TEXT NOT NULL PRIMARY KEY,
    room_id TEXT NOT NULL
);

CREATE INDEX notice_rooms_by_room ON notice_rooms (room_id);
