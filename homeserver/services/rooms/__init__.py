"""Rooms: creation, membership, sending, reading, the directory."""
