-- Who sent the event that a report is of: moderation bots want it, also when the event is gone.
ALTER TABLE reports ADD COLUMN sender TEXT;

UPDATE reports SET sender = (SELECT e.sender FROM events e WHERE e.event_id = reports.event_id)
 WHERE event_id IS NOT NULL;
