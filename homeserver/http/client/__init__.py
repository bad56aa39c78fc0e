"""Endpoints of the client-server API, in files named after the headings of the specification."""
