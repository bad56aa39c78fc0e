"""Columba, a Matrix homeserver. Start reading at docs/architecture.md."""
