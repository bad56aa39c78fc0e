-- Other servers: which of them is in which room, what waits for them, and how they are reached.

-- From when until when a server had joined members in a room; `until_position` is null while it has. `is_given`: it is
-- there on another server's word, whatever the count.
CREATE TABLE room_servers (
    room_id TEXT NOT NULL,
    server TEXT NOT NULL,
    since_position BIGINT NOT NULL,
    until_position BIGINT,
    joined_count BIGINT NOT NULL,
    is_given BOOLEAN NOT NULL,
    ended_ms BIGINT,
    PRIMARY KEY (room_id, server, since_position)
);

CREATE INDEX room_servers_by_server ON room_servers (server, room_id);
CREATE INDEX room_servers_by_age ON room_servers (ended_ms) WHERE ended_ms IS NOT NULL;

-- @sqlite
INSERT INTO room_servers (room_id, server, since_position, until_position, joined_count, is_given, ended_ms)
SELECT room_id, substr(user_id, instr(user_id, ':') + 1), 0, NULL, COUNT(*), FALSE, NULL FROM memberships
 WHERE membership = 'join' GROUP BY 1, 2;

-- @postgresql
INSERT INTO room_servers (room_id, server, since_position, until_position, joined_count, is_given, ended_ms)
SELECT room_id, substr(user_id, strpos(user_id, ':') + 1), 0, NULL, COUNT(*), FALSE, NULL FROM memberships
 WHERE membership = 'join' GROUP BY 1, 2;

-- @both
-- Whether this server is to send the event to the others in the room.
ALTER TABLE events ADD COLUMN is_outgoing BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX events_outgoing ON events (log_position) WHERE is_outgoing;
CREATE INDEX events_outgoing_by_room ON events (room_id, log_position) WHERE is_outgoing;

-- Events that go to a server beside those in the room, too: that of a user who was removed, or is invited no more.
CREATE TABLE removal_notices (
    destination TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (destination, log_position)
);

CREATE INDEX removal_notices_by_position ON removal_notices (log_position);
CREATE INDEX removal_notices_by_room ON removal_notices (room_id);
CREATE INDEX removal_notices_by_age ON removal_notices (written_ms);

-- Where a device of a local user last changed, or went; `device_id` is empty for the keys that sign others.
-- `previous_position` is where anything of the user's changed before that.
CREATE TABLE device_updates (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    previous_position BIGINT,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

CREATE INDEX device_updates_by_position ON device_updates (log_position);
CREATE INDEX device_updates_by_age ON device_updates (written_ms);

CREATE INDEX receipts_of_all_rooms ON receipts (log_position);

-- Messages for devices of users of other servers: `edu` is the m.direct_to_device that is sent.
CREATE TABLE to_device_outbox (
    destination TEXT NOT NULL,
    log_position BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    edu BYTES NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (destination, log_position, message_id)
);

CREATE INDEX to_device_outbox_by_position ON to_device_outbox (log_position);
CREATE INDEX to_device_outbox_by_sender ON to_device_outbox (sender);
CREATE INDEX to_device_outbox_by_age ON to_device_outbox (written_ms);

-- Up to where all that is for a server was delivered, if `is_behind` says that there is more; and the transaction that
-- is under way: its events by their positions, its EDUs as they are sent.
CREATE TABLE outboxes (
    destination TEXT NOT NULL PRIMARY KEY,
    delivered_upto BIGINT NOT NULL,
    delivered_ms BIGINT,
    is_behind BOOLEAN NOT NULL,
    transaction_id TEXT,
    transaction_ms BIGINT,
    transaction_upto BIGINT,
    transaction_pdus BYTES,
    transaction_edus BYTES,
    to_device_position BIGINT,
    to_device_id TEXT
);

-- Up to where the change log was looked through for what is for other servers.
CREATE TABLE outgoing_position (
    only_row BIGINT NOT NULL PRIMARY KEY,
    log_position BIGINT NOT NULL
);

INSERT INTO outgoing_position (only_row, log_position) SELECT 1, value FROM log_position;

-- Servers that do not answer, and when they are asked again.
CREATE TABLE failing_destinations (
    destination TEXT NOT NULL PRIMARY KEY,
    failing_since_ms BIGINT NOT NULL,
    next_attempt_ms BIGINT NOT NULL,
    failures BIGINT NOT NULL
);

-- Which servers this one speaks with: names and globs.
CREATE TABLE server_rules (
    pattern TEXT NOT NULL PRIMARY KEY,
    is_blocked BOOLEAN NOT NULL,
    written_ms BIGINT NOT NULL
);
