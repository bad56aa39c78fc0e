"""The only SQL: the database's door, and one file per family of tables."""
