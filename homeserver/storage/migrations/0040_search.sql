-- What is found by words: messages, and the names and topics of rooms.

-- One row per event that has words. `rowid` is the number of the event, negative for one that was brought in from a
-- room's past, so that a greater one is newer. The text itself stands in the event alone. Each database has its own way.
-- @sqlite
CREATE VIRTUAL TABLE search_index USING fts5 (
    words, room_id UNINDEXED,
    content='', contentless_delete=1, contentless_unindexed=1, detail='none', tokenize='ascii'
);
-- @postgresql
CREATE TABLE search_index (
    rowid BIGINT NOT NULL PRIMARY KEY,
    words TSVECTOR NOT NULL,
    room_id TEXT NOT NULL
);

CREATE INDEX search_index_by_words ON search_index USING gin (words);
-- @both
-- Of events that are older than the index those with smaller numbers than this are still to be put into it.
CREATE TABLE search_progress (
    only_row BIGINT NOT NULL PRIMARY KEY,
    below_nid BIGINT NOT NULL
);

INSERT INTO search_progress (only_row, below_nid) SELECT 1, COALESCE(MAX(event_nid), 0) + 1 FROM events;
