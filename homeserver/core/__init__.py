"""The Matrix protocol, pure: data in, data or an error out. No Twisted, SQL, files, sockets, clock or randomness."""
