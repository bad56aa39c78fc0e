-- The state before the join, once it is all here and found to be right: what is known of the room becomes that state, in
-- several steps, whatever other servers may say later. No other table names the root until the last of them.
ALTER TABLE partial_rooms ADD COLUMN whole_root BYTES;
