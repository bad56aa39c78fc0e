"""The only home of outgoing connections."""
