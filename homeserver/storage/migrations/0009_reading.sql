-- What unread counts begin with: where the user joined last, and what the user said last.

-- The place of the event with which the user came into the room last; null for who is not in it.
ALTER TABLE memberships ADD COLUMN joined_place BIGINT;

UPDATE memberships SET joined_place = COALESCE(
    (SELECT e.place FROM membership_changes c JOIN events e ON e.event_id = c.event_id
      WHERE c.user_id = memberships.user_id AND c.room_id = memberships.room_id AND c.membership = 'join'
        AND (c.before IS NULL OR c.before <> 'join')
      ORDER BY c.log_position DESC LIMIT 1),
    place)
 WHERE membership = 'join';

-- Who sends a message has read its thread up to there. `thread_id` is empty for what is in no thread.
CREATE TABLE sent_places (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, thread_id)
) WITHOUT ROWID;

CREATE INDEX sent_places_by_room ON sent_places (room_id);
