-- What was done about a report, by whom (NULL: the owner of the server) and when, and what they noted for themselves.
ALTER TABLE reports ADD COLUMN resolution TEXT;
ALTER TABLE reports ADD COLUMN resolved_by TEXT;
ALTER TABLE reports ADD COLUMN resolved_ms BIGINT;
ALTER TABLE reports ADD COLUMN note TEXT;
