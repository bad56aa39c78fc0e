"""Profiles: shown, changed, brought into rooms, bounded."""

from typing import Any

import orjson
import pytest

from homeserver.core.errors import BadJson
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, ProfileKeyTooLarge, ProfileTooLarge
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, PHONE, World, now

HER = Requester(ALICE, PHONE, 1)
AVATAR = "mxc://example.org/SEsfnsuifSDFSSEF"


@pytest.fixture(autouse=True)
def _people(world: World) -> None:
    register(world, "alice")
    register(world, "bob")


def profile(world: World, user_id: UserID = ALICE) -> Any:
    return orjson.loads(orjson.dumps(now(world.profiles.profile(user_id))))


def member(world: World, room_id: RoomID, user_id: UserID = ALICE) -> dict[str, Any]:
    events = world.history(ALICE, room_id)
    content: dict[str, Any] = next(event["content"] for event in events if event.get("state_key") == user_id)
    return content


def test_a_new_user_has_an_empty_profile(world: World) -> None:
    assert profile(world) == {}


@pytest.mark.parametrize("user_id", ["@nobody:example.org", "@alice:elsewhere.org"])
def test_whoever_is_unknown_has_no_profile(world: World, user_id: str) -> None:
    with pytest.raises(NotFound):
        profile(world, UserID(user_id))


def test_what_is_set_is_shown(world: World) -> None:
    fields = {"displayname": "Alice", "avatar_url": AVATAR, "m.tz": "Europe/Berlin", "org.example.pets": {"cats": 2}}

    for key, value in fields.items():
        now(world.profiles.set_field(HER, ALICE, key, value))

    assert profile(world) == fields
    for key, value in fields.items():
        assert orjson.loads(orjson.dumps(now(world.profiles.field(ALICE, key)))) == value


def test_a_field_that_is_not_set_is_not_found(world: World) -> None:
    for key in ("displayname", "m.tz"):
        with pytest.raises(NotFound):
            now(world.profiles.field(ALICE, key))


@pytest.mark.parametrize("key", ["displayname", "avatar_url", "m.tz"])
def test_what_is_deleted_is_gone_and_may_be_gone_already(world: World, key: str) -> None:
    now(world.profiles.set_field(HER, ALICE, key, AVATAR))

    now(world.profiles.delete_field(HER, ALICE, key))
    now(world.profiles.delete_field(HER, ALICE, key))

    assert profile(world) == {}


def test_an_empty_name_or_avatar_takes_it_away(world: World) -> None:
    for key in ("displayname", "avatar_url"):
        now(world.profiles.set_field(HER, ALICE, key, AVATAR))
        now(world.profiles.set_field(HER, ALICE, key, ""))

    assert profile(world) == {}


def test_null_is_a_value_of_a_field_of_ones_own(world: World) -> None:
    now(world.profiles.set_field(HER, ALICE, "org.example.nothing", None))

    assert profile(world) == {"org.example.nothing": None}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("displayname", None),
        ("displayname", 7),
        ("displayname", "x" * 257),
        ("avatar_url", None),
        ("avatar_url", "https://example.org/picture.png"),
        ("avatar_url", "mxc://example.org"),
        ("avatar_url", "mxc://-/../x"),
        ("avatar_url", "mxc://exa mple/x"),
        ("avatar_url", "mxc://example.org/" + "x" * 1000),
        ("Upper.case", 1),
        ("1.digit", 1),
        ("m.white space", 1),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(world: World, key: str, value: Any) -> None:
    with pytest.raises(InvalidParameter):
        now(world.profiles.set_field(HER, ALICE, key, value))

    assert profile(world) == {}


@pytest.mark.parametrize("value", [1.5, 2**60])
def test_a_value_is_canonical_json(world: World, value: Any) -> None:
    with pytest.raises(BadJson):
        now(world.profiles.set_field(HER, ALICE, "org.example.number", value))


def test_names_of_fields_end_at_255_bytes(world: World) -> None:
    now(world.profiles.set_field(HER, ALICE, "m." + "x" * 253, 1))

    with pytest.raises(ProfileKeyTooLarge):
        now(world.profiles.set_field(HER, ALICE, "m." + "x" * 254, 1))


def test_a_whole_profile_stays_below_64_kib(world: World) -> None:
    now(world.profiles.set_field(HER, ALICE, "org.example.one", "x" * 40_000))

    with pytest.raises(ProfileTooLarge):
        now(world.profiles.set_field(HER, ALICE, "org.example.two", "x" * 30_000))

    assert list(profile(world)) == ["org.example.one"]
    now(world.profiles.set_field(HER, ALICE, "org.example.one", "x" * 65_000))


def test_nobody_changes_another_users_profile_but_an_administrator(world: World) -> None:
    his = Requester(BOB, PHONE, 2)
    for refused in (
        world.profiles.set_field(his, ALICE, "displayname", "Mallory"),
        world.profiles.delete_field(his, ALICE, "displayname"),
    ):
        with pytest.raises(Forbidden):
            now(refused)

    administrator = Requester(BOB, PHONE, 2, is_admin=True)
    now(world.profiles.set_field(administrator, ALICE, "displayname", "Alice"))
    assert profile(world) == {"displayname": "Alice"}
    with pytest.raises(Forbidden):
        now(world.profiles.set_field(administrator, UserID("@eve:elsewhere.org"), "displayname", "Eve"))


def test_a_new_name_shows_in_all_joined_rooms(world: World) -> None:
    rooms = [world.create_room(ALICE, preset="public_chat") for _ in range(3)]
    world.join(BOB, rooms[0])

    now(world.profiles.set_field(HER, ALICE, "displayname", "Alice"))
    now(world.profiles.set_field(HER, ALICE, "avatar_url", AVATAR))

    for room_id in rooms:
        shown = {"membership": "join", "displayname": "Alice", "avatar_url": AVATAR}
        assert member(world, room_id) == shown
    assert "displayname" not in member(world, rooms[0], BOB)
    now(world.profiles.delete_field(HER, ALICE, "displayname"))
    assert member(world, rooms[0]) == {"membership": "join", "avatar_url": AVATAR}


def test_rooms_are_changed_together_and_not_where_nothing_changes(world: World) -> None:
    rooms = [world.create_room(ALICE) for _ in range(25)]
    writes = world.database.counts.writes

    now(world.profiles.set_field(HER, ALICE, "displayname", "Alice"))

    assert world.database.counts.writes == writes + 2
    assert all(member(world, room_id)["displayname"] == "Alice" for room_id in rooms)
    position = world.database.position
    now(world.profiles.set_field(HER, ALICE, "displayname", "Alice"))
    now(world.profiles.set_field(HER, ALICE, "m.tz", "Europe/Berlin"))
    assert world.database.position == position


def test_rooms_that_were_left_stay_as_they_were(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.leave(ALICE, room_id, None))

    now(world.profiles.set_field(HER, ALICE, "displayname", "Alice"))

    assert member(world, room_id) == {"membership": "leave"}


def test_who_joins_later_brings_the_profile(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    now(world.profiles.set_field(Requester(BOB, PHONE, 2), BOB, "displayname", "Bob"))

    world.join(BOB, room_id)

    assert member(world, room_id, BOB)["displayname"] == "Bob"
