"""Invites that other servers bring: to rooms of which versions, and from whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import ServerName, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import verify_event_signature
from homeserver.services.errors import Forbidden, IncompatibleRoomVersion, InvalidParameter, LimitExceeded
from homeserver.services.rate_limits import Counted
from tests.services.federation.others import FAR, FAY, NEAR, remote_event
from tests.services.federation.serving import Serving, invite_to
from tests.services.world import SERVER, now

# Any: JSON.


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


@pytest.fixture
def alice(serving: Serving) -> UserID:
    """A user of this server."""
    return serving.named("alice", "Alice")


def receive(
    serving: Serving, invite: EncodedEvent, state: Any, version: str | None = None, server: ServerName = FAR
) -> dict[str, Any]:
    event = invite.event
    named = version or event.version.name
    return now(serving.invites.receive(server, event.room_id, event.event_id, named, dict(event.pdu), state))


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_an_invite_is_signed_and_its_user_is_invited(serving: Serving, alice: UserID, version: str) -> None:
    invite, state = invite_to(alice, version)

    signed = receive(serving, invite, state)

    verify_event_signature(signed, invite.event.version, SERVER, serving.world.key.verify_key)
    assert serving.member(invite.event.room_id, alice) == "invite"


def test_a_version_that_is_not_known_here_is_named(serving: Serving, alice: UserID) -> None:
    invite, state = invite_to(alice)

    with pytest.raises(IncompatibleRoomVersion) as refused:
        receive(serving, invite, state, version="of the future")

    assert refused.value.room_version == "of the future"
    assert serving.member(invite.event.room_id, alice) is None


def test_an_old_server_brings_what_is_to_be_shown_inside_the_invite(serving: Serving, alice: UserID) -> None:
    invite, state = invite_to(alice, "2")
    event = invite.event
    pdu = {**event.pdu, "unsigned": {"invite_room_state": state}}

    signed = now(serving.invites.receive_old(FAR, event.room_id, event.event_id, pdu))

    assert SERVER in signed["signatures"]
    assert serving.member(event.room_id, alice) == "invite"


@pytest.mark.parametrize("unsigned", [None, [], {}, {"invite_room_state": 1}])
def test_an_old_server_may_show_nothing(serving: Serving, alice: UserID, unsigned: Any) -> None:
    invite, _ = invite_to(alice, "1")
    event = invite.event

    now(serving.invites.receive_old(FAR, event.room_id, event.event_id, {**event.pdu, "unsigned": unsigned}))

    assert serving.member(event.room_id, alice) == "invite"


def test_only_the_inviting_server_may_bring_it(serving: Serving, alice: UserID) -> None:
    invite, state = invite_to(alice)

    with pytest.raises(InvalidParameter):
        receive(serving, invite, state, server=NEAR)

    assert serving.member(invite.event.room_id, alice) is None


def test_a_server_that_the_room_shuts_out_does_not_invite(serving: Serving, alice: UserID) -> None:
    room_id = serving.room(room_version="11")
    serving.shut_out(room_id, FAR)
    invite = remote_event(serving.world, FAY, room_id, "m.room.member", {"membership": "invite"}, alice)

    with pytest.raises(Forbidden):
        receive(serving, invite, [])


@pytest.mark.parametrize(
    ("name", "is_other_room", "is_other_user"),
    [("invites_by_server", True, True), ("invites_to_user", True, False), ("invites_to_room", False, True)],
)
def test_a_server_brings_a_user_or_a_room_so_many_invites(
    tmp_path: Path, name: str, *, is_other_room: bool, is_other_user: bool
) -> None:
    serving = Serving(tmp_path, {Counted(name): RateLimit(0.001, 1)})
    alice, bob = serving.named("alice", "Alice"), serving.named("bob", "Bob")
    first, state = invite_to(alice, "11")
    receive(serving, first, state)
    target = bob if is_other_user else alice
    invite, state = invite_to(target, "12" if is_other_room else "11")

    with pytest.raises(LimitExceeded):
        receive(serving, invite, state)

    assert (invite.event.room_id == first.event.room_id) is not is_other_room
    assert serving.member(invite.event.room_id, bob) is None
    serving.world.clock.advance(1_000)
    receive(serving, invite, state)
    assert serving.member(invite.event.room_id, target) == "invite"
    serving.close()
