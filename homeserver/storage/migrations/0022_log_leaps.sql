-- Where the change log has leapt ahead: no position in between, both ends left out, was ever given by this database.
-- A position that is in one all the same was given by a database of which this one is an older copy.
CREATE TABLE log_leaps (
    upto_position BIGINT NOT NULL PRIMARY KEY,
    after_position BIGINT NOT NULL
);
