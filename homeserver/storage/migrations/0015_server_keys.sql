-- Signing keys: those of other servers, and those that this server had before.

-- A key ID may stand for several keys. A key that events are signed by stays for good.
CREATE TABLE server_keys (
    server_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key BYTES NOT NULL,
    valid_until_ms BIGINT NOT NULL,
    expired_ms BIGINT,
    is_for_events BOOLEAN NOT NULL,
    fetched_ms BIGINT NOT NULL,
    fetched_from TEXT NOT NULL,
    document_digest BYTES NOT NULL,
    PRIMARY KEY (server_name, key_id, public_key)
) WITHOUT ROWID;

CREATE INDEX server_keys_for_requests ON server_keys (fetched_ms) WHERE NOT is_for_events;

-- The document in which a key was published last, as its server signed it: for servers that ask this one for keys.
CREATE TABLE server_key_documents (
    server_name TEXT NOT NULL,
    digest BYTES NOT NULL,
    document BYTES NOT NULL,
    PRIMARY KEY (server_name, digest)
) WITHOUT ROWID;

-- Every key that this server has ever signed by. expired_ms is null for the one in use, whose secret is in a file.
CREATE TABLE own_keys (
    key_id TEXT NOT NULL,
    public_key BYTES NOT NULL,
    expired_ms BIGINT,
    PRIMARY KEY (key_id, public_key)
) WITHOUT ROWID;
