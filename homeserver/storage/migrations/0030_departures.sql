-- The rooms that users left are many with time, and lists of rooms are made often: those are found that matter to them.

CREATE INDEX memberships_removed ON memberships (user_id)
 WHERE was_joined AND sender <> user_id AND membership IN ('leave', 'ban');
CREATE INDEX memberships_departed ON memberships (user_id, log_position) WHERE membership IN ('leave', 'ban');
