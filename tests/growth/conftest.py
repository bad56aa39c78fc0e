"""A world of services for every test, on either kind of database."""

from tests.services.conftest import backend, postgres, world

__all__ = ["backend", "postgres", "world"]
