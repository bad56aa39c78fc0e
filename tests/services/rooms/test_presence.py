"""Presence: told to those who share a room, together, and to nobody else."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import RoomID, ServerName, UserID, parse_user_id
from homeserver.core.presence import PresenceWord, Status
from homeserver.runtime.loops import Loops
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.rooms import presence as rules
from homeserver.services.rooms.presence import (
    FIRST_S,
    GATHER_S,
    LONGEST_STATUS_MSG,
    REMOTE_S,
    REPEAT_S,
    SWEEP_S,
    TELLING,
    Presence,
    Scope,
)
from homeserver.services.rooms.presence_views import PresenceViews
from homeserver.services.rooms.present_people import ACTIVE_S, GONE_AFTER_S
from homeserver.services.rooms.receipts import READ, Marker
from homeserver.services.rooms.serials import Serials
from tests.services.federation.others import FAR, FAY, NEAR, NED, join_remotely, leave_remotely
from tests.services.world import ALICE, BOB, CAROL, PHONE, SERVER, World, now

# Any: JSON, throughout.

ONLINE, OFFLINE = Status("online"), Status("offline")


class People:
    """A world whose users come and go, and what is told of that."""

    def __init__(self, world: World, presence: Presence | None = None, scope: Scope = Scope.ON) -> None:
        self.world = world
        self.serials = Serials()
        self.views = PresenceViews(self.serials)
        self.presence = presence or Presence(
            world.database, self.views, world.news, world.bell, world.clock, SERVER, scope
        )
        self.sent: list[tuple[ServerName, dict[UserID, str]]] = []
        self.presence.listen(
            lambda server, told: self.sent.append((server, {user: status.presence for user, status in told.items()}))
        )
        self.polls = ExitStack()
        self.presence.start(Loops(world.clock))

    def says(self, user_id: UserID, presence: PresenceWord = "online", status_msg: str | None = None) -> None:
        """Let a user say something, which others are not told yet."""
        self.presence.set_status(user_id, PHONE, user_id, presence, status_msg)

    def comes(self, *user_ids: UserID) -> None:
        """Let users begin to poll, and all be told."""
        for user_id in user_ids:
            self.polls.enter_context(self.presence.polling(user_id, PHONE, None))
        self.settle()

    def hears(self, user_id: UserID, status: Status = ONLINE, origin: ServerName = FAR) -> None:
        """Let another server say something of a user, and all be told."""
        self.presence.take_remote(origin, [(user_id, status)])
        self.settle()

    def settle(self) -> None:
        """Let the time pass after which everything was told."""
        self.world.clock.advance(2 * GATHER_S)

    def seen_by(self, user_id: UserID, serial: int = 0) -> dict[UserID, Any]:
        """Whom a user sees, and how."""
        return {other: content["presence"] for other, content in self.presence.presence_since(user_id, serial)}

    def woken(self, user_ids: list[UserID], action: Callable[[], None]) -> dict[UserID, int]:
        """How often each of these is woken meanwhile."""
        counts = dict.fromkeys(user_ids, 0)

        async def wait(user_id: UserID) -> None:
            while await self.world.bell.wait(user_id, 3_600):
                counts[user_id] += 1

        waiting = [Deferred.fromCoroutine(wait(user_id)) for user_id in user_ids]
        action()
        for one in waiting:
            one.addErrback(lambda _: None)
            one.cancel()
        return counts


@pytest.fixture
def people(world: World) -> People:
    return People(world)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """Alice's room with Bob."""
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    return room_id


def test_who_comes_is_told_to_those_who_share_a_room_and_to_the_user(people: People, room_id: RoomID) -> None:
    people.world.create_room(CAROL)

    people.comes(ALICE)

    assert people.seen_by(ALICE) == people.seen_by(BOB) == {ALICE: "online"}
    assert people.seen_by(CAROL) == {}


def test_who_goes_is_told_to_those_who_follow_and_not_to_those_who_begin(people: People, room_id: RoomID) -> None:
    with people.presence.polling(ALICE, PHONE, None):
        people.settle()
    before = people.serials.newest

    people.world.clock.advance(GONE_AFTER_S + GATHER_S)

    assert people.seen_by(BOB, before) == {ALICE: "offline"}
    assert people.seen_by(BOB) == {}


def test_many_changes_in_a_moment_are_one_read_and_wake_each_watcher_once(people: People, room_id: RoomID) -> None:
    world = people.world
    many = [parse_user_id(f"@user{number}:{SERVER}") for number in range(20)]
    for user_id in many:
        world.join(user_id, room_id)
    people.comes(BOB)
    reads = world.sync_database.counts.reads

    def change() -> None:
        for number in range(3):
            for user_id in many:
                people.says(user_id, "online", f"message {number}")
        people.settle()

    woken = people.woken([ALICE, CAROL, *many], change)

    assert woken == {ALICE: 1, CAROL: 0, **dict.fromkeys(many, 1)}
    assert world.sync_database.counts.reads - reads == 1
    assert len(people.seen_by(ALICE)) == 21


def test_changes_that_do_not_end_wake_nobody_more_often_than_they_are_gathered(people: People, room_id: RoomID) -> None:
    def change() -> None:
        for number in range(200):
            people.says(ALICE, "online", f"message {number}")
            people.world.clock.advance(0.1)

    at_first, later = people.woken([BOB], change), people.woken([BOB], change)

    assert 1 <= at_first[BOB] <= 20 / GATHER_S + TELLING.burst
    assert 1 <= later[BOB] <= 20 / GATHER_S + 1


def test_what_changes_after_a_quiet_time_is_told_soon_also_if_more_follows(people: People, room_id: RoomID) -> None:
    changes: tuple[PresenceWord, ...] = ("online", "unavailable", "online")
    for presence in changes:
        people.says(ALICE, presence)
        people.world.clock.advance(FIRST_S)

        assert people.seen_by(BOB)[ALICE] == presence


def test_users_see_themselves_before_others_do(people: People, room_id: RoomID) -> None:
    people.says(ALICE, "unavailable")

    [(user_id, own)] = people.presence.true_of([ALICE])

    assert (user_id, own["presence"]) == (ALICE, "unavailable")
    assert people.seen_by(BOB) == {}


def test_who_goes_and_comes_back_in_a_moment_is_no_news_and_no_read(people: People, room_id: RoomID) -> None:
    people.comes(ALICE)
    reads = people.world.sync_database.counts.reads

    def change() -> None:
        people.says(ALICE, "unavailable")
        people.says(ALICE, "online")
        people.settle()

    assert people.woken([ALICE, BOB], change) == {ALICE: 0, BOB: 0}
    assert people.world.sync_database.counts.reads == reads


def test_who_only_pauses_wakes_nobody_and_is_seen_by_whoever_looks(people: People, room_id: RoomID) -> None:
    people.comes(ALICE)

    woken = people.woken([ALICE, BOB], lambda: people.world.clock.advance(ACTIVE_S + GATHER_S))

    (content,) = (content for _, content in people.presence.presence_since(BOB, 0))
    assert (content["presence"], content["currently_active"]) == ("online", False)
    assert woken == {ALICE: 0, BOB: 0}


@pytest.mark.parametrize(
    "act",
    [
        lambda world, room_id: world.send(ALICE, room_id),
        lambda world, room_id: now(world.receipts.mark(ALICE, room_id, [Marker(READ, world.send(BOB, room_id))])),
        lambda world, room_id: now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=True)),
    ],
    ids=["sending", "reading", "typing"],
)
def test_who_does_something_is_active(world: World, room_id: RoomID, act: Callable[[World, RoomID], None]) -> None:
    people = People(world, world.presence)
    people.comes(ALICE)
    world.clock.advance(3_600)
    (idle,) = (content for _, content in world.presence.presence_since(BOB, 0))

    act(world, room_id)
    people.settle()

    (active,) = (content for _, content in world.presence.presence_since(BOB, 0))
    assert (idle["presence"], idle["currently_active"]) == ("unavailable", False)
    assert (active["presence"], active["currently_active"]) == ("online", True)
    assert active["last_active_ago"] < idle["last_active_ago"]


def test_a_status_is_shown_to_those_who_share_a_room(people: People, room_id: RoomID) -> None:
    people.says(ALICE, "unavailable", "away")

    expected = {"presence": "unavailable", "status_msg": "away", "last_active_ago": 0, "currently_active": False}
    for user_id in (ALICE, BOB):
        assert now(people.presence.status(user_id, ALICE)) == expected
    assert now(people.presence.status(ALICE, BOB)) == {"presence": "offline"}
    for user_id in (ALICE, UserID("@nobody:example.org"), FAY):
        with pytest.raises(Forbidden):
            now(people.presence.status(CAROL, user_id))


def test_one_speaks_for_oneself_and_not_for_long(people: People, room_id: RoomID) -> None:
    with pytest.raises(Forbidden):
        people.presence.set_status(BOB, PHONE, ALICE, "online", None)
    with pytest.raises(InvalidParameter):
        people.says(ALICE, "online", "x" * (LONGEST_STATUS_MSG + 1))
    people.settle()

    assert people.seen_by(BOB) == {}


# --- Who comes into a room, and who leaves it ---


def test_who_joins_is_told_of_those_there_and_they_of_the_user_and_nobody_anew(people: People, room_id: RoomID) -> None:
    people.comes(ALICE, CAROL)
    before = people.serials.newest

    people.world.join(CAROL, room_id)
    people.settle()

    assert people.seen_by(CAROL, before) == {ALICE: "online"}
    assert people.seen_by(ALICE, before) == people.seen_by(BOB, before) == {CAROL: "online"}


def test_who_leaves_is_told_nothing_more_at_once(people: People, room_id: RoomID) -> None:
    people.comes(ALICE, BOB)

    now(people.world.membership.kick(ALICE, room_id, BOB, None))

    assert people.seen_by(BOB) == {BOB: "online"}
    assert people.seen_by(ALICE) == {ALICE: "online"}
    people.says(ALICE, "unavailable")
    people.settle()
    assert people.seen_by(BOB) == {BOB: "online"}


def test_who_leaves_one_of_two_shared_rooms_sees_the_others_soon_again(people: People, room_id: RoomID) -> None:
    other = people.world.create_room(ALICE, preset="public_chat")
    people.world.join(BOB, other)
    people.comes(ALICE, BOB)

    def leave() -> None:
        now(people.world.membership.leave(BOB, room_id, None))
        people.settle()

    # The event of the leave wakes them; that they still see each other does not.
    assert people.woken([ALICE, BOB], leave) == {ALICE: 1, BOB: 1}
    assert people.seen_by(BOB) == people.seen_by(ALICE) == {ALICE: "online", BOB: "online"}


class Interrupted(Presence):
    """Somebody does something while the database is asked."""

    def __init__(self, world: World) -> None:
        super().__init__(world.database, PresenceViews(Serials()), world.news, world.bell, world.clock, SERVER)
        self.meanwhile: Callable[[], object] | None = None

    def _read(self, tx: Any, question: Any) -> Any:
        found = super()._read(tx, question)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_who_leaves_while_it_is_found_out_who_is_there_is_not_told(world: World, room_id: RoomID) -> None:
    world.join(CAROL, room_id)
    presence = Interrupted(world)
    here = People(world, presence)
    here.comes(BOB)
    presence.meanwhile = lambda: now(world.membership.leave(CAROL, room_id, None))

    here.comes(ALICE)

    assert here.seen_by(CAROL) == {}
    assert here.seen_by(BOB) == {ALICE: "online", BOB: "online"}


def test_who_leaves_one_of_two_rooms_meanwhile_is_told_soon(world: World, room_id: RoomID) -> None:
    other = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, other)
    presence = Interrupted(world)
    people = People(world, presence)
    people.comes(BOB)
    presence.meanwhile = lambda: now(world.membership.leave(BOB, room_id, None))

    people.comes(ALICE)
    people.settle()

    assert people.seen_by(BOB) == people.seen_by(ALICE) == {ALICE: "online", BOB: "online"}


def test_what_could_not_be_told_is_told_later(world: World, room_id: RoomID) -> None:
    def fail() -> None:
        raise ConnectionError

    presence = Interrupted(world)
    presence.meanwhile = fail
    people = People(world, presence)
    people.comes(ALICE)
    failed = people.seen_by(BOB)

    world.clock.advance(2 * SWEEP_S)

    assert (failed, people.seen_by(BOB)) == ({}, {ALICE: "online"})


# --- Other servers ---


def test_servers_that_share_a_room_are_told_of_all_at_once(people: People, room_id: RoomID) -> None:
    join_remotely(people.world, FAY, room_id)
    other = people.world.create_room(CAROL, preset="public_chat")
    join_remotely(people.world, NED, other)

    people.comes(ALICE, BOB)

    assert people.sent == [(FAR, {ALICE: "online", BOB: "online"})]


def test_servers_are_not_told_of_pauses_but_of_what_they_would_not_believe_much_longer(
    people: People, room_id: RoomID
) -> None:
    join_remotely(people.world, FAY, room_id)
    people.comes(ALICE)
    people.sent.clear()

    people.world.clock.advance(250)
    active = list(people.sent)
    people.world.clock.advance(REPEAT_S + SWEEP_S + GATHER_S)

    assert active == []
    assert people.sent == [(FAR, {ALICE: "unavailable"})] * 2


def test_a_server_that_comes_into_a_room_is_told_of_those_there(people: People, room_id: RoomID) -> None:
    people.comes(ALICE)

    join_remotely(people.world, FAY, room_id)
    people.settle()

    assert people.sent == [(FAR, {ALICE: "online"})]


def test_a_user_who_comes_into_a_room_is_told_to_the_servers_there(people: People, room_id: RoomID) -> None:
    join_remotely(people.world, FAY, room_id)
    people.comes(CAROL)

    people.world.join(CAROL, room_id)
    people.settle()

    assert people.sent == [(FAR, {CAROL: "online"})]


def test_another_server_is_believed_for_a_while(people: People, room_id: RoomID) -> None:
    join_remotely(people.world, FAY, room_id)
    people.hears(FAY)
    shown = people.seen_by(ALICE)
    people.world.clock.advance(REMOTE_S / 2)
    people.hears(FAY)
    people.world.clock.advance(REMOTE_S / 2)
    again = people.seen_by(ALICE)

    people.world.clock.advance(REMOTE_S / 2 + SWEEP_S)

    assert shown == again == {FAY: "online"}
    assert people.seen_by(ALICE) == {}
    assert people.seen_by(ALICE, 1) == {FAY: "offline"}


def test_of_those_who_share_no_room_nothing_is_kept(people: People, room_id: RoomID) -> None:
    join_remotely(people.world, FAY, room_id)
    leave_remotely(people.world, FAY, room_id)

    people.hears(FAY)
    people.hears(NED, origin=NEAR)
    people.hears(FAY, OFFLINE)

    assert len(people.views) == 0


def test_of_who_has_left_nothing_is_kept(people: People, room_id: RoomID) -> None:
    join_remotely(people.world, FAY, room_id)
    people.hears(FAY)

    leave_remotely(people.world, FAY, room_id)
    people.hears(FAY, Status("unavailable"))

    assert people.seen_by(ALICE) == {}
    assert len(people.views) == 0


def test_a_server_says_no_more_at_once_than_a_number(
    people: People, room_id: RoomID, monkeypatch: pytest.MonkeyPatch
) -> None:
    join_remotely(people.world, FAY, room_id)
    join_remotely(people.world, NED, room_id)
    monkeypatch.setattr(rules, "MOST_HEARD", 3)
    crowd = [(UserID(f"@user{number}:{FAR}"), ONLINE) for number in range(3)]

    people.presence.take_remote(FAR, [*crowd, (FAY, ONLINE)])
    people.hears(NED, origin=NEAR)

    assert people.seen_by(ALICE) == {NED: "online"}


def test_the_rest_of_many_changes_is_told_next(
    people: People, room_id: RoomID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_CHANGED", 1)
    join_remotely(people.world, FAY, room_id)
    join_remotely(people.world, NED, room_id)
    people.presence.take_remote(FAR, [(FAY, ONLINE)])
    people.presence.take_remote(NEAR, [(NED, ONLINE)])

    people.comes(ALICE, BOB)
    people.settle()

    assert people.seen_by(ALICE) == dict.fromkeys([ALICE, BOB, FAY, NED], "online")


@pytest.mark.parametrize("scope", [Scope.LOCAL, Scope.OFF])
def test_other_servers_hear_nothing_and_are_not_heard_unless_that_is_wanted(
    world: World, room_id: RoomID, scope: Scope
) -> None:
    people = People(world, scope=scope)
    join_remotely(world, FAY, room_id)

    people.comes(ALICE)
    people.hears(FAY)

    assert people.sent == []
    assert people.seen_by(BOB) == ({ALICE: "online"} if scope == Scope.LOCAL else {})


def test_where_presence_is_off_everybody_is_offline(world: World, room_id: RoomID) -> None:
    people = People(world, scope=Scope.OFF)
    people.comes(ALICE)
    people.says(ALICE, "online", "here")

    assert now(people.presence.status(BOB, ALICE)) == {"presence": "offline"}
    assert now(world.database.read(people.presence.near, BOB)) == []
    with pytest.raises(Forbidden):
        now(people.presence.status(CAROL, ALICE))
