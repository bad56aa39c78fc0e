"""Somebody with matrix-nio (libolm) and somebody with matrix-js-sdk (Rust crypto) in the same encrypted room."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nio
import pytest

from tests.api.client import PASSWORD
from tests.clients.nio_people import IS_ENCRYPTED, Person, person
from tests.clients.people import People, the_sdk
from tests.server import Server, running

pytestmark = pytest.mark.clients

WHOLE_TEST_S: Final = 150.0


class OtherPerson:
    """Somebody with matrix-js-sdk, who is told what to do from among those with matrix-nio. Any: JSON."""

    def __init__(self, people: People, credentials: dict[str, Any]) -> None:
        self._people = people
        self.user_id: str = credentials["user_id"]
        self.device_id: str = credentials["device_id"]

    async def does(self, act: str, **details: Any) -> Any:
        """Do something, while the others go on."""
        return await asyncio.to_thread(self._people.do, "jay", act, **details)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """The process with matrix-js-sdk."""
    the_sdk()
    clients = People(tmp_path / "log")
    yield clients
    clients.close()


@asynccontextmanager
async def two(people: People, server: Server, folder: Path) -> AsyncIterator[tuple[Person, OtherPerson]]:
    """Nina with matrix-nio, and Jay with matrix-js-sdk."""
    credentials = people.do("jay", "register", url=server.url, username="jay", password=PASSWORD)
    people.do("jay", "start", url=server.url, credentials=credentials)
    async with asyncio.timeout(WHOLE_TEST_S), person(server.url, "nina", folder / "nina") as nina:
        yield nina, OtherPerson(people, credentials)


async def talk(nina: Person, jay: OtherPerson, room_id: str) -> None:
    """They say something in turn, and each reads what the other said."""
    await jay.does("meet", room=room_id, other=nina.client.user_id)
    await nina.until(lambda: nina.meets(jay.user_id, jay.device_id, room_id))
    for number in range(3):
        await nina.say(room_id, f"from nina {number}")
        heard = await jay.does("hear", room=room_id, text=f"from nina {number}")
        assert (heard["sender"], heard["encrypted"]) == (nina.client.user_id, True)
        await jay.does("say", room=room_id, text=f"from jay {number}")
        assert await nina.heard.get() == (jay.user_id, f"from jay {number}", True)
    assert not nina.undecrypted


async def in_the_room_of_nina(people: People, server: Server, folder: Path) -> None:
    async with two(people, server, folder) as (nina, jay):
        created = await nina.client.room_create(invite=[jay.user_id], initial_state=[IS_ENCRYPTED])
        assert isinstance(created, nio.RoomCreateResponse), created
        await jay.does("join", room=created.room_id)
        await talk(nina, jay, created.room_id)


async def in_the_room_of_jay(people: People, server: Server, folder: Path) -> None:
    async with two(people, server, folder) as (nina, jay):
        room_id = (await jay.does("createRoom", invite=[nina.client.user_id]))["room_id"]
        await nina.join(room_id)
        await talk(nina, jay, room_id)


@pytest.mark.parametrize("journey", [in_the_room_of_nina, in_the_room_of_jay])
def test_people_with_two_kinds_of_clients_read_each_other(
    people: People, tmp_path: Path, journey: Callable[[People, Server, Path], Coroutine[None, None, None]]
) -> None:
    with running() as server:
        asyncio.run(journey(people, server, tmp_path))
