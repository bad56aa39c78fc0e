-- When a server that does not answer was asked last: not known of those that failed before.
ALTER TABLE failing_destinations ADD COLUMN last_attempt_ms BIGINT;
