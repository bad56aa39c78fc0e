-- Which revisions made this schema.
CREATE TABLE schema_revisions (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_ms BIGINT NOT NULL
);

-- Named counters: the highest number that was given.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) WITHOUT ROWID;

-- The one row that says how far the change log goes.
CREATE TABLE log_position (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    value BIGINT NOT NULL
);

INSERT INTO log_position (only_row, value) VALUES (1, 0);
