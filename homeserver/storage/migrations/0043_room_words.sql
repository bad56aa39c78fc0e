-- Finding rooms of the directory by the words of their names, topics and aliases, and sorting them by their members.

CREATE TABLE room_words (
    word TEXT NOT NULL,
    room_id TEXT NOT NULL,
    PRIMARY KEY (word, room_id)
) WITHOUT ROWID;

CREATE INDEX room_words_by_room ON room_words (room_id);

ALTER TABLE room_index ADD COLUMN joined_members BIGINT NOT NULL DEFAULT 0;

UPDATE room_index SET joined_members = (
    SELECT COUNT(*) FROM memberships m WHERE m.room_id = room_index.room_id AND m.membership = 'join');

-- Of the rooms that were here before, those after this one are still to be looked at; null: none.
ALTER TABLE search_progress ADD COLUMN rooms_after TEXT;

UPDATE search_progress SET rooms_after = '' WHERE EXISTS (SELECT 1 FROM rooms);
