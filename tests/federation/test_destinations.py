"""What administrators are told of another server: by Columba and by Synapse the same, for tools speak with both."""

import asyncio
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.people import PATIENCE_S, Person
from tests.federation.scenes import people, shared_room

pytestmark = pytest.mark.peers

# Any: JSON, throughout.

DESTINATIONS: Final = "/_synapse/admin/v1/federation/destinations"


async def ask(admin: Person, *path: str, query: str = "", method: str = "GET") -> Any:
    """What an administrator's tool is answered."""
    told = "/".join((DESTINATIONS, *(quote(segment, safe="") for segment in path)))
    return await admin.user.connection.call(method, told + query, {} if method == "POST" else None)


async def answers(admin: Person, destination: str, *, does: bool) -> Any:
    """What is told of a server once it is known whether it answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told = await ask(admin, destination)
            if (told["failure_ts"] is None) is does and (told["retry_last_ts"] == 0) is does:
                return told
            await admin.look(timeout_ms=200)


async def was_sent_something(admin: Person, destination: str, room_id: str) -> Any:
    """The rooms shared with a server, once it is known that it got something in this one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told = await ask(admin, destination, "rooms", query="?limit=500&dir=b")
            if {room["room_id"]: room["stream_ordering"] for room in told["rooms"]}.get(room_id):
                return told
            await admin.look(timeout_ms=200)


async def test_a_server_is_listed_with_its_rooms_and_asked_again_when_it_is_back(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    admin = await host.administrator()
    room_id = await shared_room(alice, bob)
    await alice.say(room_id, "hello")
    await bob.hears(room_id, "hello")
    name = guest.server_name

    rooms = await was_sent_something(admin, name, room_id)
    well = await answers(admin, name, does=True)
    listed = await ask(admin, query=f"?destination={quote(name)}&order_by=failure_ts&dir=b&limit=1")
    with pytest.raises(Refused) as needless:
        await ask(admin, name, "reset_connection", method="POST")
    guest.stop()
    await alice.say(room_id, "while you are away")
    failing = await answers(admin, name, does=False)
    again = await ask(admin, name, "reset_connection", method="POST")
    await guest.start()
    await bob.reaches(alice)
    await alice.reaches(bob)
    await answers(admin, name, does=True)

    assert well.keys() == failing.keys() == listed["destinations"][0].keys()
    assert (well["destination"], well["retry_last_ts"], well["retry_interval"]) == (name, 0, 0)
    assert isinstance(well["last_successful_stream_ordering"], int)
    assert (listed["destinations"][0]["destination"], listed["total"]) == (name, 1)
    assert rooms.keys() == {"rooms", "total"}
    assert rooms["rooms"][0].keys() == {"room_id", "stream_ordering"}
    assert needless.value.status == 400
    assert failing["failure_ts"] <= failing["retry_last_ts"]
    assert failing["retry_interval"] > 0
    assert again == {}
    with pytest.raises(Refused) as unknown:
        await ask(admin, "nowhere.example")
    assert unknown.value.status == 404
