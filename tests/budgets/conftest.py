"""A world of services for every test, as those of services have it."""

from tests.services.conftest import backend, postgres, world

__all__ = ["backend", "postgres", "world"]
