"""Administrators who look at accounts and change them."""

from typing import Any

import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.accounts.moderation import AccountModeration
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.admin.users import MOST_PER_PAGE, UserAdministration, UserPage, Users, UserWish
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, ServiceError
from homeserver.storage.users import UserFilter
from tests.services.accounts.people import PASSWORD, register
from tests.services.world import ALICE, BOB, SERVER, World, now

ROOT = UserID(f"@root:{SERVER}")
NEW = "a new password"


@pytest.fixture
def administration(world: World) -> UserAdministration:
    register(world, "alice")
    return UserAdministration(
        world.database,
        world.registration,
        world.profiles,
        world.password_change,
        world.deactivation,
        AccountModeration(world.database, world.tokens, SERVER),
        world.tokens,
        SERVER,
    )


@pytest.fixture
def users(world: World) -> Users:
    return Users(world.database, SERVER, world.clock)


def shown(users: Users, user_id: UserID = ALICE) -> Any:
    return now(users.user(user_id)).listed


def log_in(world: World, password: str, name: str = "alice") -> None:
    now(world.login.with_password(name, password, DeviceWish()))


def test_an_account_is_made_with_all_that_is_wished(
    world: World, administration: UserAdministration, users: Users
) -> None:
    wish = UserWish(password=NEW, display_name="Bob", avatar_url=f"mxc://{SERVER}/a", is_admin=True)

    assert now(administration.put(BOB, wish, by=ROOT)) is True

    bob = shown(users, BOB)
    assert (bob.display_name, bob.avatar_url, bob.is_admin) == ("Bob", f"mxc://{SERVER}/a", True)
    log_in(world, NEW, "bob")


def test_what_is_not_wished_stays(world: World, administration: UserAdministration, users: Users) -> None:
    now(administration.put(ALICE, UserWish(display_name="Alice", is_admin=True), by=ROOT))

    assert now(administration.put(ALICE, UserWish(), by=ROOT)) is False

    assert (shown(users).display_name, shown(users).is_admin) == ("Alice", True)
    log_in(world, PASSWORD)


def test_who_is_locked_is_unlocked_and_made_an_administrator_at_once(
    administration: UserAdministration, users: Users
) -> None:
    now(administration.put(ALICE, UserWish(is_locked=True), by=ROOT))

    now(administration.put(ALICE, UserWish(is_locked=False, is_admin=True), by=ROOT))

    assert (shown(users).is_locked, shown(users).is_admin) == (False, True)


def test_an_account_without_a_password_lets_nobody_in(world: World, administration: UserAdministration) -> None:
    now(administration.put(BOB, UserWish(), by=ROOT))

    with pytest.raises(Forbidden):
        log_in(world, "", "bob")
    now(administration.reset_password(BOB, NEW, logs_devices_out=True))
    log_in(world, NEW, "bob")


@pytest.mark.parametrize(
    "wish",
    [
        UserWish(is_admin=True, password=""),
        UserWish(is_admin=True, display_name="x" * 257),
        UserWish(is_admin=True, avatar_url="https://example.org"),
        UserWish(is_admin=True, is_locked=True),
        UserWish(password=NEW, is_admin=True, is_locked=True),
    ],
)
def test_of_a_wish_of_which_something_is_refused_nothing_is_done(
    world: World, administration: UserAdministration, users: Users, wish: UserWish
) -> None:
    before = shown(users)

    for user_id in (ALICE, BOB):
        with pytest.raises(ServiceError):
            now(administration.put(user_id, wish, by=ROOT))

    assert shown(users) == before
    log_in(world, PASSWORD)
    with pytest.raises(NotFound):
        shown(users, BOB)


def test_names_that_cannot_be_and_users_of_other_servers_are_refused(administration: UserAdministration) -> None:
    for user_id in (f"@Bob:{SERVER}", f"@a b:{SERVER}", "@bob:elsewhere.example"):
        with pytest.raises(ServiceError):
            now(administration.put(UserID(user_id), UserWish(password=NEW), by=ROOT))


def test_a_closed_account_stays_closed(world: World, administration: UserAdministration, users: Users) -> None:
    now(administration.put(ALICE, UserWish(is_deactivated=True), by=ROOT))

    assert shown(users).is_deactivated
    for wish in (UserWish(is_deactivated=False), UserWish(password=NEW), UserWish(is_admin=True)):
        with pytest.raises(InvalidParameter):
            now(administration.put(ALICE, wish, by=ROOT))
    with pytest.raises(NotFound):
        now(administration.set_admin(ALICE, is_admin=True, by=ROOT))
    with pytest.raises(NotFound):
        now(administration.reset_password(ALICE, NEW, logs_devices_out=True))


def test_nobody_stops_being_an_administrator_by_themselves(administration: UserAdministration) -> None:
    now(administration.set_admin(ALICE, is_admin=True, by=ROOT))

    with pytest.raises(InvalidParameter):
        now(administration.set_admin(ALICE, is_admin=False, by=ALICE))
    with pytest.raises(InvalidParameter):
        now(administration.put(ALICE, UserWish(is_admin=False), by=ALICE))

    assert now(administration.is_admin(ALICE))
    now(administration.set_admin(ALICE, is_admin=False, by=None))
    assert not now(administration.is_admin(ALICE))


@pytest.mark.parametrize(
    "page",
    [
        UserPage(order="password_hash", is_descending=False, offset=0, limit=1),
        UserPage(order="name", is_descending=False, offset=0, limit=0),
        UserPage(order="name", is_descending=False, offset=-1, limit=1),
        UserPage(order="name", is_descending=False, offset=0, limit=MOST_PER_PAGE + 1),
    ],
)
def test_a_page_that_cannot_be_is_refused(users: Users, page: UserPage) -> None:
    with pytest.raises(InvalidParameter):
        now(users.page(UserFilter(), page))


def test_rooms_and_account_data_of_a_user_are_seen(
    world: World, administration: UserAdministration, users: Users
) -> None:
    register(world, "bob")
    room_id, other_id = world.create_room(ALICE, preset="public_chat"), world.create_room(ALICE, preset="public_chat")
    for each in (room_id, other_id):
        world.join(BOB, each)
    now(world.membership.leave(BOB, other_id, None))
    now(world.account_data.put(BOB, BOB, None, "org.example", {"a": 1}))

    assert now(users.joined_rooms(BOB)) == [room_id]
    assert now(users.memberships(BOB)) == {room_id: "join", other_id: "leave"}
    assert "org.example" in [one.type for one in now(users.account_data(BOB))]
    assert now(users.joined_rooms(UserID("@eve:elsewhere.example"))) == []
    for question in (users.joined_rooms, users.memberships, users.account_data):
        with pytest.raises(NotFound):
            now(question(ROOT))
