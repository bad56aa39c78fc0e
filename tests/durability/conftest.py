"""A world of services to audit, and a database server for the runs that end it."""

from tests.services.conftest import world
from tests.storage.conftest import backend, postgres

__all__ = ["backend", "postgres", "world"]
