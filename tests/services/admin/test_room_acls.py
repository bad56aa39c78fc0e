"""Which servers may take part, changed by administrators."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_acls import MOST_PATTERNS, AclChange, AclLists, RoomAcls
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from tests.services.world import ALICE, SERVER, World, now

NO_ROOM = RoomID("!none:example.org")


@pytest.fixture
def acls(shared_world: World) -> RoomAcls:
    return RoomAcls(shared_world.database, shared_world.event_creation, SERVER)


def content(world: World, room_id: RoomID) -> Any:  # Any: JSON
    return now(world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.server_acl", "", whole_event=False))


def test_servers_are_denied_and_let_in_again(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE)

    assert now(acls.show(room_id)) is None
    now(acls.change(room_id, AclChange(deny=["evil.example", "*.evil.example"], allow_ip_literals=False)))
    denied = content(shared_world, room_id)
    after = now(acls.change(room_id, AclChange(deny=["spam.example"], deny_no_more=["evil.example"])))

    assert denied == {"allow": ["*"], "deny": ["evil.example", "*.evil.example"], "allow_ip_literals": False}
    assert after == AclLists(["*"], ["*.evil.example", "spam.example"], allow_ip_literals=False)
    assert now(acls.show(room_id)) == after


def test_what_is_in_the_list_already_is_added_without_an_event(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE)
    now(acls.change(room_id, AclChange(deny=["evil.example"])))
    before = shared_world.history(ALICE, room_id)

    now(acls.change(room_id, AclChange(deny=["evil.example"], allow=["*"])))

    assert shared_world.history(ALICE, room_id) == before


def test_what_is_no_list_is_read_as_none_and_what_else_is_said_stays(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE)
    odd = {"allow": ["*", 7], "deny": "x", "note": "mine"}
    now(shared_world.sending.set_state(ALICE, room_id, "m.room.server_acl", "", odd))

    now(acls.change(room_id, AclChange(deny=["evil.example"])))

    assert content(shared_world, room_id) == {**odd, "deny": ["evil.example"]}


@pytest.mark.parametrize(
    "change",
    [
        AclChange(deny=["*.org"]),
        AclChange(allow_no_more=["*"]),
        AclChange(deny=["a b"]),
        AclChange(deny=[""]),
        AclChange(deny=["x" * 256]),
        AclChange(deny=[f"{number:0200}.example" for number in range(300)]),
        AclChange(deny=[f"{number}.example" for number in range(MOST_PATTERNS + 1)]),
    ],
)
def test_this_server_is_not_shut_out_and_patterns_are_server_names(
    shared_world: World, acls: RoomAcls, change: AclChange
) -> None:
    room_id = shared_world.create_room(ALICE)

    with pytest.raises(InvalidParameter):
        now(acls.change(room_id, change))

    assert now(acls.show(room_id)) is None


def test_what_is_not_there_and_what_nobody_may_is_refused(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE, room_version="11")
    powerless = {"users": {ALICE: 40}}
    now(shared_world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", powerless))

    with pytest.raises(NotFound):
        now(acls.change(room_id, AclChange(deny_no_more=["evil.example"])))
    with pytest.raises(Forbidden):
        now(acls.change(room_id, AclChange(deny=["evil.example"])))
    for unknown in (acls.show(NO_ROOM), acls.change(NO_ROOM, AclChange())):
        with pytest.raises(NotFound):
            now(unknown)


def test_servers_are_denied_and_forgiven(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE)

    now(acls.deny(room_id, ["b.example", "a.example"]))
    first = content(shared_world, room_id)
    now(acls.deny(room_id, ["*.c.example", "a.example"]))
    now(acls.forgive(room_id, ["b.example", "unknown.example"]))

    assert first == {"allow": ["*"], "deny": ["a.example", "b.example"]}
    assert content(shared_world, room_id) == {"allow": ["*"], "deny": ["a.example", "*.c.example"]}


def test_what_else_a_list_says_stays_and_what_changes_nothing_is_not_sent(shared_world: World, acls: RoomAcls) -> None:
    room_id = shared_world.create_room(ALICE)
    said = {"allow": ["*.example"], "deny": ["a.example", 7], "allow_ip_literals": False, "more": True}
    now(shared_world.sending.set_state(ALICE, room_id, "m.room.server_acl", "", said))

    now(acls.deny(room_id, ["a.example"]))
    same = content(shared_world, room_id)
    now(acls.deny(room_id, ["b.example"]))

    assert same == said
    assert content(shared_world, room_id) == {**said, "deny": ["a.example", "b.example"]}


def test_nothing_is_sent_without_the_power_or_beyond_what_an_event_may_hold(
    shared_world: World, acls: RoomAcls
) -> None:
    room_id, other = shared_world.create_room(ALICE), shared_world.create_room(ALICE, room_version="11")
    levels = {"users": {ALICE: 10}, "events": {"m.room.power_levels": 10}}
    now(shared_world.sending.set_state(ALICE, other, "m.room.power_levels", "", levels))

    with pytest.raises(InvalidParameter):
        now(acls.deny(room_id, [f"{number:0200}.example" for number in range(300)]))
    with pytest.raises(Forbidden):
        now(acls.deny(other, ["a.example"]))
    with pytest.raises(NotFound):
        now(acls.deny(RoomID("!unknown:example.org"), ["a.example"]))

    with pytest.raises(NotFound):
        content(shared_world, room_id)
