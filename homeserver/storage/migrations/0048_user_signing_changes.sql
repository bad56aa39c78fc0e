-- Where a local user's user-signing key changed last: only the user's own devices are told. Null for other keys.
ALTER TABLE cross_signing_keys ADD COLUMN log_position BIGINT;
