"""Users whom nobody hears: what they say is answered, and goes nowhere."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.services.errors import Forbidden
from homeserver.services.events.shadow_bans import ShadowBans, heard_of_membership
from homeserver.services.rooms.receipts import READ, READ_PRIVATE, Marker
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.database import Transaction
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership
from homeserver.storage.profiles import Profile, store_profile
from homeserver.storage.receipts import find_receipt
from tests.forked_rooms import BOB as BOB_OF_TWO
from tests.forked_rooms import TWO
from tests.scenes import Scene
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.

ELSEWHERE = UserID("@dave:elsewhere.example")


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room of Alice's, where Bob may do nearly everything and was not heard any more since."""
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    world.join(BOB, room_id)
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", {"users": {ALICE: 100, BOB: 99}}))
    world.shadow_bans.note(BOB, is_banned=True)
    return room_id


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def test_events_of_those_whom_nobody_hears_are_judged_and_not_added(world: World, room_id: RoomID) -> None:
    before = world.history(ALICE, room_id)

    first = world.send(BOB, room_id, "buy hats", "1")
    again = world.send(BOB, room_id, "buy hats", "1")
    other = world.send(BOB, room_id, "buy more hats", "2")
    now(world.sending.set_state(BOB, room_id, "m.room.name", "", {"name": "Hats"}))
    now(world.sending.redact(BOB, room_id, before[0]["event_id"], {}, None))

    assert first == again != other
    assert world.history(ALICE, room_id) == before
    world.shadow_bans.note(BOB, is_banned=False)
    world.send(BOB, room_id, "sorry")
    assert world.history(ALICE, room_id)[0]["content"]["body"] == "sorry"


def test_what_would_be_refused_is_refused(world: World, room_id: RoomID) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", {"users": {ALICE: 100}}))

    with pytest.raises(AuthRejected):
        now(world.sending.set_state(BOB, room_id, "m.room.name", "", {"name": "Hats"}))
    with pytest.raises(Forbidden):
        world.send(BOB, world.create_room(ALICE))
    with pytest.raises(AuthRejected):
        now(world.membership.ban(BOB, room_id, ALICE, None))
    with pytest.raises(Forbidden):
        now(world.typing.set_typing(BOB, BOB, world.create_room(ALICE), is_typing=True))


def test_nobody_is_invited_removed_or_knocked_at_by_them(world: World, room_id: RoomID) -> None:
    world.join(CAROL, room_id)
    closed = world.create_room(ALICE, room_version="11")
    now(world.sending.set_state(ALICE, closed, "m.room.join_rules", "", {"join_rule": "knock"}))

    now(world.inviting.invite(BOB, room_id, UserID("@erin:example.org"), None))
    now(world.inviting.invite(BOB, room_id, ELSEWHERE, None))
    now(world.membership.kick(BOB, room_id, CAROL, None))
    now(world.membership.ban(BOB, room_id, CAROL, None))
    assert now(world.membership.knock(BOB, closed, "buy hats")) == closed
    made = world.create_room(BOB, invite=(CAROL,), is_public=True)

    assert membership(world, room_id, CAROL) == "join"
    assert membership(world, room_id, UserID("@erin:example.org")) is None
    assert membership(world, room_id, ELSEWHERE) is None
    assert membership(world, closed, BOB) is None
    assert membership(world, made, CAROL) is None
    assert not now(world.directory.is_published(made))
    now(world.directory.publish(BOB, made, is_published=True, is_admin=False))
    assert not now(world.directory.is_published(made))


def test_they_come_and_go_without_a_word(world: World, room_id: RoomID) -> None:
    world.sync_database.write(store_profile, BOB, Profile("Buy hats", f"mxc://{BOB.partition(':')[2]}/hat"))

    now(world.membership.leave(BOB, room_id, "buy hats"))
    left = world.history(ALICE, room_id)[0]
    now(world.membership.join(BOB, room_id, "buy hats"))
    joined = world.history(ALICE, room_id)[0]
    content = {"membership": "join", "displayname": "Buy hats"}
    now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, content))

    assert (left["sender"], left["content"]) == (BOB, {"membership": "leave"})
    assert (joined["sender"], joined["content"]) == (BOB, {"membership": "join"})
    assert world.history(ALICE, room_id)[0]["event_id"] == joined["event_id"]


def test_into_rooms_elsewhere_they_come_without_a_word_and_knock_at_none(world: World) -> None:
    scene = Scene()
    scene.join_in_turn(BOB_OF_TWO)
    elsewhere = world.others.open(scene, TWO)
    world.sync_database.write(store_profile, ALICE, Profile("Buy hats", None))
    world.shadow_bans.note(ALICE, is_banned=True)

    assert now(world.anywhere.knock(ALICE, elsewhere, "buy hats", via=[TWO])) == elsewhere
    assert world.others.asked_for("make_knock") == []
    now(world.anywhere.join(ALICE, elsewhere, "buy hats", via=[TWO]))

    found = world.sync_database.read(find_membership, elsewhere, ALICE)
    assert found is not None
    assert (found.membership, found.display_name) == ("join", None)
    event = world.sync_database.read(events_by_id, [found.event_id])[found.event_id].event
    assert event.content == {"membership": "join"}


def test_a_room_is_not_replaced_by_them(world: World, room_id: RoomID) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", {"users": {ALICE: 100, BOB: 100}}))
    before = world.history(ALICE, room_id)

    replacement = now(world.upgrades.upgrade(BOB, room_id, "12"))

    assert replacement != room_id
    assert membership(world, replacement, BOB) is None
    assert world.history(ALICE, room_id) == before


def test_what_they_read_they_alone_see(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)

    now(world.receipts.mark(BOB, room_id, [Marker(READ, event_id)]))

    def kept(tx: Transaction) -> list[bool]:
        return [find_receipt(tx, room_id, BOB, kind, None) is not None for kind in (READ, READ_PRIVATE)]

    assert world.sync_database.read(kept) == [False, True]
    now(world.receipts.mark(BOB, room_id, [Marker(READ, event_id), Marker(READ_PRIVATE, event_id)]))
    assert world.sync_database.read(kept) == [False, True]


def test_they_neither_type_nor_are_there(world: World, room_id: RoomID) -> None:
    sync(world, ALICE)

    now(world.typing.set_typing(BOB, BOB, room_id, is_typing=True))
    world.presence.set_status(BOB, DeviceID("PHONE"), BOB, "online", "buy hats")
    with world.presence.polling(BOB, DeviceID("PHONE"), "online"):
        world.presence.note_activity(BOB)

    assert world.typing.typing_since(ALICE, 0) == []
    assert [content["presence"] for _, content in world.presence.true_of([BOB])] == ["offline"]


def test_their_devices_speak_with_each_other_alone(world: World) -> None:
    for user_id in (ALICE, BOB):
        world.sync_database.write(insert_account, Account(user_id, AccountKind.USER, 0))
    world.shadow_bans.note(BOB, is_banned=True)
    alices, bobs = (sync(world, user_id)["next_batch"] for user_id in (ALICE, BOB))

    messages = {user_id: {"*": {"a": 1}} for user_id in (ALICE, BOB, ELSEWHERE)}
    now(world.to_device.send(BOB, DeviceID("TABLET"), "m.thing", "1", messages))

    assert not sync(world, ALICE, since=alices).get("to_device")
    assert sync(world, BOB, since=bobs)


@pytest.mark.parametrize(
    ("content", "current", "heard"),
    [
        ({"membership": "join", "reason": "x"}, None, {"membership": "join"}),
        ({"membership": "join", "reason": "x"}, {"membership": "join"}, None),
        ({"membership": "leave", "x": 1}, {"membership": "join"}, {"membership": "leave"}),
        ({"membership": "knock"}, None, None),
        ({"membership": ["join"]}, None, None),
        (
            {"membership": "join", "join_authorised_via_users_server": "@a:b", "displayname": "x"},
            {"membership": "leave"},
            {"membership": "join", "join_authorised_via_users_server": "@a:b"},
        ),
    ],
)
def test_of_a_membership_only_coming_and_going_is_heard(
    content: Mapping[str, Any], current: Mapping[str, Any] | None, heard: Mapping[str, Any] | None
) -> None:
    assert heard_of_membership(content, current) == heard


def test_who_was_banned_is_known_after_a_restart(world: World) -> None:
    world.sync_database.write(insert_account, Account(ALICE, AccountKind.USER, 0, is_shadow_banned=True))
    world.sync_database.write(insert_account, Account(BOB, AccountKind.USER, 0))
    restarted = ShadowBans()

    now(restarted.load(world.database))

    assert ALICE in restarted
    assert BOB not in restarted
