"""The configuration file, read into frozen records; every mistake reported at once."""
