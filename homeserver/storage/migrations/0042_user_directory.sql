-- Finding users by their names.

-- The words of the names by which users are known, and of their user IDs: those of accounts here, and of everybody in a
-- room. Who is found by them is decided when somebody looks.
CREATE TABLE user_words (
    word TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (word, user_id)
) WITHOUT ROWID;

CREATE INDEX user_words_by_user ON user_words (user_id);

-- Whether everybody may join or read the room; null until its state is looked at for the first time.
ALTER TABLE room_index ADD COLUMN is_public BOOLEAN;

-- Of the users who were here before, those after this one are still to be put into the directory; null: none.
ALTER TABLE search_progress ADD COLUMN users_after TEXT;

UPDATE search_progress SET users_after = '' WHERE EXISTS (SELECT 1 FROM memberships) OR EXISTS (SELECT 1 FROM users);
