-- Until when a user may replace their cross-signing keys without showing a password: an administrator let them.
ALTER TABLE cross_signing_keys ADD COLUMN replaceable_until_ms BIGINT;
