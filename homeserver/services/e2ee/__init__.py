"""End-to-end encryption as the server sees it: keys, backups, to-device messages."""
