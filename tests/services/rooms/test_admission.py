"""How many invites and joins there may be, whichever way they are made."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from homeserver.core.identifiers import RoomAlias, RoomID, ServerName, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.http.errors import error_body
from homeserver.services.errors import Forbidden, LimitExceeded, RefusedAsSpam
from homeserver.services.events.creation import Draft
from homeserver.services.rate_limits import Counted
from homeserver.services.rooms.creation import RoomWishes
from homeserver.services.rooms.delayed_events import DelayedEvents
from homeserver.services.spam_checks import CheckedEvent, Installed, Refusal, SpamCheck
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.database import Backend
from homeserver.storage.memberships import find_membership
from tests.services.accounts.people import change_account
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

DAVE, ERIN = UserID(f"@dave:{SERVER}"), UserID(f"@erin:{SERVER}")
FAR = ServerName("far.example")
A_DAY_S = 86_400

Way = Callable[[World, RoomID, UserID], Coroutine[Any, Any, object]]


def invite(world: World, room_id: RoomID, target: UserID) -> Coroutine[Any, Any, object]:
    return world.inviting.invite(ALICE, room_id, target, None)


def invite_by_state(world: World, room_id: RoomID, target: UserID) -> Coroutine[Any, Any, object]:
    return world.sending.set_state(ALICE, room_id, "m.room.member", target, {"membership": "invite"})


def join(world: World, room_id: RoomID, user_id: UserID) -> Coroutine[Any, Any, object]:
    return world.anywhere.join(user_id, room_id, None)


def join_by_state(world: World, room_id: RoomID, user_id: UserID) -> Coroutine[Any, Any, object]:
    return world.sending.set_state(user_id, room_id, "m.room.member", user_id, {"membership": "join"})


@pytest.fixture
def counting(backend: Backend) -> Iterator[Callable[..., World]]:
    """Makes the one world of a test, in which something counts, and in which there are a few users."""
    made: list[World] = []

    def make(**bursts: int) -> World:
        world = World(backend, counted={Counted(name): RateLimit(0.001, burst) for name, burst in bursts.items()})
        made.append(world)
        for user_id in (ALICE, BOB, CAROL, DAVE, ERIN):
            world.sync_database.write(insert_account, Account(user_id, AccountKind.USER, 0))
        return world

    yield make
    for world in made:
        world.close()


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


@pytest.mark.parametrize("name", ["invites_by_user", "invites_to_room"])
@pytest.mark.parametrize("way", [invite, invite_by_state])
def test_a_user_or_a_room_has_so_many_invites_and_the_next_one_waits(
    counting: Callable[..., World], name: str, way: Way
) -> None:
    world = counting(**{name: 2})
    room_id = world.create_room()
    for target in (BOB, CAROL):
        now(way(world, room_id, target))

    with pytest.raises(LimitExceeded) as refused:
        now(way(world, room_id, DAVE))

    assert refused.value.retry_after_ms == 1_000_000
    assert membership(world, room_id, DAVE) is None
    world.clock.advance(1_000)
    now(way(world, room_id, DAVE))
    assert membership(world, room_id, DAVE) == "invite"


def test_a_user_is_invited_so_often_by_whomsoever(counting: Callable[..., World]) -> None:
    world = counting(invites_to_user=2)
    rooms = [(user_id, world.create_room(user_id)) for user_id in (ALICE, BOB, CAROL)]
    for user_id, room_id in rooms[:2]:
        now(world.inviting.invite(user_id, room_id, DAVE, None))

    user_id, room_id = rooms[2]
    with pytest.raises(LimitExceeded):
        now(world.inviting.invite(user_id, room_id, DAVE, None))

    now(world.inviting.invite(user_id, room_id, ERIN, None))


def test_what_a_new_room_is_to_begin_with_counts_and_without_it_there_is_no_room(
    counting: Callable[..., World],
) -> None:
    world = counting(invites_by_user=3)
    world.create_room(invite=[BOB, CAROL])

    with pytest.raises(LimitExceeded):
        world.create_room(invite=[BOB, CAROL], alias_localpart="second")

    world.create_room(invite=[BOB], alias_localpart="second")


def test_invites_of_users_of_other_servers_count_before_their_server_is_asked(counting: Callable[..., World]) -> None:
    world = counting(invites_by_user=1)
    room_id = world.create_room(invite=[BOB])

    with pytest.raises(LimitExceeded):
        now(world.inviting.invite(ALICE, room_id, UserID(f"@fay:{FAR}"), None))

    assert world.others.asked == []


@pytest.mark.parametrize("way", [invite, invite_by_state])
def test_whom_policy_lists_bar_invites_nobody_unless_they_are_administrators(
    counting: Callable[..., World], way: Way
) -> None:
    world = counting()
    room_id = world.create_room()
    world.barred.add(ALICE)

    with pytest.raises(Forbidden, match="Policy lists"):
        now(way(world, room_id, BOB))
    with pytest.raises(Forbidden, match="Policy lists"):
        world.create_room(invite=[BOB])
    with pytest.raises(Forbidden, match="Policy lists"):
        now(invite(world, room_id, UserID(f"@fay:{FAR}")))

    assert membership(world, room_id, BOB) is None
    assert world.others.asked == []
    change_account(world, ALICE, is_admin=True)
    now(way(world, room_id, CAROL))
    assert membership(world, room_id, CAROL) == "invite"


def test_an_invite_that_is_refused_counts_nothing(counting: Callable[..., World]) -> None:
    world = counting(invites_by_user=1)
    room_id = world.create_room()
    for _ in range(3):
        with pytest.raises(Forbidden):
            now(world.inviting.invite(ALICE, room_id, ALICE, None))

    now(invite(world, room_id, BOB))

    assert membership(world, room_id, BOB) == "invite"


@pytest.mark.parametrize("way", [join, join_by_state])
def test_so_many_come_into_a_room_and_the_next_one_waits(counting: Callable[..., World], way: Way) -> None:
    world = counting(joins_to_room=2)
    room_id, another = world.create_room(preset="public_chat"), world.create_room(preset="public_chat")
    for user_id in (BOB, CAROL):
        now(way(world, room_id, user_id))

    with pytest.raises(LimitExceeded):
        now(way(world, room_id, DAVE))

    assert membership(world, room_id, DAVE) is None
    now(way(world, another, DAVE))


@pytest.mark.parametrize("way", [join, join_by_state])
def test_who_is_in_a_room_keeps_nobody_out_by_saying_so(counting: Callable[..., World], way: Way) -> None:
    world = counting(joins_to_room=2)
    room_id = world.create_room(preset="public_chat")
    for number in range(5):
        now(way(world, room_id, BOB))
        content = {"membership": "join", "displayname": f"{number}"}
        now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, content))

    now(way(world, room_id, CAROL))

    assert membership(world, room_id, CAROL) == "join"


def test_whom_an_administrator_exempted_is_not_counted(counting: Callable[..., World]) -> None:
    world = counting(invites_by_user=1, invites_to_room=1, joins_to_room=1)
    change_account(world, ALICE, is_rate_limited=False)
    for user_id in (BOB, CAROL, DAVE):
        change_account(world, user_id, is_rate_limited=False)
    room_id = world.create_room(preset="public_chat", invite=[BOB, CAROL])

    now(invite(world, room_id, DAVE))
    for user_id in (BOB, CAROL, DAVE):
        now(join(world, room_id, user_id))

    assert membership(world, room_id, DAVE) == "join"


class Refusing(SpamCheck):
    """Refuses one thing, and notes what it was asked about."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.asked: list[tuple[object, ...]] = []

    def _answer(self, question: str, *about: object) -> Refusal | None:
        if question != self.question:
            return None
        self.asked.append(about)
        return Refusal()

    async def may_send_event(self, event: CheckedEvent) -> Refusal | None:
        return self._answer("may_send_event", event.type, event.sender, event.content)

    async def may_invite(self, inviter: UserID, invitee: UserID, room_id: RoomID | None) -> Refusal | None:
        return self._answer("may_invite", inviter, invitee, room_id)

    async def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> Refusal | None:
        return self._answer("may_join", user_id, room_id, is_invited)

    async def may_create_room(self, user_id: UserID) -> Refusal | None:
        return self._answer("may_create_room", user_id)

    async def may_create_alias(self, user_id: UserID, room_alias: RoomAlias) -> Refusal | None:
        return self._answer("may_create_alias", user_id, room_alias)

    async def may_publish_room(self, user_id: UserID, room_id: RoomID | None) -> Refusal | None:
        return self._answer("may_publish_room", user_id, room_id)

    async def may_be_found(
        self, user_id: UserID, display_name: str | None, avatar_url: str | None, seeker: UserID
    ) -> Refusal | None:
        return self._answer("may_be_found", user_id, seeker)


@pytest.fixture
def refusing(backend: Backend) -> Iterator[Callable[[str], tuple[World, Refusing]]]:
    """Makes the one world of a test, in which a check refuses something."""
    made: list[World] = []

    def make(question: str) -> tuple[World, Refusing]:
        check = Refusing(question)
        world = World(backend, spam_checks=[Installed("refusing", check, 5, fails_open=True)])
        made.append(world)
        for user_id in (ALICE, BOB, CAROL, DAVE, ERIN):
            world.sync_database.write(insert_account, Account(user_id, AccountKind.USER, 0))
        return world, check

    yield make
    for world in made:
        world.close()


MESSAGE = {"body": "spam"}
ALIAS = RoomAlias(f"#a:{SERVER}")


@pytest.mark.parametrize(
    ("question", "way", "about"),
    [
        (
            "may_send_event",
            lambda world, room_id: world.sending.send_message(ALICE, room_id, "m.room.message", MESSAGE, None),
            ("m.room.message", ALICE, MESSAGE),
        ),
        (
            "may_send_event",
            lambda world, room_id: world.sending.set_state(ALICE, room_id, "m.room.topic", "", MESSAGE),
            ("m.room.topic", ALICE, MESSAGE),
        ),
        (
            "may_send_event",
            lambda world, room_id: DelayedEvents(
                world.database, world.event_creation, world.sending, world.clock, world.randomness, error_body
            ).schedule(Draft("m.room.message", ALICE, MESSAGE), room_id, 1_000, None),
            ("m.room.message", ALICE, MESSAGE),
        ),
        ("may_invite", lambda world, room_id: invite(world, room_id, BOB), (ALICE, BOB, "room")),
        ("may_invite", lambda world, room_id: invite_by_state(world, room_id, BOB), (ALICE, BOB, "room")),
        (
            "may_invite",
            lambda world, _: world.rooms.create_room(ALICE, RoomWishes(invite=[ALICE, BOB])),
            (ALICE, BOB, None),
        ),
        ("may_join", lambda world, room_id: join(world, room_id, BOB), (BOB, "room", False)),
        ("may_join", lambda world, room_id: join_by_state(world, room_id, BOB), (BOB, "room", False)),
        ("may_create_room", lambda world, _: world.rooms.create_room(ALICE, RoomWishes()), (ALICE,)),
        ("may_create_alias", lambda world, room_id: world.aliases.create(ALICE, ALIAS, room_id), (ALICE, ALIAS)),
        (
            "may_create_alias",
            lambda world, _: world.rooms.create_room(ALICE, RoomWishes(alias_localpart="a")),
            (ALICE, ALIAS),
        ),
        (
            "may_publish_room",
            lambda world, room_id: world.directory.publish(ALICE, room_id, is_published=True, is_admin=False),
            (ALICE, "room"),
        ),
        (
            "may_publish_room",
            lambda world, _: world.rooms.create_room(ALICE, RoomWishes(is_public=True)),
            (ALICE, None),
        ),
    ],
)
def test_what_a_check_refuses_is_not_done(
    refusing: Callable[[str], tuple[World, Refusing]],
    question: str,
    way: Callable[[World, RoomID], Coroutine[Any, Any, object]],
    about: tuple[object, ...],
) -> None:
    world, check = refusing("nothing")
    room_id = world.create_room(preset="public_chat")
    check.question = question
    before = world.database.counts.writes

    with pytest.raises(RefusedAsSpam):
        now(way(world, room_id))

    assert check.asked == [tuple(room_id if each == "room" else each for each in about)]
    assert world.database.counts.writes == before


def test_who_is_in_a_room_and_who_leaves_it_is_not_asked_about(
    refusing: Callable[[str], tuple[World, Refusing]],
) -> None:
    world, check = refusing("nothing")
    room_id = world.create_room(preset="public_chat")
    now(join(world, room_id, BOB))
    now(invite(world, room_id, CAROL))
    check.question = "may_join"

    now(join(world, room_id, BOB))
    now(world.anywhere.leave(BOB, room_id, None))
    with pytest.raises(RefusedAsSpam):
        now(join(world, room_id, CAROL))

    assert check.asked == [(CAROL, room_id, True)]


def test_whom_a_check_hides_is_not_found(refusing: Callable[[str], tuple[World, Refusing]]) -> None:
    world, check = refusing("nothing")
    room_id = world.create_room(preset="public_chat")
    now(join(world, room_id, BOB))
    found = now(world.user_directory.search(ALICE, "bob", None))
    check.question = "may_be_found"

    hidden = now(world.user_directory.search(ALICE, "bob", None))

    assert [one.user_id for one in found.users] == [BOB]
    assert list(hidden.users) == []
    assert check.asked == [(BOB, ALICE)]
