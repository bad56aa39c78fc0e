-- What users changed of their push rules; whoever changed nothing has no row.

CREATE TABLE push_rules (
    user_id TEXT NOT NULL PRIMARY KEY,
    log_position BIGINT NOT NULL,
    changes BYTES NOT NULL
);
