"""A world of services for every test, on either kind of database: what lies there is read by SQL of the tests' own."""

from tests.services.conftest import world
from tests.storage.conftest import backend, postgres

__all__ = ["backend", "postgres", "world"]
