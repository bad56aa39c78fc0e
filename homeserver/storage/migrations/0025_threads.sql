-- Where an event that relates to another one is shown in the room: relations are read page by page.
ALTER TABLE relations ADD COLUMN place BIGINT NOT NULL DEFAULT 0;

UPDATE relations
   SET place = COALESCE((SELECT events.place FROM events WHERE events.event_nid = relations.event_nid), 0);

DROP INDEX relations_by_target;
DROP INDEX relations_by_room;
CREATE INDEX relations_by_type ON relations (room_id, relates_to, rel_type, place, sender);
CREATE INDEX relations_by_place ON relations (room_id, relates_to, place);
CREATE INDEX relations_by_sender ON relations (room_id, relates_to, sender, rel_type);

-- The threads of each room, and where the newest event of each is shown.
CREATE TABLE threads (
    room_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    latest_place BIGINT NOT NULL,
    PRIMARY KEY (room_id, root_id)
) WITHOUT ROWID;

INSERT INTO threads (room_id, root_id, latest_place)
SELECT room_id, relates_to, MAX(place) FROM relations WHERE rel_type = 'm.thread' GROUP BY room_id, relates_to;

CREATE INDEX threads_by_latest ON threads (room_id, latest_place);
