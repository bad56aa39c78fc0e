"""A world of services to audit, and a database server for the runs that end it."""

from tests.services.conftest import backend, postgres, world

__all__ = ["backend", "postgres", "world"]
