"""The ground: building, authorising and storing events."""
