-- By what a database is known to be the one that ran last, and not an older copy of it: what stands in `mark` stands in a
-- file beside it, too. One-time keys with numbers up to `keys_upto` may have been handed out in a time that was forgotten.
CREATE TABLE continuity (
    only_row BIGINT NOT NULL PRIMARY KEY,
    mark TEXT,
    keys_upto BIGINT NOT NULL,
    broken_ms BIGINT NOT NULL
);

INSERT INTO continuity (only_row, mark, keys_upto, broken_ms) VALUES (1, NULL, 0, 0);

DROP INDEX one_time_keys_to_count;
CREATE INDEX one_time_keys_to_count ON one_time_keys (user_id, device_id, algorithm, number) WHERE claimed_ms IS NULL;
