"""Moderation policy lists carried out: as rules change, as users come, and after a restart."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.policy_subscriptions import Purpose
from homeserver.services.errors import NotFound
from homeserver.storage.blocked_rooms import find_block
from homeserver.storage.database import Database, Transaction
from homeserver.storage.policy_lists import Deed, DeedKind, OnRooms, note_watched
from tests.services.accounts.people import change_account, register
from tests.services.admin.policies import ON_ALL_ROOMS, ON_SERVER, Policies, membership, new_list, write_rule
from tests.services.federation.others import FAY, NED, join_remotely
from tests.services.world import ALICE, BOB, CAROL, World, now

P = ParamSpec("P")
T = TypeVar("T")
BAD_ROOM = RoomID("!bad:elsewhere.example")
READS_OF_A_WHOLE_PASS = 3 * 2  # in three rooms: their lists of servers, and their members


@pytest.fixture
def policies(world: World) -> Iterator[Policies]:
    opened = Policies(world)
    yield opened
    opened.close()


def public_room(world: World, *, creator: UserID = ALICE) -> RoomID:
    return world.create_room(creator, preset="public_chat", room_version="11")


def acl(world: World, room_id: RoomID) -> Any:  # Any: JSON
    viewer = world.viewer(ALICE)
    return now(world.timeline.state_event(viewer, room_id, "m.room.server_acl", "", whole_event=False))


def test_whom_a_new_list_names_is_banned_with_the_rules_reason_and_the_rest_stays(
    world: World, policies: Policies
) -> None:
    list_id, room_id = new_list(world), public_room(world)
    for user_id in (FAY, NED):
        join_remotely(world, user_id, room_id)
    write_rule(world, list_id, FAY)

    policies.subscribe(list_id)

    assert [membership(world, room_id, each) for each in (FAY, NED)] == ["ban", "join"]
    content = now(world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.member", FAY, whole_event=False))
    assert content == {"membership": "ban", "reason": "spam"}
    assert policies.noted() == [Deed(DeedKind.BAN, room_id, FAY, list_id)]
    (act,) = policies.acts()
    assert (act.act.actor, act.act.act, act.act.target) == ("policy_lists", "ban", FAY)
    assert act.end is not None
    assert act.end.status == 200


def test_rules_that_come_later_take_effect_and_those_that_go_are_undone(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    for user_id in (FAY, NED):
        join_remotely(world, user_id, room_id)
    policies.subscribe(list_id)
    seen = []

    def look() -> None:
        seen.append([membership(world, room_id, each) for each in (FAY, NED)])

    write_rule(world, list_id, "@*:far.example", key="one")
    look()
    write_rule(world, list_id, NED, key="one")
    look()
    write_rule(world, list_id, "", key="one")
    look()

    assert seen == [["ban", "join"], ["leave", "ban"], ["leave", "leave"]]
    assert policies.noted() == []


def test_who_comes_though_they_are_named_is_banned_at_once(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id)

    join_remotely(world, FAY, room_id)
    join_remotely(world, NED, room_id)

    assert [membership(world, room_id, each) for each in (FAY, NED)] == ["ban", "join"]


class Meanwhile(Database):
    """Passes everything on to a database; what it is `armed` with happens just before a position is noted."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.armed: list[Callable[[], object]] = []

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if fn is note_watched and self.armed:
            self.armed.pop()()
        return await self._inner.write(fn, *args, **kwargs)

    async def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._inner.read(fn, *args, **kwargs)


def test_a_rule_that_comes_while_it_is_noted_what_was_seen_takes_effect_at_once(world: World) -> None:
    database = Meanwhile(world.database)
    policies = Policies(world, watched=database)
    list_id, room_id = new_list(world), public_room(world)
    policies.subscribe(list_id)
    for user_id in (FAY, NED):
        join_remotely(world, user_id, room_id)

    database.armed.append(lambda: write_rule(world, list_id, NED))
    write_rule(world, list_id, FAY)
    world.clock.advance(0)

    assert database.armed == []
    assert [membership(world, room_id, each) for each in (FAY, NED)] == ["ban", "ban"]
    policies.close()


def test_only_rooms_that_were_given_are_protected(world: World, policies: Policies) -> None:
    list_id, given, other = new_list(world), public_room(world), public_room(world)
    write_rule(world, list_id, FAY)
    for room_id in (given, other):
        join_remotely(world, FAY, room_id)

    policies.subscribe(list_id, Purpose(on_rooms=OnRooms.GIVEN, rooms=(given,)))

    assert [membership(world, room_id, FAY) for room_id in (given, other)] == ["ban", "join"]


def test_a_list_that_is_only_watched_does_nothing(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    write_rule(world, list_id, FAY)
    write_rule(world, list_id, BAD_ROOM, kind="room")
    policies.subscribe(list_id, Purpose())

    join_remotely(world, FAY, room_id)

    assert membership(world, room_id, FAY) == "join"
    assert policies.acts() == []


def test_servers_are_shut_out_of_rooms_and_let_in_again(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    now(world.sending.set_state(ALICE, room_id, "m.room.server_acl", "", {"allow": ["*"], "deny": ["own.example"]}))
    for entity in ("Far.example", "near.example:8448", "own.example", "*"):
        write_rule(world, list_id, entity, kind="server")

    policies.subscribe(list_id)
    first = acl(world, room_id)
    write_rule(world, list_id, "", kind="server", key="rule:Far.example")
    second = acl(world, room_id)
    now(policies.subscriptions.unsubscribe(list_id, undo=True))

    assert first == {"allow": ["*"], "deny": ["own.example", "far.example", "near.example"]}
    assert second == {"allow": ["*"], "deny": ["own.example", "near.example"]}
    assert acl(world, room_id) == {"allow": ["*"], "deny": ["own.example"]}


def test_on_the_server_rooms_are_blocked_servers_refused_and_users_banned(world: World, policies: Policies) -> None:
    list_id, room_id, named = new_list(world), public_room(world), public_room(world)
    join_remotely(world, FAY, room_id)
    now(policies.destinations.set_rule("kept.example", is_blocked=True))
    write_rule(world, list_id, FAY)
    write_rule(world, list_id, BAD_ROOM, kind="room")
    write_rule(world, list_id, f"{named[:10]}*", kind="room")
    write_rule(world, list_id, list_id, kind="room")
    for entity in ("*.bad.example", "kept.example", "example.org"):
        write_rule(world, list_id, entity, kind="server")

    policies.subscribe(list_id, ON_SERVER)

    def blocked() -> list[bool]:
        return [world.sync_database.read(find_block, each) is not None for each in (BAD_ROOM, named, list_id, room_id)]

    def patterns() -> list[str]:
        return [rule.pattern for rule in policies.destinations.rules]

    assert membership(world, room_id, FAY) == "ban"
    assert blocked() == [True, True, False, False]
    assert patterns() == ["*.bad.example", "kept.example"]
    assert {deed.kind for deed in policies.noted()} == {DeedKind.BAN, DeedKind.BLOCK, DeedKind.REFUSE}

    now(policies.subscriptions.unsubscribe(list_id, undo=True))

    assert membership(world, room_id, FAY) == "leave"
    assert blocked() == [False] * 4
    assert patterns() == ["kept.example"]
    assert policies.lists.is_empty


def test_what_was_done_stays_when_undoing_was_not_asked_for(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    join_remotely(world, FAY, room_id)
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id)

    ended = now(policies.subscriptions.unsubscribe(list_id, undo=False))

    assert ended.is_complete
    assert membership(world, room_id, FAY) == "ban"
    assert policies.noted() == []
    with pytest.raises(NotFound):
        now(policies.subscriptions.unsubscribe(list_id, undo=False))


def test_what_another_list_wants_too_is_not_undone_before_that_one_goes(world: World, policies: Policies) -> None:
    first, second, room_id = new_list(world), new_list(world), public_room(world)
    join_remotely(world, FAY, room_id)
    for list_id in (first, second):
        write_rule(world, list_id, FAY)
        policies.subscribe(list_id)

    now(policies.subscriptions.unsubscribe(first, undo=True))
    between = membership(world, room_id, FAY)
    now(policies.subscriptions.unsubscribe(second, undo=True))

    assert between == "ban"
    assert membership(world, room_id, FAY) == "leave"


def test_a_ban_by_a_moderator_is_not_the_lists(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    now(world.membership.ban(ALICE, room_id, FAY, "before"))
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id)

    now(policies.subscriptions.unsubscribe(list_id, undo=True))

    assert membership(world, room_id, FAY) == "ban"


def test_administrators_and_the_powerful_are_not_banned_and_it_is_told_why(world: World, policies: Policies) -> None:
    list_id, room_id, foreign = new_list(world), public_room(world), public_room(world, creator=BOB)
    for name in ("alice", "bob", "carol"):
        register(world, name)
    change_account(world, CAROL, is_admin=True)
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    world.join(ALICE, foreign)
    for entity in (ALICE, CAROL):
        write_rule(world, list_id, entity)

    status = policies.subscribe(list_id)

    assert [membership(world, room_id, each) for each in (ALICE, BOB, CAROL)] == ["join"] * 3
    assert membership(world, foreign, ALICE) == "ban"
    obstacles = now(policies.subscriptions.status(status.followed.list.room_id)).obstacles
    assert set(obstacles) == {f"{ALICE} in {list_id}", f"{ALICE} in {room_id}"}
    assert all("power" in each for each in obstacles.values())


def test_a_room_without_power_is_left_as_it_is(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    levels = {"users": {ALICE: 10}, "ban": 50, "state_default": 50, "events": {"m.room.power_levels": 10}}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))
    join_remotely(world, FAY, room_id)
    write_rule(world, list_id, FAY)
    write_rule(world, list_id, "bad.example", kind="server")

    policies.subscribe(list_id, Purpose(on_rooms=OnRooms.GIVEN, rooms=(room_id,)))

    assert membership(world, room_id, FAY) == "join"
    assert policies.noted() == []
    assert len(now(policies.subscriptions.status(list_id)).obstacles) == 2


def test_who_is_added_to_a_list_is_looked_for_alone_and_the_list_counts_as_carried_out(
    world: World, policies: Policies
) -> None:
    list_id, room_id, other = new_list(world), public_room(world), public_room(world)
    policies.subscribe(list_id)
    for each in (room_id, other):
        join_remotely(world, FAY, each)
    rows = world.database.counts.reads

    write_rule(world, list_id, NED)
    without = world.database.counts.reads - rows
    write_rule(world, list_id, FAY)

    followed = policies.lists.find(list_id)
    assert followed is not None
    assert followed.list.applied == followed.book.digest
    assert not policies.watch.is_busy_with(list_id)
    assert [membership(world, each, FAY) for each in (room_id, other)] == ["ban", "ban"]
    assert without < READS_OF_A_WHOLE_PASS


def test_what_was_not_possible_is_tried_again_when_there_is_power(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    equal = {"users": {ALICE: 50}, "users_default": 50}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", equal))
    join_remotely(world, FAY, room_id)
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id)
    before = membership(world, room_id, FAY)

    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", {**equal, "users_default": 0}))

    assert (before, membership(world, room_id, FAY)) == ("join", "ban")


def test_what_is_written_costs_nothing_more_whether_lists_are_followed_or_not(world: World) -> None:
    def spent(room_id: RoomID) -> tuple[int, int]:
        counts = world.database.counts
        before = counts.reads, counts.writes
        join_remotely(world, NED, room_id)
        world.send(ALICE, room_id)
        return counts.reads - before[0], counts.writes - before[1]

    alone = spent(public_room(world))
    policies = Policies(world)
    without = spent(public_room(world))
    list_id = new_list(world)
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id, ON_SERVER)
    followed = spent(public_room(world))
    policies.close()

    assert (without, followed) == (alone, alone)


def test_after_a_restart_what_was_left_and_who_came_meanwhile_is_seen_to(world: World) -> None:
    before = Policies(world)
    list_id, room_id = new_list(world), public_room(world)
    write_rule(world, list_id, FAY)
    before.subscribe(list_id)
    world.clock.advance(61)
    before.close()
    join_remotely(world, FAY, room_id)
    join_remotely(world, NED, room_id)

    after = Policies(world)
    came = membership(world, room_id, FAY)
    after.close()
    write_rule(world, list_id, NED)
    again = Policies(world)

    assert came == "ban"
    assert membership(world, room_id, NED) == "ban"
    again.close()


def test_after_a_restart_an_end_goes_on(world: World) -> None:
    before = Policies(world)
    list_id, room_id = new_list(world), public_room(world)
    join_remotely(world, FAY, room_id)
    write_rule(world, list_id, FAY)
    before.subscribe(list_id)
    before.close()
    followed = before.lists.find(list_id)
    assert followed is not None

    offline = Policies(world, starts=False)
    now(offline.lists.follow(replace(followed.list, ends=True)))
    after = Policies(world)

    assert membership(world, room_id, FAY) == "leave"
    assert after.lists.is_empty
    after.close()


def test_nothing_is_done_again_that_is_done(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    join_remotely(world, FAY, room_id)
    write_rule(world, list_id, FAY)
    write_rule(world, list_id, "bad.example", kind="server")
    policies.subscribe(list_id, Purpose(on_server=True, on_rooms=OnRooms.ALL))
    acts = policies.acts()

    applied = now(policies.subscriptions.apply(list_id))

    assert (applied.done, applied.failed, applied.is_complete) == (0, 0, True)
    assert policies.acts() == acts


def test_a_list_is_carried_out_a_piece_at_a_time(world: World) -> None:
    offline = Policies(world, starts=False)
    list_id, room_id = new_list(world), public_room(world)
    for user_id in (FAY, NED):
        join_remotely(world, user_id, room_id)
        write_rule(world, list_id, user_id)
    offline.subscribe(list_id)

    pieces = [now(offline.watch.apply(list_id, limit=1)) for _ in range(3)]

    assert [(each.done, each.is_complete) for each in pieces] == [(1, False), (1, False), (0, True)]
    assert [membership(world, room_id, each) for each in (FAY, NED)] == ["ban", "ban"]


def test_a_list_that_was_only_watched_is_carried_out_once_it_is_to_be(world: World, policies: Policies) -> None:
    list_id, room_id = new_list(world), public_room(world)
    write_rule(world, list_id, FAY)
    policies.subscribe(list_id, Purpose())
    join_remotely(world, FAY, room_id)

    policies.subscribe(list_id, ON_ALL_ROOMS)

    assert membership(world, room_id, FAY) == "ban"
