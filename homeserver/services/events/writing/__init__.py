"""What a write to a room is made of: its events, its states, its graph, its members, its redactions."""
