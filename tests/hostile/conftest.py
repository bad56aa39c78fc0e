"""Running servers of either kind of database, with a cast of people and rooms, and a judge of every answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

import pytest

from tests.api.client import Client, new_user
from tests.conftest import LargeRun
from tests.hostile.cast import SHARED_SECRET, Cast
from tests.hostile.hostile_server import HostileServer, Victim
from tests.hostile.judgement import Judge
from tests.hostile.tables import PostgreSQLTables, SQLiteTables, Tables
from tests.hostile.wire import Wire
from tests.postgres import Postgres
from tests.server import Server, running
from tests.storage.conftest import postgres
from tests.tls import CertificateAuthority

__all__ = ["postgres"]

T = TypeVar("T")
SAMPLE: Final = 8  # of the variants of one attack, in a large run that is not whole

SETTINGS: Final = {
    "registration": {"enabled": True, "require_token": False, "shared_secret": SHARED_SECRET},
    # An expired token, and whom else it may concern: nobody's token ends while the tests run.
    "access_token_lifetime_s": 24 * 60 * 60,
    "limits": {"body_bytes": "1M"},  # so that what is too large is soon sent
}
UNHURRIED: Final = ("-m", "tests.hostile.unhurried_server")


@pytest.fixture(scope="session")
def sqlite_server() -> Iterator[Server]:
    """A server on SQLite."""
    with running(settings=SETTINGS, program=UNHURRIED) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(postgres: Postgres) -> Iterator[Server]:
    """A server on PostgreSQL."""
    url = postgres.url_of_empty_database()
    with running(database=url, settings=SETTINGS, program=UNHURRIED) as server:
        yield server
    postgres.drop(url)


@pytest.fixture(scope="session")
def sqlite_judge(sqlite_server: Server) -> Iterator[Judge]:
    """A judge over the server on SQLite."""
    yield from judging(sqlite_server, SQLiteTables(sqlite_server.sqlite_file))


@pytest.fixture(scope="session")
def postgresql_judge(postgresql_server: Server) -> Iterator[Judge]:
    """A judge over the server on PostgreSQL."""
    yield from judging(postgresql_server, PostgreSQLTables(str(postgresql_server.settings["database"])))


def judging(server: Server, tables: Tables) -> Iterator[Judge]:
    """A judge for as long as the iteration lasts."""
    judge = Judge(Cast(server.url, server.server_name, tables), tables, Wire(server.port.number))
    yield judge
    judge.wire.close()
    tables.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that hostile servers have their certificates of."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def victim(authority: CertificateAuthority) -> Iterator[Victim]:
    """A server that speaks with others on the loopback interface; it goes on trying to reach those that are gone."""
    federation = {
        "ca_file": str(authority.file),
        "allow_private_addresses": True,
        "retry": {"first_s": 0.2, "factor": 2, "max_s": 10},
    }
    with running(settings={"federation": federation}) as server:
        made = Victim(server)
        yield made
        made.close()


@pytest.fixture
def evil(authority: CertificateAuthority, victim: Victim) -> Iterator[HostileServer]:
    """A hostile server that nobody has heard of yet."""
    made = HostileServer(authority, victim.server)
    yield made
    made.close()


@pytest.fixture
def alice(victim: Victim) -> Client:
    """Somebody on the server under attack."""
    return new_user(victim.server.url, "alice")


@dataclass(frozen=True, slots=True)
class Breadth:
    """How many of the variants of an attack are tried: one of each kind every day, in a large run a sample or all."""

    run: LargeRun | None
    name: str

    def of(self, variants: Mapping[str, T], *everyday: str) -> dict[str, T]:
        """Those to be tried; `everyday` are the ones of which the others are variants."""
        if self.run is None:
            return {name: variants[name] for name in everyday}
        if self.run.whole:
            return dict(variants)
        chance = Random(f"{self.run.seed} {self.name}")
        return dict(chance.sample(sorted(variants.items(), key=lambda one: one[0]), min(SAMPLE, len(variants))))


@pytest.fixture(params=["everyday", pytest.param("broad", marks=pytest.mark.large)])
def breadth(request: pytest.FixtureRequest, large_run: LargeRun) -> Breadth:
    """How broad an attack is."""
    return Breadth(large_run if request.param == "broad" else None, request.node.name)
