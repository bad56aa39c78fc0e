-- What end-to-end encryption needs of a server: public keys, signatures, encrypted backups, messages for devices.

-- What each device publishes of itself: JSON, signed by its owner.
CREATE TABLE device_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    keys BYTES NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- `slot` names user, device and algorithm in one value: one list asks for the keys of many devices.
-- A claimed key stays for a while, so that its upload, tried again, does not bring it back.
CREATE TABLE one_time_keys (
    number BIGINT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    slot TEXT NOT NULL,
    key BYTES NOT NULL,
    claimed_ms BIGINT,
    UNIQUE (user_id, device_id, algorithm, key_id)
);

CREATE INDEX one_time_keys_to_claim ON one_time_keys (slot, number) WHERE claimed_ms IS NULL;
CREATE INDEX one_time_keys_to_count ON one_time_keys (user_id, device_id, algorithm) WHERE claimed_ms IS NULL;
CREATE INDEX one_time_keys_by_age ON one_time_keys (claimed_ms) WHERE claimed_ms IS NOT NULL;

CREATE TABLE fallback_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    slot TEXT NOT NULL UNIQUE,
    key BYTES NOT NULL,
    is_used BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
);

-- Where each user's devices and keys last changed.
CREATE TABLE device_list_changes (
    user_id TEXT NOT NULL PRIMARY KEY,
    log_position BIGINT NOT NULL
);

CREATE INDEX device_list_changes_by_position ON device_list_changes (log_position);

-- The keys of a user that sign other keys; `payload` is JSON, with signatures that were verified on upload.
CREATE TABLE cross_signing_keys (
    user_id TEXT NOT NULL,
    usage TEXT NOT NULL,
    public_key TEXT NOT NULL,
    payload BYTES NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Verified signatures of users on their own keys: `key_id` is a device ID, or the master key's public part.
CREATE TABLE key_signatures (
    user_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    signing_key_id TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (user_id, key_id, signing_key_id)
);

-- Verified signatures on other users' master keys: for the eyes of their signers alone.
CREATE TABLE user_signatures (
    signer_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    signing_key_id TEXT NOT NULL,
    signature TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    PRIMARY KEY (signer_id, user_id, key_id, signing_key_id)
);

CREATE INDEX user_signatures_by_position ON user_signatures (signer_id, log_position);
CREATE INDEX user_signatures_by_target ON user_signatures (user_id);

-- The number of the newest version of a user's key backup, also once that is deleted: no number comes twice.
CREATE TABLE key_backup_numbers (
    user_id TEXT NOT NULL PRIMARY KEY,
    newest BIGINT NOT NULL
);

CREATE TABLE key_backups (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data BYTES NOT NULL,
    key_count BIGINT NOT NULL,
    etag BIGINT NOT NULL,
    PRIMARY KEY (user_id, version)
);

CREATE TABLE backed_up_keys (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    is_verified BOOLEAN NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    session_data BYTES NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);

-- Messages that wait for devices; `message` is the JSON that sync shows.
CREATE TABLE to_device_messages (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    message BYTES NOT NULL,
    PRIMARY KEY (user_id, device_id, log_position)
);
