"""Finding users: who is found by whom, under which name."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.user_directory import UserDirectory
from tests.services.accounts.people import register
from tests.services.rooms.related import ignore, redact
from tests.services.world import ALICE, BOB, CAROL, PHONE, World, now

WORLD_READABLE = InitialState("m.room.history_visibility", "", {"history_visibility": "world_readable"})


@pytest.fixture(autouse=True)
def accounts(world: World) -> None:
    for name in ("alice", "bob", "carol"):
        register(world, name)


def found(world: World, term: str, by: UserID = ALICE, limit: int | None = None) -> list[str]:
    return [user.user_id for user in now(world.user_directory.search(by, term, limit)).users]


def rename(world: World, user_id: UserID, name: str) -> None:
    now(world.profiles.set_field(Requester(user_id, PHONE, 1), user_id, "displayname", name))


def rename_in_room(world: World, user_id: UserID, room_id: RoomID, name: str) -> str:
    content: dict[str, Any] = {"membership": "join", "displayname": name}
    return now(world.sending.set_state(user_id, room_id, "m.room.member", user_id, content))


def private_room_of(world: World, *members: UserID) -> RoomID:
    room_id = world.create_room(members[0], invite=members[1:])
    for member in members[1:]:
        world.join(member, room_id)
    return room_id


def test_those_are_found_who_share_a_room(world: World) -> None:
    private_room_of(world, ALICE, BOB)

    assert found(world, "bob") == [BOB]
    assert found(world, "bob", by=CAROL) == found(world, "carol") == []


@pytest.mark.parametrize("wishes", [{"preset": "public_chat"}, {"initial_state": (WORLD_READABLE,)}])
def test_those_are_found_who_are_in_a_public_room(world: World, wishes: dict[str, Any]) -> None:
    room_id = world.create_room(BOB, **wishes)
    assert found(world, "bob") == [BOB]

    for event_type, content in (
        ("m.room.join_rules", {"join_rule": "invite"}),
        ("m.room.history_visibility", {"history_visibility": "shared"}),
    ):
        now(world.sending.set_state(BOB, room_id, event_type, "", content))
    assert found(world, "bob") == []


def test_those_are_found_who_are_in_a_room_of_the_directory(world: World) -> None:
    room_id = world.create_room(BOB)

    now(world.directory.publish(BOB, room_id, is_published=True, is_admin=False))

    assert found(world, "bob") == [BOB]


def test_all_accounts_are_found_where_the_operator_wants_it(world: World) -> None:
    rename(world, CAROL, "Caroline Lamb")
    world.user_directory = UserDirectory(world.database, world.spam_checks, finds_all=True)

    assert found(world, "lamb") == [CAROL]
    assert found(world, "bob") == [BOB]


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Robert Tables", "tab"),
        ("Robert Tables", "TABLES rob"),
        ("Robert Tables", "bob"),
        ("田中太郎", "田中"),
        ("田中太郎", "太"),
        ("김민준", "민준"),
        ("Örjan", "örj"),
        ("Robert", "@bob"),
        ("Robert", "@bob:example.org"),
        ("Robert", "@bob:exam"),
    ],
)
def test_names_and_ids_are_found_by_the_beginnings_of_their_words(world: World, name: str, term: str) -> None:
    private_room_of(world, ALICE, BOB)

    rename(world, BOB, name)

    assert found(world, term) == [BOB]


@pytest.mark.parametrize("term", ["ables", "robert smith", "@bob:other.org", "中田", "", "?!"])
def test_others_are_not_found(world: World, term: str) -> None:
    private_room_of(world, ALICE, BOB)
    rename(world, BOB, "Robert Tables 田中")

    assert found(world, term) == []


def test_a_name_that_is_gone_is_not_found(world: World) -> None:
    room_id = private_room_of(world, ALICE, BOB)
    rename(world, BOB, "Robert")
    rename(world, BOB, "Bobby")
    nickname = rename_in_room(world, BOB, room_id, "Admiral")

    assert found(world, "robert") == []
    assert found(world, "admiral") == [BOB]

    redact(world, BOB, room_id, EventID(nickname))
    assert found(world, "admiral") == []
    assert words_of_user(world, BOB) == {"bob", "bobby"}


def words_of_user(world: World, user_id: UserID) -> set[str]:
    rows = world.sync_database.read(
        lambda tx: tx.all("SELECT word FROM user_words WHERE user_id = :user_id", user_id=user_id)
    )
    return {row[0] for row in rows}


def test_a_name_in_a_room_is_known_to_those_in_it_alone(world: World) -> None:
    hidden = private_room_of(world, BOB, CAROL)
    private_room_of(world, ALICE, BOB)
    rename_in_room(world, BOB, hidden, "Agent")

    assert found(world, "agent", by=CAROL) == [BOB]
    assert found(world, "agent") == []


def test_users_are_shown_by_their_profiles(world: World) -> None:
    private_room_of(world, ALICE, BOB)
    rename(world, BOB, "Robert")
    now(world.profiles.set_field(Requester(BOB, PHONE, 1), BOB, "avatar_url", "mxc://example.org/picture"))

    user = now(world.user_directory.search(ALICE, "rob", None)).users[0]

    assert (user.display_name, user.avatar_url) == ("Robert", "mxc://example.org/picture")


def test_those_whom_one_ignores_are_not_found(world: World) -> None:
    private_room_of(world, ALICE, BOB)

    ignore(world, ALICE, BOB)

    assert found(world, "bob") == []


def test_those_who_left_are_not_found(world: World) -> None:
    room_id = private_room_of(world, ALICE, BOB)

    now(world.membership.leave(BOB, room_id, None))

    assert found(world, "bob") == []


@pytest.mark.parametrize("erase", [True, False])
def test_those_whose_accounts_are_closed_are_not_found(world: World, erase: bool) -> None:
    private_room_of(world, ALICE, BOB)
    world.user_directory = UserDirectory(world.database, world.spam_checks, finds_all=True)

    now(world.deactivation.deactivate(BOB, erase=erase))

    assert found(world, "bob") == []
    assert words_of_user(world, BOB) == set()


def test_who_is_called_just_so_comes_first_and_pages_end(world: World) -> None:
    for name in ("bobby", "bob.smith"):
        register(world, name)
    users = [UserID(f"@{name}:example.org") for name in ("bobby", "bob.smith", "bob")]
    private_room_of(world, ALICE, *users)

    assert found(world, "bob") == [BOB, users[1], users[0]]
    assert found(world, "bob", limit=1) == [BOB]
    assert now(world.user_directory.search(ALICE, "bob", 1)).is_limited
    assert not now(world.user_directory.search(ALICE, "bob", 3)).is_limited


def test_a_term_is_bounded(world: World) -> None:
    with pytest.raises(InvalidParameter):
        found(world, "x" * 256)
