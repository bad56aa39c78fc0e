-- What an audit of a room needs: to know which states were given, and to find the events without a place.

-- The server whose word the state before the event rests on; null where it follows from what the event is built on.
ALTER TABLE events ADD COLUMN root_given_by TEXT;

CREATE INDEX events_outliers ON events (room_id, event_nid) WHERE place IS NULL;
