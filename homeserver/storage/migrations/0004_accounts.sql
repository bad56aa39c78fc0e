-- Accounts of this server, what they are logged in with, and how their users are shown.

CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    appservice_id TEXT,
    password_hash TEXT,
    created_ms BIGINT NOT NULL,
    is_admin BOOLEAN NOT NULL,
    is_deactivated BOOLEAN NOT NULL,
    is_erased BOOLEAN NOT NULL,
    is_locked BOOLEAN NOT NULL,
    is_suspended BOOLEAN NOT NULL,
    is_shadow_banned BOOLEAN NOT NULL,
    is_rate_limited BOOLEAN NOT NULL
);

CREATE INDEX users_by_age ON users (created_ms);

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_ms BIGINT NOT NULL,
    last_seen_ms BIGINT,
    last_seen_ip TEXT,
    last_seen_user_agent TEXT,
    PRIMARY KEY (user_id, device_id)
);

-- One login of a device. Its tokens are rows of their own; of a token only the SHA-256 hash is stored.
CREATE TABLE sessions (
    session_id BIGINT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX sessions_by_device ON sessions (user_id, device_id);

-- `replaces` is the hash of the refresh token that this one was got for, until this one is used.
CREATE TABLE access_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    session_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    replaces BYTES
);

CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);
CREATE INDEX access_tokens_by_session ON access_tokens (session_id);

CREATE TABLE refresh_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    session_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    replaces BYTES
);

CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- With these one logs in once, instead of with a password.
CREATE TABLE login_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX login_tokens_by_user ON login_tokens (user_id);
CREATE INDEX login_tokens_by_age ON login_tokens (expires_ms);

-- With these one may make an account, as often as each allows.
CREATE TABLE registration_tokens (
    token TEXT NOT NULL PRIMARY KEY,
    uses_allowed BIGINT,
    times_used BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT
);

CREATE TABLE profiles (
    user_id TEXT NOT NULL PRIMARY KEY,
    display_name TEXT,
    avatar_url TEXT
);

-- What else a profile holds; each value is JSON.
CREATE TABLE profile_fields (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value BYTES NOT NULL,
    PRIMARY KEY (user_id, name)
);
