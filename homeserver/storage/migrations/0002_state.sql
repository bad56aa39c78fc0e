-- The nodes of the rooms' state maps. A node is named by the SHA-256 of its body, and never changes.
CREATE TABLE state_nodes (
    room_id TEXT NOT NULL,
    digest BYTES NOT NULL,
    body BYTES NOT NULL,
    PRIMARY KEY (room_id, digest)
) WITHOUT ROWID;
