"""Rooms after a parting: a gap is found, and closed by what can be asked for; several heads are made one."""

import asyncio
import json
from typing import Any

import pytest

from tests.federation.apart.islands import Islands
from tests.federation.apart.links import CUTS
from tests.federation.scenes import agree, people, shared_room

pytestmark = pytest.mark.large

# Any: JSON, throughout.


async def ask(three: Islands, *words: str) -> tuple[int, Any]:
    """What the second server's administrator is told; the links go on meanwhile."""
    done = await asyncio.to_thread(three.server(1).command, "admin", "room", *words, "--json")
    return done.returncode, json.loads(done.stdout)


async def test_a_gap_that_nobody_tells_of_is_found_and_closed_by_a_repair(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        await bob.say(room_id, "before")
        await alice.hears(room_id, "before")
        await three.cut([(0, 1)], CUTS[0])  # the second can ask the first, which cannot tell it anything
        for number in range(25):
            await alice.say(room_id, f"unheard {number}")
        await alice.set_state(room_id, "m.room.topic", {"topic": "unheard, too"})
        last = await alice.say(room_id, "the last that is not heard")

        apart, compared = await ask(three, "compare", room_id)
        repaired, job = await ask(three, "repair", room_id)
        together, compared_again = await ask(three, "compare", room_id)

        assert apart == 1
        assert last in compared["servers"][0]["newer"]
        assert (repaired, job["outcome"]["remaining_fault"], job["outcome"]["not"]) == (0, None, [])
        assert (together, compared_again["servers"][0]["finding"]) == (0, "agrees")
        assert compared_again["forward_extremities"] == [last]
        await bob.sees_state(room_id, "m.room.topic", {"topic": "unheard, too"})
        await three.heal()
        await agree(room_id, alice, bob)


async def test_heads_that_a_parting_left_are_made_one_and_the_servers_agree(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob, power_level_content_override={"users_default": 50})
        await three.cut([(0, 1), (1, 0)], CUTS[0])
        await alice.set_state(room_id, "m.room.topic", {"topic": "of one side"})
        await bob.set_state(room_id, "m.room.name", {"name": "of the other"})
        await three.heal()
        await bob.sees_state(room_id, "m.room.topic", {"topic": "of one side"})
        await alice.sees_state(room_id, "m.room.name", {"name": "of the other"})

        joined = await ask(three, "heads", room_id, "--join")
        again = await ask(three, "heads", room_id, "--join")
        status, (head) = await ask(three, "heads", room_id)

        assert (joined, again, status) == ((0, {"deleted": 1}), (0, {"deleted": 0}), 0)
        while (await alice.get("rooms", room_id, "messages", query={"dir": "b", "limit": 1}))["chunk"][0][
            "event_id"
        ] != head["event_id"]:
            await alice.look()
        await agree(room_id, alice, bob)
