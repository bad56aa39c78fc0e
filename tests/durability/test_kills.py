"""What a client was told is done is done, once, whenever the server dies; and the database stays consistent.

Clients write without end, the server is killed at random moments and started again on the same data, the clients ask
again for what was not answered. SIGKILL leaves what the kernel has been given: what a power cut can take beyond that is
tried in tests/storage/test_database_durability.py.
"""

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.signing import SigningKey
from homeserver.storage.database import Backend
from homeserver.storage.postgresql import open_postgresql
from homeserver.storage.sqlite import open_sqlite
from tests.conftest import LargeRun
from tests.databases import SyncDatabase
from tests.durability.audit import audit
from tests.durability.load import NOTES, PROGRESS, Load
from tests.postgres import Postgres, start_postgres
from tests.server import Server, new_server
from tests.services.admin.own_keys import OwnKeys
from tests.users import User

SAMPLE: Final = 3
KILLS: Final = 10  # in one test; ten such tests make a whole run
PARTS: Final = 10
BUSY: Final = 60  # a kill comes after up to so many acknowledgements
MOMENT_S: Final = 0.02  # and up to so much later
START_S: Final = 1.0  # about how long the server takes to start: it is killed then too

pytestmark = pytest.mark.large


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Share the kills of a whole run among several tests."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(PARTS if metafunc.config.option.large == "whole" else 1))


@pytest.fixture
def chance(request: pytest.FixtureRequest, large_run: LargeRun) -> random.Random:
    return random.Random(f"{large_run.seed} {request.node.name}")


@pytest.fixture
def kills(large_run: LargeRun) -> int:
    return KILLS if large_run.whole else SAMPLE


@pytest.fixture(scope="module")
def mortal_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this file's own, which waits for the disk and may be killed."""
    server = start_postgres()
    yield server
    server.stop()


@pytest.fixture
def sqlite_server() -> Iterator[Server]:
    server = new_server()
    yield server
    server.close()


@pytest.fixture
def postgresql_server(mortal_postgres: Postgres) -> Iterator[Server]:
    url = mortal_postgres.url_of_empty_database()
    server = new_server(database=url)
    yield server
    server.close()
    mortal_postgres.drop(url)


def test_sqlite_keeps_what_was_acknowledged(
    sqlite_server: Server, tmp_path: Path, chance: random.Random, kills: int, part: int
) -> None:
    asyncio.run(be_killed(sqlite_server, lambda: copy_of(sqlite_server.sqlite_file, tmp_path), chance, kills))


def test_postgresql_keeps_what_was_acknowledged(
    postgresql_server: Server, chance: random.Random, kills: int, part: int
) -> None:
    url = postgresql_server.settings["database"]

    asyncio.run(be_killed(postgresql_server, lambda: open_postgresql(url), chance, kills))


def test_the_server_goes_on_when_postgresql_was_killed(
    postgresql_server: Server, mortal_postgres: Postgres, chance: random.Random, kills: int, part: int
) -> None:
    asyncio.run(lose_postgresql(postgresql_server, mortal_postgres, chance, kills))


async def be_killed(server: Server, database: Callable[[], Backend], chance: random.Random, kills: int) -> None:
    """Kill the server again and again, while it works and while it starts; judge its database each time."""
    server.start()
    load = Load(server.port.number, chance)
    async with asyncio.TaskGroup() as tasks:
        await load.begin(tasks)
        for _ in range(kills):
            await load.goes_on(chance.randrange(1, BUSY))
            await asyncio.sleep(chance.random() * MOMENT_S)
            load.is_up.clear()
            server.kill()
            if chance.random() < 0.3:
                server.launch()
                await asyncio.sleep(chance.random() * START_S)
                server.kill()
            judge(server, database())
            await asyncio.to_thread(server.start)
            load.is_up.set()
        await load.goes_on(BUSY)
        load.end()
    await find_everything(load)
    server.stop()
    judge(server, database())


async def lose_postgresql(server: Server, postgres: Postgres, chance: random.Random, kills: int) -> None:
    """Kill the database under the server again and again; the server itself is not touched."""
    server.has_expected_errors = True
    server.start()
    load = Load(server.port.number, chance)
    async with asyncio.TaskGroup() as tasks:
        await load.begin(tasks)
        for _ in range(kills):
            await load.goes_on(chance.randrange(1, BUSY))
            await asyncio.sleep(chance.random() * MOMENT_S)
            postgres.kill()
            await asyncio.to_thread(postgres.start_again)
            judge(server, open_postgresql(server.settings["database"]))
        await load.goes_on(BUSY)
        load.end()
    await find_everything(load)
    server.stop()
    judge(server, open_postgresql(server.settings["database"]))


def copy_of(file: Path, folder: Path) -> Backend:
    """An SQLite file as it was left, with its journal; the server is to find its own as it was."""
    copy = folder / "copy.db"
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        if (left := file.with_name(file.name + suffix)).exists():
            shutil.copyfile(left, copy.with_name(copy.name + suffix))
    return open_sqlite(copy)


def judge(server: Server, backend: Backend) -> None:
    """The database is consistent."""
    key = SigningKey.from_line((server.data_dir / "signing.key").read_text())
    database = SyncDatabase(backend)
    faults = database.read(audit, server.server_name, OwnKeys(ServerName(server.server_name), key))
    database.close()
    assert faults == []


async def find_everything(load: Load) -> None:
    """Whatever was acknowledged is there once, in the order in which each user said it; and nothing else was said."""
    assert load.asked_again > 0
    for room_id in load.rooms:
        history = await whole_history(load.talkers[0].user, room_id)
        found = [
            (event["sender"], event["content"]["body"], event["event_id"])
            for event in history
            if event["type"] == "m.room.message"
        ]
        for talker in load.talkers:
            of_talker = [(body, event_id) for sender, body, event_id in found if sender == talker.user.user_id]
            assert of_talker == [(said.body, said.event_id) for said in talker.said if said.room_id == room_id]
    for talker in load.talkers:
        user = talker.user
        for room_id, number in talker.progress.items():
            state = await user.call("GET", "rooms", room_id, "state", PROGRESS, user.user_id)
            assert state == {"number": number}
        if talker.notes is not None:
            notes = await user.call("GET", "user", user.user_id, "account_data", NOTES)
            assert notes == {"number": talker.notes}
    members = await load.talkers[0].user.call("GET", "rooms", load.rooms[0], "members")
    memberships = {event["state_key"]: event["content"]["membership"] for event in members["chunk"]}
    (membership,) = (memberships[user_id] for user_id in memberships if user_id.startswith("@wanderer:"))
    assert membership == load.membership


async def whole_history(user: User, room_id: str) -> list[dict[str, Any]]:  # Any: JSON
    """All events of a room, oldest first."""
    events: list[dict[str, Any]] = []
    query: dict[str, Any] = {"dir": "f", "limit": 100}
    while True:
        page = await user.call("GET", "rooms", room_id, "messages", query=query)
        events += page["chunk"]
        if "end" not in page:
            return events
        query["from"] = page["end"]
