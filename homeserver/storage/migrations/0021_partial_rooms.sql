-- Rooms into which this server came without being told of all their members.

-- What is still to be fetched is the state before `join_event_id`, which `given_by` knows, and perhaps others. The row
-- stays for a while after that, for clients that have not heard yet that the room is whole from `whole_position` on.
CREATE TABLE partial_rooms (
    room_id TEXT NOT NULL,
    join_event_id TEXT NOT NULL,
    given_by TEXT NOT NULL,
    whole_position BIGINT,
    whole_ms BIGINT,
    PRIMARY KEY (room_id, join_event_id)
);

CREATE INDEX partial_rooms_by_age ON partial_rooms (whole_ms) WHERE whole_ms IS NOT NULL;
