"""A server that is asked for an event that was lost on its way to a room's history, and answers what it likes.

Only the very event that was lost is put back, whoever gives it: with the ID that the room's other events name it by, as
its sender's server signed it.
"""

import contextlib
import json
from typing import Any

import apsw

from tests.api.client import Client
from tests.hostile.conftest import Breadth
from tests.hostile.hostile_server import HEAD, HostileServer, Refusal, Victim, always, check_goes_on, packed

# Any: JSON, throughout.

MIB = 1 << 20


def repaired(victim: Victim, room_id: str) -> tuple[int, Any]:
    """How a repair of a room ended, and what came of it."""
    done = victim.server.command("admin", "room", "repair", room_id, "--json")
    return done.returncode, json.loads(done.stdout)["outcome"]


def lose(victim: Victim, event_id: str) -> None:
    """The event's row is gone from the database."""
    with contextlib.closing(
        apsw.Connection(str(victim.server.sqlite_file), flags=apsw.SQLITE_OPEN_READWRITE)
    ) as writing:
        writing.set_busy_timeout(60_000)
        writing.execute("DELETE FROM events WHERE event_id = ?", (event_id,))


def test_no_lie_about_a_lost_event_is_put_in_its_place_and_the_truth_is(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    lost = room.add(room.build("org.example.thing", {"body": "the truth"}))
    last = room.add(room.say("after it"))
    assert evil.send(lost, last) == {room.id_of(lost): {}, room.id_of(last): {}}
    victim.settle()
    lost_id = room.id_of(lost)
    unsigned = {**lost, "signatures": {evil.name: {evil.key.key_id: "A" * 86}}}
    changed = {**lost, "content": {"body": "a lie"}, "depth": lost["depth"] + 1}
    forged = room.build("org.example.thing", {"body": "a lie"}, sender=alice.user_id)
    padded = {"pdus": [{**lost, "unsigned": {"padding": "x" * 2 * MIB}}]}
    lies: dict[str, Any] = {
        "another": {"pdus": [last]},
        "a wrong signature": {"pdus": [unsigned]},
        "too large": padded,
        "changed": {"pdus": [changed]},
        "forged": {"pdus": [forged]},
        "none": {"pdus": []},
        "no event": {"pdus": [7]},
        "refusal": Refusal(404, "M_NOT_FOUND"),
        "packed": packed(b'{"pdus":[{"body":"' + b"a" * 30_000_000 + b'"}]}'),
        "a length that lies": HEAD + b"Content-Length: 99999999999\r\n\r\n",
    }
    lose(victim, lost_id)

    for name, lie in breadth.of(lies, "another", "a wrong signature", "too large").items():
        evil.lies["event"] = always(lie)
        code, outcome = repaired(victim, room.room_id)
        assert (code, victim.keeps(lost_id)) == (1, False), name
        assert any(f"{lost_id} is lost, and no server gave it: {evil.name}: " in one for one in outcome["not"]), name
    evil.lies.clear()
    code, outcome = repaired(victim, room.room_id)

    assert (code, outcome["remaining_fault"]) == (0, None), outcome
    assert f"{lost_id} is lost, and was put back as {evil.name} gave it" in outcome["done"]
    assert alice.get("rooms", room.room_id, "event", lost_id)["content"] == {"body": "the truth"}
    assert not any(victim.keeps(room.id_of(pdu)) for pdu in (changed, forged))
    check_goes_on(room, victim, alice)
