"""The client-server API over real HTTP, against the whole server as a process."""
