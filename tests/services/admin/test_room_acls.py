"""Servers that rooms shut out, by the server's hand."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_acls import RoomAcls
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from tests.services.world import ALICE, World, now


@pytest.fixture
def acls(world: World) -> RoomAcls:
    return RoomAcls(world.event_creation)


def acl(world: World, room_id: RoomID) -> Any:  # Any: JSON
    viewer = world.viewer(ALICE)
    return now(world.timeline.state_event(viewer, room_id, "m.room.server_acl", "", whole_event=False))


def test_servers_are_denied_and_forgiven(world: World, acls: RoomAcls) -> None:
    room_id = world.create_room(ALICE)

    now(acls.deny(room_id, ["b.example", "a.example"]))
    first = acl(world, room_id)
    now(acls.deny(room_id, ["*.c.example", "a.example"]))
    now(acls.forgive(room_id, ["b.example", "unknown.example"]))

    assert first == {"allow": ["*"], "deny": ["a.example", "b.example"]}
    assert acl(world, room_id) == {"allow": ["*"], "deny": ["a.example", "*.c.example"]}


def test_what_else_a_list_says_stays_and_what_changes_nothing_is_not_sent(world: World, acls: RoomAcls) -> None:
    room_id = world.create_room(ALICE)
    content = {"allow": ["*.example"], "deny": ["a.example", 7], "allow_ip_literals": False, "more": True}
    now(world.sending.set_state(ALICE, room_id, "m.room.server_acl", "", content))

    now(acls.deny(room_id, ["a.example"]))
    same = acl(world, room_id)
    now(acls.deny(room_id, ["b.example"]))

    assert same == content
    assert acl(world, room_id) == {**content, "deny": ["a.example", "b.example"]}


def test_nothing_is_sent_without_the_power_or_beyond_what_an_event_may_hold(world: World, acls: RoomAcls) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE, room_version="11")
    levels = {"users": {ALICE: 10}, "events": {"m.room.power_levels": 10}}
    now(world.sending.set_state(ALICE, other, "m.room.power_levels", "", levels))

    with pytest.raises(InvalidParameter):
        now(acls.deny(room_id, [f"{number:0200}.example" for number in range(300)]))
    with pytest.raises(Forbidden):
        now(acls.deny(other, ["a.example"]))
    with pytest.raises(NotFound):
        now(acls.deny(RoomID("!unknown:example.org"), ["a.example"]))

    with pytest.raises(NotFound):
        acl(world, room_id)
