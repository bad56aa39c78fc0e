"""Rooms that our users join before all of their members are known: what they can do there, and how the rest comes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.identifiers import UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import Unreachable
from homeserver.services.admin.room_audit import Fault, RoomAudit
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.intake import Outcome
from homeserver.services.events.joining_heads import MOST_HEADS
from homeserver.storage.device_lists import recipients_of
from homeserver.storage.events import Verdict
from homeserver.storage.memberships import find_membership, members_of_room
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import set_published
from homeserver.storage.waiting_events import rooms_with_ready, rooms_with_waiting
from tests.conftest import examples
from tests.databases import fresh_sqlite
from tests.fakes.remote_servers import Refusal
from tests.forked_rooms import ALICE, BOB, CAROL, DAVE, MALLORY, ONE, TWO
from tests.scenes import Scene
from tests.services.admin.own_keys import OwnKeys
from tests.services.federation.large_rooms import LargeRoom
from tests.services.sync.asking import LAZY, bodies, request, sync
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import BOB as OUR_BOB
from tests.services.world import SERVER, World, now, shown

LONG_S: Final = 100 * 3600.0


def room_members(world: World, room: LargeRoom) -> set[UserID]:
    return {one.user_id for one in world.sync_database.read(members_of_room, room.room_id)}


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_who_joins_is_in_the_room_before_its_members_are_known_and_can_speak(world: World, version: str) -> None:
    room = LargeRoom(world, ROOM_VERSIONS[version])

    join = room.join()

    assert room.head.is_partial
    assert room.is_looked_for
    assert room.head.heads == (join.event_id,)
    assert room_members(world, room) == {OUR_ALICE}
    assert world.sync_database.read(servers_in_room, room.room_id) == {ONE, TWO, SERVER}
    known = room.state()
    assert known == {key: event_id for key, event_id in room.scene.after(join).items() if key[0] != "m.room.member"} | {
        ("m.room.member", OUR_ALICE): join.event_id
    }
    sent = room.find(world.send(OUR_ALICE, room.room_id))
    assert sent.event.prev_event_ids == (join.event_id,)
    assert "state" not in [operation for _, operation in world.others.asked]


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_the_members_come_later_and_what_happened_meanwhile_stands_on_them(world: World, version: str) -> None:
    room = LargeRoom(world, ROOM_VERSIONS[version])
    join = room.join()
    said = room.add(world.send(OUR_ALICE, room.room_id))
    topic = room.add(now(world.sending.set_state(OUR_ALICE, room.room_id, "m.room.topic", "", {"topic": "Ours"})))
    again = room.add(world.send(OUR_ALICE, room.room_id))

    room.fetch()

    assert not room.head.is_partial
    assert not room.is_looked_for
    assert room.state() == dict(room.scene.after(again))
    for event in (join, said, topic, again):
        stored = room.find(event.event_id)
        assert stored.root_before is not None
        assert room.state(stored.root_before) == dict(room.scene.history.before[event.event_id])
        assert room.is_whole(stored.root_before)
    assert room_members(world, room) == {ALICE, BOB, CAROL, OUR_ALICE}
    assert world.sync_database.read(recipients_of, OUR_ALICE) == {ALICE, BOB, CAROL, OUR_ALICE}
    assert world.sync_database.read(servers_in_room, room.room_id) == {ONE, TWO, SERVER}
    assert room.rows("SELECT is_given FROM room_servers WHERE room_id = :room_id AND is_given") == []


def test_what_others_say_waits_until_the_room_is_whole_and_is_judged_then(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    allowed = room.scene.say(BOB, after=[join])
    kicked = room.scene.member(CAROL, "leave", sender=BOB, after=[allowed])
    refused = room.scene.say(CAROL, after=[kicked])

    assert room.hear(allowed, kicked, refused) == [Outcome.WAITING] * 3
    assert world.sync_database.read(rooms_with_ready) == []
    room.fetch()

    assert room.head.heads == (kicked.event_id,)
    assert room.state() == dict(room.scene.after(kicked))
    assert not room.find(allowed.event_id).verdict
    assert room.scene.is_rejected(refused)
    assert room.find(refused.event_id).verdict
    assert world.sync_database.read(rooms_with_waiting) == []


def test_servers_that_tell_all_members_are_believed_at_once(world: World) -> None:
    room = LargeRoom(world)
    world.others.large.clear()

    join = room.join()

    assert not room.head.is_partial
    assert not room.is_looked_for
    assert room.state() == dict(room.scene.after(join))


def waiting(coroutine: Any) -> Deferred[Any]:
    """What a use case will return that waits for something."""
    deferred = Deferred.fromCoroutine(coroutine)
    assert not deferred.called
    return deferred


def result(deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0]


MEMBERSHIP_CHANGES: Final[dict[str, Callable[[World, LargeRoom], Any]]] = {
    "invite": lambda world, room: world.inviting.invite(OUR_ALICE, room.room_id, OUR_BOB, None),
    "join": lambda world, room: world.anywhere.join(OUR_BOB, room.room_id, None),
    "members": lambda world, room: world.timeline.members(
        world.viewer(OUR_ALICE), room.room_id, at=None, membership=None, not_membership=None
    ),
    "joined members": lambda world, room: world.timeline.joined_members(world.viewer(OUR_ALICE), room.room_id),
    "state": lambda world, room: world.timeline.state(world.viewer(OUR_ALICE), room.room_id),
    "a member": lambda world, room: world.timeline.state_event(
        world.viewer(OUR_ALICE), room.room_id, "m.room.member", BOB, whole_event=False
    ),
}


@pytest.mark.parametrize("kind", MEMBERSHIP_CHANGES)
def test_what_needs_members_that_are_not_known_waits_for_them(world: World, kind: str) -> None:
    room = LargeRoom(world)
    room.join()

    asked = waiting(MEMBERSHIP_CHANGES[kind](world, room))
    room.fetch()

    answer = result(asked)
    assert not isinstance(answer, BaseException)
    match kind:
        case "members":
            assert {shown(event)["state_key"] for event in answer} == {ALICE, BOB, CAROL, OUR_ALICE}
        case "joined members":
            assert set(answer) == {ALICE, BOB, CAROL, OUR_ALICE}
        case "state":
            assert len(answer) == len(room.state())
        case "a member":
            assert answer["membership"] == "join"
        case "join":
            assert OUR_BOB in room_members(world, room)


@pytest.mark.parametrize("kind", MEMBERSHIP_CHANGES)
def test_who_waits_for_members_in_vain_is_told_to_try_again(world: World, kind: str) -> None:
    room = LargeRoom(world)
    room.join()
    before = room.head

    asked = waiting(MEMBERSHIP_CHANGES[kind](world, room))
    world.clock.advance(61)

    failure = result(asked)
    assert isinstance(failure.value, RoomIsPartial)
    assert room.head == before


def test_a_moderator_who_kicks_somebody_unknown_does_so_once_they_are_known(world: World) -> None:
    scene = Scene(users={OUR_ALICE: 50})
    scene.join_in_turn(BOB)
    room = LargeRoom(world, scene=scene)
    room.join()

    kicked = waiting(world.membership.kick(OUR_ALICE, room.room_id, BOB, None))
    nobody = waiting(world.membership.kick(OUR_ALICE, room.room_id, MALLORY, None))
    room.fetch()

    assert result(kicked) is None
    membership = world.sync_database.read(find_membership, room.room_id, BOB)
    assert membership is not None
    assert membership.membership == "leave"
    assert result(nobody).value.reason == f"{MALLORY} is not in the room"


def without_carol(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "pdus": [pdu for pdu in answer["pdus"] if pdu.get("state_key") != CAROL]}


def without_rules(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "pdus": [pdu for pdu in answer["pdus"] if pdu["type"] != "m.room.join_rules"]}


def nonsense(_: dict[str, Any]) -> list[Any]:
    return [1, None]


@pytest.mark.parametrize("tamper", [without_rules, nonsense])
def test_a_server_that_contradicts_what_is_known_is_not_believed_and_another_is(world: World, tamper: Any) -> None:
    room = LargeRoom(world)
    join = room.join()
    world.others.tampers[ONE, "state"] = tamper

    room.fetch()

    assert world.others.asked_for("state") == [ONE, TWO]
    assert not room.head.is_partial
    assert room.state() == dict(room.scene.after(join))


def test_a_server_that_says_of_who_joined_what_it_did_not_say_before_is_not_believed(world: World) -> None:
    room = LargeRoom(world)
    invited = room.scene.member(OUR_ALICE, "invite", sender=ALICE, after=[room.scene.last])
    room.join()

    def with_invite(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "pdus": [*answer["pdus"], invited.pdu]}

    for server in (ONE, TWO):
        world.others.tampers[server, "state"] = with_invite
    room.fetch()

    assert room.head.is_partial


def test_when_nobody_gives_the_members_they_are_asked_for_later_and_the_room_stays_usable(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    for server in (ONE, TWO):
        world.others.failures[server] = Unreachable("gone")
    room.fetch()
    assert world.others.asked_for("state") == [ONE, TWO]
    assert room.head.is_partial

    world.send(OUR_ALICE, room.room_id)
    del world.others.failures[TWO]  # the one that let the user in is gone for good
    world.clock.advance(LONG_S)

    assert not room.head.is_partial
    assert room.state() == dict(room.scene.after(join))


def test_after_a_restart_the_rest_is_fetched(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    world.send(OUR_ALICE, room.room_id)
    others = world.others
    later = World(world.backend, boot=2)
    later.others = others
    later.federation_client._agent = others  # the same servers as before
    again = LargeRoom(later, scene=room.scene)
    now(later.partial_rooms.load())

    asked = waiting(later.timeline.joined_members(later.viewer(OUR_ALICE), room.room_id))
    again.fetch()

    assert set(result(asked)) == {ALICE, BOB, CAROL, OUR_ALICE}
    assert again.state() == dict(room.scene.after(join))
    later.close()


def test_a_room_that_all_have_left_is_looked_for_no_more_and_can_be_joined_anew(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))
    room.add(room.head.heads[0])

    room.fetch()
    assert world.others.asked_for("state") == []
    assert not room.is_looked_for
    assert room.head.is_partial
    join = room.join()
    world.clock.advance(LONG_S)

    assert room.state() == dict(room.scene.after(join))
    assert not room.head.is_partial
    world.send(OUR_ALICE, room.room_id)


def test_who_left_before_the_members_were_known_is_shown_what_was(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))

    viewer = world.viewer(OUR_ALICE)
    members = now(world.timeline.members(viewer, room.room_id, at=None, membership=None, not_membership=None))

    assert [shown(event)["state_key"] for event in members] == [OUR_ALICE]


def test_a_room_that_was_whole_is_joined_anew_without_its_old_members(world: World) -> None:
    room = LargeRoom(world)
    world.others.large.clear()
    room.join()
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))
    room.add(room.head.heads[0])
    room.scene.last = room.scene.member(CAROL, "leave", after=[room.scene.last])
    room.scene.join_in_turn(DAVE)
    world.others.large.add(room.room_id)

    join = room.join()
    assert room_members(world, room) == {OUR_ALICE}
    room.fetch()

    assert room.state() == dict(room.scene.after(join))
    assert room_members(world, room) == {ALICE, BOB, CAROL, DAVE, OUR_ALICE}


def test_a_server_that_refuses_for_now_is_asked_again(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    world.others.failures[ONE] = Refusal(500, "M_UNKNOWN")
    world.others.failures[TWO] = Refusal(429, "M_LIMIT_EXCEEDED")
    room.fetch()
    assert room.head.is_partial
    world.others.failures.clear()

    world.clock.advance(LONG_S)

    assert not room.head.is_partial


def test_a_member_whom_a_server_leaves_out_is_believed_not_to_be_there(world: World) -> None:
    """As with a join of which all members are told: the state is the word of who gives it."""
    room = LargeRoom(world)
    room.join()
    world.others.tampers[ONE, "state"] = without_carol

    room.fetch()

    assert not room.head.is_partial
    assert room_members(world, room) == {ALICE, BOB, OUR_ALICE}


def test_a_client_that_loads_members_lazily_is_shown_the_room_at_once_and_how_many_are_in_it_later(
    world: World,
) -> None:
    room = LargeRoom(world)
    before = sync(world, OUR_ALICE, None, LAZY)
    room.join()
    world.send(OUR_ALICE, room.room_id, "first")

    first = sync(world, OUR_ALICE, before["next_batch"], LAZY)
    world.send(OUR_ALICE, room.room_id, "second")
    second = sync(world, OUR_ALICE, first["next_batch"], LAZY)
    room.fetch()
    third = sync(world, OUR_ALICE, second["next_batch"], LAZY)
    fourth = sync(world, OUR_ALICE, third["next_batch"], LAZY)

    shown_first = first["rooms"]["join"][room.room_id]
    assert bodies(shown_first) == ["first"]
    assert shown_first["summary"] == {"m.heroes": []}
    assert {event["type"] for event in shown_first["state"]["events"]} >= {"m.room.create", "m.room.join_rules"}
    assert bodies(second["rooms"]["join"][room.room_id]) == ["second"]
    shown_third = third["rooms"]["join"][room.room_id]
    assert shown_third["summary"]["m.joined_member_count"] == 4
    assert shown_third["summary"]["m.heroes"]
    # Those who stand for the room, and nobody else: a client that wants all members asks for them.
    assert {event["state_key"] for event in shown_third["state"]["events"]} == set(shown_third["summary"]["m.heroes"])
    assert "rooms" not in fourth


def test_a_client_that_wants_all_members_is_shown_the_room_when_they_are_known(world: World) -> None:
    room = LargeRoom(world)
    before = sync(world, OUR_ALICE)
    room.join()
    world.send(OUR_ALICE, room.room_id, "first")

    first = sync(world, OUR_ALICE, before["next_batch"])
    world.send(OUR_ALICE, room.room_id, "second")
    second = sync(world, OUR_ALICE, first["next_batch"])
    fresh = sync(world, OUR_ALICE)
    room.fetch()
    third = sync(world, OUR_ALICE, second["next_batch"])

    assert "rooms" not in first
    assert "rooms" not in second
    assert "rooms" not in fresh
    whole = third["rooms"]["join"][room.room_id]
    assert bodies(whole) == ["first", "second"]
    known = [*whole["state"]["events"], *whole["timeline"]["events"]]
    assert {event["state_key"] for event in known if event["type"] == "m.room.member"} == {
        ALICE,
        BOB,
        CAROL,
        OUR_ALICE,
    }
    assert whole["summary"]["m.joined_member_count"] == 4
    initial = sync(world, OUR_ALICE)["rooms"]["join"][room.room_id]
    for shown_room in (whole, initial):
        shown_room["state"]["events"].sort(key=lambda event: event["event_id"])
    assert whole == initial


def test_a_lazy_client_is_told_of_what_changed_while_the_room_became_whole(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    since = sync(world, OUR_ALICE, None, LAZY)["next_batch"]
    kicked = room.scene.member(CAROL, "leave", sender=BOB, after=[join])
    topic = room.scene.send(BOB, "m.room.topic", {"topic": "New"}, after=[kicked])
    room.hear(kicked, topic)

    room.fetch()
    told = sync(world, OUR_ALICE, since, LAZY)["rooms"]["join"][room.room_id]

    assert [event["type"] for event in told["timeline"]["events"]] == ["m.room.member", "m.room.topic"]
    assert told["summary"]["m.joined_member_count"] == 3
    assert BOB in {event["state_key"] for event in told["state"]["events"]}


def test_a_waiting_sync_hears_that_a_room_became_whole(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    since = sync(world, OUR_ALICE)["next_batch"]

    waits = waiting(world.long_poll.sync(request(OUR_ALICE, since, timeout_ms=30_000)))
    room.fetch()
    world.clock.advance(0)

    assert room.room_id in shown(result(waits).body)["rooms"]["join"]


def test_whose_devices_matter_is_told_when_the_members_are_known(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    since = sync(world, OUR_ALICE, None, LAZY)["next_batch"]

    room.fetch()

    assert set(sync(world, OUR_ALICE, since, LAZY)["device_lists"]["changed"]) >= {ALICE, BOB, CAROL}


def fault(world: World, room: LargeRoom) -> Fault | None:
    """What an audit finds, which knows whether the room is whole."""
    audit = RoomAudit(room.room_id, OwnKeys(SERVER, world.key), SERVER)
    while world.sync_database.read(audit.go_on):
        pass
    assert audit.is_partial is room.head.is_partial
    return audit.fault


def test_an_audit_finds_no_fault_with_a_room_whose_members_are_not_known_nor_when_they_are(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    world.send(OUR_ALICE, room.room_id)
    now(world.sending.set_state(OUR_ALICE, room.room_id, "m.room.topic", "", {"topic": "Ours"}))
    room.hear(room.scene.say(BOB, after=[join]))

    assert fault(world, room) is None
    room.fetch()
    assert fault(world, room) is None


def test_an_audit_finds_no_fault_with_a_room_that_was_left_before_its_members_were_known(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))
    room.add(room.head.heads[0])
    room.fetch()

    assert fault(world, room) is None
    room.join()
    world.clock.advance(LONG_S)
    assert fault(world, room) is None


@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_who_is_removed_before_the_members_are_known_is_out_when_nobody_tells_them_any_more(
    world: World, membership: str
) -> None:
    room = LargeRoom(world)
    join = room.join()
    since = sync(world, OUR_ALICE, None, LAZY)["next_batch"]
    levels = room.scene.power_levels({BOB: 50, OUR_ALICE: 0}, after=[join])
    removal = room.scene.member(OUR_ALICE, membership, sender=ALICE, after=[levels])
    room.scene.last = removal
    room.hear(removal)
    for server in (ONE, TWO):
        world.others.failures[server] = Refusal(403, "M_FORBIDDEN")

    room.fetch()

    found = world.sync_database.read(find_membership, room.room_id, OUR_ALICE)
    assert found is not None
    assert found.membership == membership
    assert not room.is_looked_for
    assert SERVER not in world.sync_database.read(servers_in_room, room.room_id)
    left = sync(world, OUR_ALICE, since, LAZY)["rooms"]["leave"][room.room_id]
    assert [event["content"]["membership"] for event in left["timeline"]["events"]] == [membership]
    with pytest.raises(AuthRejected):
        world.send(OUR_ALICE, room.room_id)
    assert fault(world, room) is None


def test_a_removal_by_somebody_who_may_not_is_not_believed(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    room.hear(room.scene.member(OUR_ALICE, "leave", sender=CAROL, after=[join]))
    for server in (ONE, TWO):
        world.others.failures[server] = Refusal(403, "M_FORBIDDEN")

    room.fetch()

    assert room.is_looked_for
    world.send(OUR_ALICE, room.room_id)


def test_who_was_removed_comes_back_by_a_join_elsewhere(world: World) -> None:
    room = LargeRoom(world)
    join = room.join()
    removal = room.scene.member(OUR_ALICE, "leave", sender=ALICE, after=[join])
    room.hear(removal)
    room.scene.last = removal
    for server in (ONE, TWO):
        world.others.failures[server] = Refusal(403, "M_FORBIDDEN")
    room.fetch()
    world.others.failures.clear()

    again = room.join()
    world.clock.advance(LONG_S)

    assert room.state() == dict(room.scene.after(again))
    assert fault(world, room) is None
    world.send(OUR_ALICE, room.room_id)


def others_do(room: LargeRoom, random: Random) -> Event:
    """Somebody of another server does something, upon one or two of the events since the join."""
    scene, history = room.scene, room.scene.history
    known = list(history.events.values())
    since = known[known.index(history.events[room.world.others.sent[0].event_id]) :]
    after = random.sample(since, min(len(since), random.choice((1, 1, 2))))
    sender, target = random.choice((ALICE, BOB, CAROL, DAVE)), random.choice((BOB, CAROL, DAVE, OUR_ALICE))
    match random.choice(("say", "say", "topic", "kick", "ban", "join", "levels")):
        case "say":
            return scene.say(sender, after=after)
        case "topic":
            return scene.send(sender, "m.room.topic", {"topic": str(len(known))}, after=after)
        case "kick":
            return scene.member(target, "leave", sender=sender, after=after)
        case "ban":
            return scene.member(target, "ban", sender=sender, after=after)
        case "join":
            return scene.member(sender, "join", after=after)
        case _:
            return scene.power_levels({BOB: random.choice((0, 50)), OUR_ALICE: 50}, sender=sender, after=after)


def we_do(room: LargeRoom, random: Random) -> None:
    """Our Alice does something, if she still may."""
    world, history = room.world, room.scene.history
    with suppress(AuthRejected):
        if random.random() < 0.5:
            event_id = world.send(OUR_ALICE, room.room_id)
        else:
            topic = {"topic": f"ours {len(history.events)}"}
            event_id = now(world.sending.set_state(OUR_ALICE, room.room_id, "m.room.topic", "", topic))
        history.add(room.find(event_id).event)


@settings(max_examples=examples(25))
@given(st.randoms(use_true_random=False), st.sampled_from(("1", "6", "10", "11", "12")))
def test_whenever_the_members_come_the_states_and_verdicts_are_those_that_follow_from_the_graph(
    random: Random, version: str
) -> None:
    scene = Scene(ROOM_VERSIONS[version], users={BOB: 50, OUR_ALICE: 50})
    scene.join_in_turn(BOB, CAROL, DAVE)
    with TemporaryDirectory() as folder:
        world = World(fresh_sqlite(Path(folder) / "homeserver.db"))
        room = LargeRoom(world, scene=scene)
        room.join()
        history = scene.history
        made = 0
        undelivered: list[Event] = []
        whole_after = random.randrange(20)
        for number in range(20):
            if number == whole_after:
                room.fetch()
            step = random.random()
            if step < 0.4 and made < MOST_HEADS - 1:  # of more heads an event of ours would be made
                made += 1
                undelivered.append(others_do(room, random))
            elif step < 0.75 and undelivered:
                room.hear(undelivered.pop(random.randrange(len(undelivered))))
            else:
                we_do(room, random)
        room.hear(*undelivered)

        assert not room.head.is_partial
        assert world.sync_database.read(rooms_with_waiting) == []
        for event_id in history.events:
            stored = room.find(event_id)
            if stored.root_before is not None:
                assert room.state(stored.root_before) == dict(history.before[event_id])
                assert room.is_whole(stored.root_before)
                assert (stored.verdict is Verdict.REJECTED) == (event_id in history.rejected)
        assert room.state() == dict(history.state_after(room.head.heads))
        current = {UserID(key): event_id for (kind, key), event_id in room.state().items() if kind == "m.room.member"}
        rows = world.sync_database.read(members_of_room, room.room_id)
        assert {one.user_id: one.event_id for one in rows} == current
        assert fault(world, room) is None
        world.close()


def test_how_many_are_in_the_room_is_not_told_to_strangers_before_it_is_known(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    world.sync_database.write(set_published, room.room_id, is_published=True)

    assert world.sync_database.read(world.spaces.find_here, room.room_id) is None
    assert now(world.directory.search()).chunk == []
    room.fetch()

    assert world.sync_database.read(world.spaces.find_here, room.room_id) == room.head
    [entry] = now(world.directory.search()).chunk
    assert entry["num_joined_members"] == 4
