-- Rooms that this server is not in, as far as its users are concerned with them: invited, knocking, or out again.

-- The event by which such a membership came, which is in no room here. The membership itself is a row of `memberships`
-- with the same event_id, so that whatever lists a user's rooms finds it there.
CREATE TABLE remote_memberships (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    version TEXT NOT NULL,
    told_by TEXT NOT NULL,
    pdu BYTES NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
