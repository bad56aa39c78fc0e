"""Summaries of single rooms, here and elsewhere."""

from typing import Any, Final

import pytest

from homeserver.core.identifiers import ServerName, UserID
from homeserver.services.errors import NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.database import Transaction
from tests.services.rooms.test_hierarchy import tell, told
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.

FAR: Final = ServerName("far.example")


def summary(world: World, user_id: UserID | None, room: str, *via: str) -> Any:
    return now(world.room_summaries.summary(user_id, room, via=via))


def test_a_room_is_described_with_what_the_user_is_in_it(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Tea", topic="leaves", room_version="11")
    now(world.membership.ban(ALICE, room_id, CAROL, None))

    assert summary(world, BOB, room_id) == {
        "room_id": room_id,
        "name": "Tea",
        "topic": "leaves",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "room_version": "11",
    }
    assert summary(world, ALICE, room_id)["membership"] == "join"


def test_an_alias_will_do(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", alias_localpart="tea")

    assert summary(world, BOB, "#tea:example.org")["room_id"] == room_id


def test_a_restricted_room_says_who_is_let_in_to_those_who_are(world: World) -> None:
    lobby = world.create_room(ALICE, preset="public_chat")
    allow = [{"type": "m.room_membership", "room_id": lobby}]
    rules = InitialState("m.room.join_rules", "", {"join_rule": "restricted", "allow": allow})
    room_id = world.create_room(ALICE, preset="private_chat", initial_state=[rules])

    with pytest.raises(NotFound):
        summary(world, BOB, room_id)
    world.join(BOB, lobby)

    assert summary(world, BOB, room_id)["allowed_room_ids"] == [lobby]


def test_what_one_may_not_see_is_as_though_it_were_not_there(world: World) -> None:
    closed = world.create_room(ALICE, preset="private_chat")
    banned = world.create_room(ALICE, preset="public_chat")
    now(world.membership.ban(ALICE, banned, BOB, None))

    reasons = set()
    for user_id, room in ((BOB, closed), (None, closed), (BOB, banned), (BOB, "!nowhere:example.org")):
        with pytest.raises(NotFound) as refused:
            summary(world, user_id, room)
        reasons.add(refused.value.reason)

    assert len(reasons) == 1


def test_somebody_unknown_sees_what_everybody_may_and_no_membership(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Tea")

    shown = summary(world, None, room_id)

    assert shown["name"] == "Tea"
    assert "membership" not in shown


def test_a_room_elsewhere_is_described_by_the_servers_that_are_named(world: World) -> None:
    room_id = tell(world, FAR, told("!" + "a" * 43, "Far"))

    shown = summary(world, BOB, room_id, "no name at all/", FAR)

    assert shown["name"] == "Far"
    assert "children_state" not in shown
    assert world.others.asked_for("hierarchy") == [FAR]


def test_a_room_elsewhere_is_described_by_the_server_in_its_id(world: World) -> None:
    room_id = tell(world, FAR, told(f"!far:{FAR}", "Far"))

    assert summary(world, BOB, room_id)["name"] == "Far"


def test_for_somebody_unknown_no_other_server_is_asked(world: World) -> None:
    room_id = tell(world, FAR, told(f"!far:{FAR}", "Far"))

    with pytest.raises(NotFound):
        summary(world, None, room_id, FAR)

    assert world.others.asked == []


@pytest.mark.parametrize("rule", ["invite", "private", "restricted"])
def test_a_room_elsewhere_that_the_user_does_not_get_into_is_not_described(world: World, rule: str) -> None:
    room_id = tell(world, FAR, told(f"!far:{FAR}", "Far", join_rule=rule))

    with pytest.raises(NotFound):
        summary(world, BOB, room_id)


def test_an_alias_that_leads_elsewhere_is_followed(world: World) -> None:
    room_id = tell(world, FAR, told("!" + "a" * 43, "Far"))
    world.others.aliases[f"#far:{FAR}"] = (room_id, [FAR])

    assert summary(world, BOB, f"#far:{FAR}")["name"] == "Far"


def test_a_room_that_the_administrators_closed_is_not_described(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    tell(world, FAR, told(room_id, "Still there"))

    def close(tx: Transaction) -> None:
        tx.run("UPDATE rooms SET is_blocked = :yes WHERE room_id = :room_id", yes=True, room_id=room_id)

    world.sync_database.write(close)

    with pytest.raises(NotFound):
        summary(world, BOB, room_id, FAR)
    assert world.others.asked == []
