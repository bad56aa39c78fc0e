-- What lists of rooms are sorted and filtered by, and what clients that follow windows of such lists were told.

-- One row per room, kept up with its events. `active_position` is that of its newest event, `bump_position` that of the
-- newest by which it counts as active for people. `is_encrypted` is null, and type and name are not known, until the
-- room's state changes for the first time since this table is there.
CREATE TABLE room_index (
    room_id TEXT NOT NULL PRIMARY KEY,
    active_position BIGINT NOT NULL,
    bump_position BIGINT,
    room_type TEXT,
    name TEXT,
    is_encrypted BOOLEAN
);

INSERT INTO room_index (room_id, active_position, bump_position)
SELECT r.room_id,
       COALESCE((SELECT MAX(e.log_position) FROM events e WHERE e.room_id = r.room_id AND e.verdict = 0), 0),
       (SELECT MAX(e.log_position) FROM events e
         WHERE e.room_id = r.room_id AND e.verdict = 0
           AND e.type IN ('m.room.create', 'm.room.message', 'm.room.encrypted', 'm.sticker', 'm.call.invite',
                          'm.poll.start', 'org.matrix.msc3381.poll.start', 'm.beacon_info',
                          'org.matrix.msc3672.beacon_info'))
  FROM rooms r;

-- Whether the user has been in the room before: who never was is shown nothing of it but an invite or a knock.
ALTER TABLE memberships ADD COLUMN was_joined BOOLEAN NOT NULL DEFAULT FALSE;

UPDATE memberships SET was_joined = TRUE
 WHERE membership IN ('leave', 'ban')
   AND EXISTS (SELECT 1 FROM membership_changes c
                WHERE c.user_id = memberships.user_id AND c.room_id = memberships.room_id AND c.before = 'join');

-- Connections of clients. What the client was told when it had the number `acknowledged` is known, and when it will
-- have `newest`. `required_states` is a JSON list, to which the rows of rooms point.
CREATE TABLE sliding_connections (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    conn_id TEXT NOT NULL,
    connection_nid BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    newest BIGINT NOT NULL,
    required_states BYTES NOT NULL,
    written_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, conn_id)
);

CREATE INDEX sliding_connections_by_age ON sliding_connections (written_ms);

-- What was told of a room, from the answer of `number` on: everything, or what happened up to `upto_position`.
CREATE TABLE sliding_rooms (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    connection_nid BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    upto_position BIGINT,
    timeline_limit BIGINT NOT NULL,
    required_state BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, connection_nid, room_id, number)
) WITHOUT ROWID;

CREATE INDEX sliding_rooms_by_room ON sliding_rooms (room_id);
