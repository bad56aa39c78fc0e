-- How fast a user may act instead of what the server's settings say; NULL: as they say.
ALTER TABLE users ADD COLUMN rate_per_second DOUBLE;
ALTER TABLE users ADD COLUMN rate_burst BIGINT;
