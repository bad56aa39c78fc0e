-- Who invited, removed or banned whom, by who did it: few events are of that kind.
CREATE INDEX events_on_members ON events (sender, origin_server_ts, event_nid)
 WHERE type = 'm.room.member' AND sender <> state_key;
