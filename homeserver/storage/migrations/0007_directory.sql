-- Names under which rooms are found.

CREATE TABLE room_aliases (
    room_alias TEXT NOT NULL PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX room_aliases_by_room ON room_aliases (room_id);
