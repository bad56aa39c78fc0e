"""What tools for administrators are answered: by Columba what Synapse itself answers them."""

import asyncio
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.people import PATIENCE_S, Person

pytestmark = pytest.mark.peers

# Any: JSON, throughout.

ADMIN: Final = "/_synapse/admin"
YEAR_2100_S: Final = 4_102_444_800


async def ask(admin: Person, method: str, path: str, *named: str, body: Any = None, query: str = "") -> Any:
    """What an administrator's tool is answered; each {} of the path is one of what is `named`."""
    told = path.format(*(quote(one, safe="") for one in named))
    return await admin.user.connection.call(method, f"{ADMIN}{told}{query}", body)


async def ended(admin: Person, path: str, name: str) -> Any:
    """The status of some work when it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while (status := await ask(admin, "GET", path, name))["status"] in ("scheduled", "active"):
            await admin.look(timeout_ms=200)
        return status


async def test_an_account_alone_is_told_of_in_seconds_and_in_a_list_in_milliseconds(host: Peer) -> None:
    admin = await host.administrator()

    alone = await ask(admin, "GET", "/v2/users/{}", admin.user_id)
    (listed,) = (await ask(admin, "GET", "/v3/users", query=f"?name={admin.localpart}"))["users"]
    changed = await ask(admin, "PUT", "/v2/users/{}", admin.user_id, body={"displayname": "Root"})

    assert 0 < alone["creation_ts"] < YEAR_2100_S < listed["creation_ts"]
    assert alone["creation_ts"] == changed["creation_ts"] == listed["creation_ts"] // 1000
    assert alone["admin"] is listed["admin"] is True


async def test_a_room_is_deleted_and_how_far_that_is_told_by_its_job_and_by_its_id(host: Peer) -> None:
    admin, alice = await host.administrator(), await host.person("alice")
    room_id = await alice.create_room(name="Den")

    begun = await ask(admin, "DELETE", "/v2/rooms/{}", room_id, body={})
    status = await ended(admin, "/v2/rooms/delete_status/{}", begun["delete_id"])
    (by_room,) = (await ask(admin, "GET", "/v2/rooms/{}/delete_status", room_id))["results"]
    tasks = await ask(admin, "GET", "/v1/scheduled_tasks", query=f"?resource_id={quote(room_id)}&status=complete")

    assert by_room == status
    assert (status["delete_id"], status["room_id"], status["status"]) == (begun["delete_id"], room_id, "complete")
    assert status["shutdown_room"] == {
        "kicked_users": [alice.user_id],
        "failed_to_kick_users": [],
        "local_aliases": [],
        "new_room_id": None,
    }
    assert [(task["id"], task["status"]) for task in tasks["scheduled_tasks"]] == [(begun["delete_id"], "complete")]


async def test_what_somebody_said_is_redacted_only_where_rooms_are_spoken_of_and_within_a_time(host: Peer) -> None:
    admin, alice = await host.administrator(), await host.person("alice")
    room_id = await alice.create_room(name="Den")
    said = await alice.say(room_id, "hats")
    said_ms = (await alice.get("rooms", room_id, "event", said))["origin_server_ts"]

    async def redact(**within: int) -> Any:
        wish = {"rooms": [room_id], "limit": None, **within}
        begun = await ask(admin, "POST", "/v1/user/{}/redact", alice.user_id, body=wish)
        status = await ended(admin, "/v1/user/redact_status/{}", begun["redact_id"])
        assert status["status"] == "complete"
        return (await alice.get("rooms", room_id, "event", said))["content"]

    with pytest.raises(Refused) as refused:
        await ask(admin, "POST", "/v1/user/{}/redact", alice.user_id, body={"reason": "spam"})

    assert refused.value.status == 400
    assert (await redact(after_ts=said_ms + 1))["body"] == "hats"
    assert (await redact(before_ts=said_ms - 1))["body"] == "hats"
    assert await redact(after_ts=said_ms, before_ts=said_ms) == {}


async def test_the_rooms_of_a_space_are_shown_to_who_is_in_none_and_its_heads_by_its_alias(host: Peer) -> None:
    admin, alice = await host.administrator(), await host.person("alice")
    garden = await alice.create_room(name="Garden", preset="private_chat")
    orchard = await alice.create_room(
        name="Orchard", preset="private_chat", creation_content={"type": "m.space"}, room_alias_name=alice.localpart
    )
    await alice.set_state(orchard, "m.space.child", {"via": [alice.server_name]}, garden)
    alias = f"#{alice.localpart}:{alice.server_name}"

    rooms = (await ask(admin, "GET", "/v1/rooms/{}/hierarchy", orchard))["rooms"]
    shallow = await ask(admin, "GET", "/v1/rooms/{}/hierarchy", orchard, query="?max_depth=0")
    deleted = await ask(admin, "DELETE", "/v1/rooms/{}/forward_extremities", alias)
    heads = await ask(admin, "GET", "/v1/rooms/{}/forward_extremities", alias)

    assert [(room["room_id"], room["name"], room["num_joined_members"]) for room in rooms] == [
        (orchard, "Orchard", 1),
        (garden, "Garden", 1),
    ]
    assert [room["room_id"] for room in shallow["rooms"]] == [orchard]
    assert rooms[0]["children_state"][0]["state_key"] == garden
    assert (deleted, heads["count"]) == ({"deleted": 0}, 1)
    assert {"event_id", "depth"} <= heads["results"][0].keys()
