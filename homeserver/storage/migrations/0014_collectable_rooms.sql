-- Rooms of which a merged state was replaced: some time later nothing will name it any more.
CREATE TABLE collectable_rooms (
    room_id TEXT NOT NULL PRIMARY KEY,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL
);

CREATE INDEX collectable_rooms_by_age ON collectable_rooms (first_ms);

-- What is known without a state around it, and may get one: then it names roots, under a number that it had before.
CREATE INDEX events_without_state ON events (room_id, event_nid) WHERE root_before IS NULL;
