"""Measures of what the server costs, beside another homeserver on the same machine: `make bench`."""
