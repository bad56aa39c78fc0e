-- What is known of the devices of other servers' users who share a room with a local user.

-- A list is kept up to date by what the user's server sends: `stream_id` is the last update, null while none is known.
-- `checked_position`: where the change log was when the list was asked for; who has shared a room ever since is told
-- of each change. A stale list is asked for anew from `next_attempt_ms` on. `marks` counts what happened to the list.
CREATE TABLE remote_device_lists (
    user_id TEXT NOT NULL PRIMARY KEY,
    stream_id BIGINT,
    checked_position BIGINT NOT NULL,
    is_stale BOOLEAN NOT NULL,
    marks BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    next_attempt_ms BIGINT NOT NULL,
    looked_at_ms BIGINT NOT NULL
);

CREATE INDEX remote_device_lists_due ON remote_device_lists (next_attempt_ms) WHERE is_stale;
CREATE INDEX remote_device_lists_by_look ON remote_device_lists (looked_at_ms);

-- `keys` is the JSON that the device publishes, null for a device without keys. Cross-signing keys of these users are
-- among those of local users.
CREATE TABLE remote_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    keys BYTES,
    PRIMARY KEY (user_id, device_id)
);
