-- How much another server may ask and send, where that is not what counts for all.
CREATE TABLE server_limits (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    rate_microhertz BIGINT NOT NULL,
    burst BIGINT NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (server, name)
);
