-- Rooms, their events, who is in them, and what unread counts are made of.

CREATE TABLE rooms (
    room_id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    current_root BYTES NOT NULL,
    heads BYTES NOT NULL,
    depth BIGINT NOT NULL,
    last_place BIGINT NOT NULL,
    is_published BOOLEAN NOT NULL,
    is_blocked BOOLEAN NOT NULL,
    is_partial BOOLEAN NOT NULL,
    purge_horizon BIGINT
);

CREATE INDEX rooms_published ON rooms (room_id) WHERE is_published;

-- `place` orders a room's events as this server shows them; `log_position` is null for what never was news.
CREATE TABLE events (
    event_nid BIGINT NOT NULL PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_id TEXT NOT NULL,
    log_position BIGINT,
    place BIGINT,
    type TEXT NOT NULL,
    sender TEXT NOT NULL,
    state_key TEXT,
    origin_server_ts BIGINT NOT NULL,
    verdict BIGINT NOT NULL,
    verdict_reason TEXT,
    form BIGINT NOT NULL,
    redacted_by TEXT,
    replaces_state TEXT,
    thread_id TEXT,
    transaction_device TEXT,
    transaction_id TEXT,
    root_before BYTES,
    root_after BYTES,
    pdu BYTES NOT NULL
);

CREATE UNIQUE INDEX events_by_place ON events (room_id, place) WHERE place IS NOT NULL;
CREATE INDEX events_by_position ON events (room_id, log_position) WHERE log_position IS NOT NULL;

-- The newest row of a room is its current state; older rows serve older sync tokens.
CREATE TABLE room_roots (
    room_id TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    root BYTES NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, log_position)
);

CREATE INDEX room_roots_by_age ON room_roots (written_ms);

-- Sync tokens of older positions than this are no longer honoured: what they would ask for was swept away.
CREATE TABLE sync_horizon (
    only_row BIGINT NOT NULL PRIMARY KEY,
    log_position BIGINT NOT NULL
);

INSERT INTO sync_horizon (only_row, log_position) VALUES (1, 0);

-- Who is in which room now: follows the current state, and is each user's index of rooms.
CREATE TABLE memberships (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    membership TEXT NOT NULL,
    event_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    place BIGINT NOT NULL,
    log_position BIGINT NOT NULL,
    display_name TEXT,
    avatar_url TEXT,
    is_local BOOLEAN NOT NULL,
    is_forgotten BOOLEAN NOT NULL,
    stripped_state BYTES,
    PRIMARY KEY (room_id, user_id)
);

CREATE INDEX memberships_by_user ON memberships (user_id, membership);

-- How memberships went: what a sync since an older token compares with.
CREATE TABLE membership_changes (
    user_id TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    before TEXT,
    membership TEXT NOT NULL,
    event_id TEXT NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, log_position, room_id)
);

CREATE INDEX membership_changes_by_room ON membership_changes (room_id, log_position);
CREATE INDEX membership_changes_by_age ON membership_changes (written_ms);

-- One row per event that says what it relates to, taken from its content when it was written.
CREATE TABLE relations (
    event_nid BIGINT NOT NULL PRIMARY KEY,
    room_id TEXT NOT NULL,
    relates_to TEXT NOT NULL,
    rel_type TEXT NOT NULL,
    aggregation_key TEXT,
    type TEXT NOT NULL,
    sender TEXT NOT NULL
);

CREATE INDEX relations_by_target ON relations (relates_to, rel_type);
CREATE INDEX relations_by_room ON relations (room_id);

-- A client's transaction ID and what became of it. The day comes first: whole days are forgotten, without an index.
CREATE TABLE client_transactions (
    day BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (day, user_id, device_id, scope, transaction_id)
) WITHOUT ROWID;

-- What an event does to unread counts: one row for each class of users whose push rules are equal.
CREATE TABLE class_notifications (
    room_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    class_key BYTES NOT NULL,
    thread_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    notify BOOLEAN NOT NULL,
    highlight BOOLEAN NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, class_key, place)
) WITHOUT ROWID;

CREATE INDEX class_notifications_by_age ON class_notifications (written_ms);

-- The few users for whom an event counts otherwise than for their class: the mentioned, the invited.
CREATE TABLE personal_notifications (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    thread_id TEXT NOT NULL,
    notify BOOLEAN NOT NULL,
    highlight BOOLEAN NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, place)
) WITHOUT ROWID;

CREATE INDEX personal_notifications_by_age ON personal_notifications (written_ms);
