"""A raid: many accounts of two servers come into a public room at once and talk; it is stopped from the shell.

docs/moderation.md tells the same. What one pattern does is tried in tests/services/admin; here it has to be enough.
"""

from typing import Any, Final

import pytest

from homeserver.core.identifiers import UserID
from tests.api.client import Client
from tests.hostile.hostile_server import HostileServer, Room, Victim
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

SIZES: Final = [5, pytest.param(100, marks=pytest.mark.large)]  # of each of the two servers


def raiders_of(server: HostileServer, size: int) -> list[UserID]:
    return [UserID(f"@raider{number}:{server.name}") for number in range(size)]


def raid(server: HostileServer, room_id: str, size: int) -> Room:
    """Let so many accounts of a server join, and each of them say something."""
    first, *others = raiders_of(server, size)
    room = server.join(room_id, first)
    joins = [room.add(room.member(user_id, "join")) for user_id in others]
    said = [room.add(room.say("hats", sender=user_id)) for user_id in (first, *others)]
    server.send_all([*joins, *said])
    return room


def messages(alice: Client, room_id: str) -> list[Any]:
    events: list[Any] = []
    page: Any = {"end": None}
    while "end" in page:
        begin = {} if page["end"] is None else {"begin": page["end"]}
        page = alice.messages(room_id, limit=100, **begin)
        events += page["chunk"]
    return [event for event in events if event["type"] == "m.room.message"]


def wait_for_messages(alice: Client, room_id: str, count: int) -> None:
    """What servers send is taken up after it was acknowledged."""
    since = alice.token()
    while len(messages(alice, room_id)) < count:
        answer = alice.sync(since, timeout_ms=30_000)
        assert answer["next_batch"] != since, "nothing comes any more"
        since = answer["next_batch"]


@pytest.mark.parametrize("size", SIZES)
def test_a_raid_by_two_servers_is_stopped_in_five_commands_and_the_book_tells_who_did_it(
    victim: Victim, evil: HostileServer, authority: CertificateAuthority, alice: Client, size: int
) -> None:
    other = HostileServer(authority, victim.server, "127.0.0.67")
    room_id = alice.create_room(preset="public_chat", room_version="11", name="Salon")
    kept = alice.say(room_id, "ham")
    rooms = [raid(server, room_id, size) for server in (evil, other)]
    wait_for_messages(alice, room_id, 2 * size + 1)
    pattern = "@raider*:127.0.0.6?:*"

    def typed(*words: str, noun: str = "room") -> list[str]:
        done = victim.server.command("admin", noun, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    looked_at = typed("ban", pattern, "--all", "--dry-run")
    banned = typed("ban", pattern, "--all", "--reason", "raid", "--yes")
    redacted = typed("redact", room_id, "--by", pattern, "--since", "1h", "--reason", "raid", "--yes")
    typed("acl", "add", room_id, "127.0.0.66", "127.0.0.67")
    shown = typed("show", room_id)

    assert looked_at[-1] == f"Would ban {2 * size} users in 1 room. Nothing was changed."
    raiders = [user_id for server in (evil, other) for user_id in raiders_of(server, size)]
    assert sorted(banned) == sorted(f"{room_id}: {user_id} banned" for user_id in raiders)
    assert len(redacted) == 2 * size
    assert "Members: 1, of which 1 are of this server" in shown
    said = {event["event_id"]: event["content"] for event in messages(alice, room_id)}
    assert [event_id for event_id, content in said.items() if content] == [kept]
    assert len(alice.get("rooms", room_id, "members", query={"membership": "ban"})["chunk"]) == 2 * size
    # They come back neither by other accounts nor by what they send.
    late = rooms[0].say("hats again", sender=raiders[0])
    assert evil.send(late).keys() == {rooms[0].id_of(late)}
    assert evil.ask("GET", "make_join", room_id, f"@new:{evil.name}", query={"ver": ["11"]})[0] == 403
    assert len(messages(alice, room_id)) == len(said)
    acts = "\n".join(typed("audit", "--by", "owner", "--limit", "10", noun="server"))
    for act in ("members/ban", "rooms/{roomId}/redact", "rooms/{roomId}/acl"):
        assert f"POST /_columba/admin/v1/{act}" in acts
    other.close()
