-- Moderation policy lists that this server follows: rooms in whose state are rules. What a list does was said when it
-- was subscribed to: `on_server`, and `on_rooms` (none, given, all). `applied` is the digest of the rules that were
-- carried out wholly; a list that `ends` goes once what was done by it is undone.
CREATE TABLE policy_lists (
    room_id TEXT NOT NULL PRIMARY KEY,
    on_server BOOLEAN NOT NULL,
    on_rooms TEXT NOT NULL,
    subscribed_by TEXT,
    subscribed_ms BIGINT NOT NULL,
    applied BYTES,
    ends BOOLEAN NOT NULL
);

-- The rooms that a list with on_rooms = 'given' protects.
CREATE TABLE policy_list_rooms (
    list_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    PRIMARY KEY (list_id, room_id)
);

CREATE INDEX policy_list_rooms_by_room ON policy_list_rooms (room_id);

-- What was done because of a list, so that it can be undone: `kind` is ban, acl, block or refuse; `room_id` is where,
-- empty for the whole server.
CREATE TABLE policy_deeds (
    kind TEXT NOT NULL,
    room_id TEXT NOT NULL,
    entity TEXT NOT NULL,
    list_id TEXT NOT NULL,
    done_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, room_id, entity)
);

CREATE INDEX policy_deeds_by_list ON policy_deeds (list_id);
CREATE INDEX policy_deeds_by_room ON policy_deeds (room_id);

-- Up to which log position those who came into rooms were held against the lists. One row.
CREATE TABLE policy_position (
    one BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);
