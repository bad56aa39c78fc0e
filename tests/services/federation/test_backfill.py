"""History that other servers have: brought as far as readers ask, and never more than is really the room's past."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.events import intake
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.services.federation import backfill
from homeserver.services.rooms.room_history import LONGEST_WAIT_S
from homeserver.storage.events import Verdict
from tests.fakes.history_source import Holder
from tests.forked_rooms import ALICE, BOB, CAROL, LIAR, MALLORY, ONE, TWO
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.federation.filling import Filling
from tests.services.world import World, now


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_OF_HISTORY", 10)
    monkeypatch.setattr(backfill, "MOST_OF_HISTORY", 10)


@pytest.fixture
def filling(world: World) -> Filling:
    """A room with a past, which our Alice has just joined."""
    filling = Filling(world)
    filling.chain(25)
    filling.join()
    filling.start()
    return filling


@pytest.mark.parametrize("version", ["1", "4", "12"])
def test_a_newcomer_reads_all_that_was_said_before(world: World, version: str) -> None:
    filling = Filling(world, version)
    filling.chain(25)
    filling.join()
    filling.start()
    head = filling.head

    assert filling.read(limit=7) == filling.everything()

    assert (filling.head.heads, filling.head.current_root) == (head.heads, head.current_root)
    assert filling.gaps == []
    for event in filling.scene.history.events.values():
        stored = filling.find(event)
        assert stored is not None
        assert filling.state(stored.root_before) == filling.scene.history.before[event.event_id]
    assert filling.fault() is None


def test_a_page_that_is_full_asks_nobody(filling: Filling) -> None:
    filling.page(limit=1)

    assert filling.source.asked == []


def test_several_batches_fill_one_page(filling: Filling) -> None:
    assert len(filling.page(limit=25).chunk) == 25


def test_what_is_around_an_event_is_brought(filling: Filling) -> None:
    context = filling.context(filling.scene.last, 6)

    assert len(context.before) == 3


def test_state_is_asked_for_once_a_batch(filling: Filling) -> None:
    filling.read()

    assert filling.source.operations["backfill"] == filling.source.operations["state_ids"] + 1  # the last is the first


def test_who_may_not_read_the_past_does_not(world: World) -> None:
    filling = Filling(world)
    open_to = filling.chain(3)
    hidden = filling.scene.send(
        ALICE, "m.room.history_visibility", {"history_visibility": "joined"}, after=[filling.scene.last]
    )
    filling.scene.last = hidden
    secrets = filling.chain(3)
    join = filling.join()
    filling.start()

    read = filling.read()

    assert read[0] == join.event_id
    assert {event.event_id for event in open_to} <= set(read)
    assert {event.event_id for event in secrets}.isdisjoint(read)
    assert all(filling.has_place(event) for event in secrets)


def test_what_nobody_has_is_not_asked_for_again_and_again(filling: Filling) -> None:
    for server in (ONE, TWO):
        filling.holder(server).is_away = True

    page = filling.page()

    assert filling.ids(page) == [filling.scene.last.event_id]
    assert page.end is not None
    asked = len(filling.source.asked)
    assert filling.source.servers_asked("backfill") == [ONE, TWO]
    empty = filling.page(page.end)
    assert (empty.chunk, empty.end) == ([], None)
    assert len(filling.source.asked) == asked
    for server in (ONE, TWO):
        filling.holder(server).is_away = False
    filling.world.clock.advance(61)

    assert len(filling.page(page.end).chunk) == 20


def test_where_one_server_has_nothing_another_one_is_asked(filling: Filling) -> None:
    filling.holder(ONE).lies["backfill"] = lambda _: []

    assert filling.read() == filling.everything()
    assert filling.fault() is None


def test_a_reader_waits_no_longer_than_some_seconds_and_comes_back(filling: Filling) -> None:
    end = filling.page(limit=1).end
    filling.source.held[ONE] = Deferred()
    first, second = filling.ask(end), filling.ask(end)

    filling.world.clock.advance(LONGEST_WAIT_S - 1)
    assert (first, second) == ([], [])
    filling.world.clock.advance(2)

    assert [(page.chunk, page.end) for page in (*first, *second)] == [([], end), ([], end)]
    assert filling.source.operations["backfill"] == 1
    third = filling.ask(end)
    filling.source.held.pop(ONE).callback(None)
    assert [len(page.chunk) for page in third] == [20]


def test_of_a_room_that_is_not_whole_yet_history_is_asked_for_once_it_is(filling: Filling) -> None:
    end = filling.page(limit=1).end
    filling.world.partial_rooms.begin(filling.room_id)
    early = filling.ask(end)
    filling.world.clock.advance(LONGEST_WAIT_S + 1)
    assert [(page.chunk, page.end) for page in early] == [([], end)]
    late = filling.ask(end)
    assert (late, filling.source.asked) == ([], [])

    filling.world.partial_rooms.end(filling.room_id)
    filling.world.clock.advance(0)

    assert [len(page.chunk) for page in late] == [20]


def test_without_being_asked_the_newest_events_are_brought(filling: Filling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "KEPT_WHOLE", 15)

    filling.world.clock.advance(600)

    placed = [event for event in filling.scene.history.events.values() if filling.has_place(event)]
    assert len(placed) == 21  # the join, and two batches
    assert filling.source.operations["backfill"] == 2
    assert filling.fault() is None


def test_what_was_missed_while_the_server_was_away_is_brought(filling: Filling) -> None:
    filling.read()
    missed = filling.chain(25)
    topic = filling.scene.last = filling.scene.send(ALICE, "m.room.topic", {"topic": "new"}, after=[missed[-1]])
    filling.chain(1)
    later = filling.scene.last
    at_gap(filling, later)
    place = filling.head.last_place

    filling.world.clock.advance(600)

    assert filling.read() == filling.everything()
    assert filling.head.last_place == place
    assert filling.gaps == []
    assert filling.state(filling.head.current_root) == filling.scene.after(later)
    assert filling.find(topic) is not None
    assert filling.fault() is None


def test_a_room_that_we_left_is_not_asked_about(filling: Filling) -> None:
    filling.leave()

    filling.page()
    filling.world.clock.advance(600)

    assert filling.source.asked == []


# Servers that lie


def at_gap(filling: Filling, event: Event, state: list[EventID] | None = None, by: ServerName = ONE) -> Outcome:
    """Judge an event in a given state, which is that before it unless told otherwise."""
    scene, world = filling.scene, filling.world
    before = list(scene.history.before[event.event_id].values()) if state is None else state
    known = [received(one) for one in scene.history.events.values() if one.state_key is not None]
    now(world.intake.take_outliers(filling.room_id, scene.version, known))
    taking = world.intake.take_at_gap(filling.room_id, scene.version, received(event), GivenState(before, by))
    return now(taking)[event.event_id]


OTHER_ROOM = Scene(ROOM_VERSIONS["12"])


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [None, 1, "x", [], {}],
        [{"room_id": 1}],
        [{}] * 10_000,
        [event.pdu for event in OTHER_ROOM.history.events.values()],
    ],
)
def test_nonsense_and_other_rooms_are_passed_over(filling: Filling, answer: list[Any]) -> None:
    for server in (ONE, TWO):
        filling.holder(server).lies["backfill"] = lambda _: answer

    assert filling.read() == [filling.scene.last.event_id]

    assert filling.source.operations == {"backfill": 2}
    assert not any(filling.has_place(event) for event in OTHER_ROOM.history.events.values())


def test_what_no_event_here_is_built_on_is_passed_over(filling: Filling) -> None:
    scene = filling.scene
    below = scene.history.events[scene.last.prev_event_ids[0]]
    forged = scene.say(MALLORY, "forged", after=[below])
    top = scene.say(ALICE, "not sent yet", after=[scene.last])
    honest = filling.source.backfill

    async def more(*arguments: Any, **terms: Any) -> list[Any]:
        return [forged.pdu, top.pdu, *(await honest(*arguments, **terms))][:10]

    filling.source.backfill = more  # type: ignore[method-assign]
    filling.page(limit=5)

    assert filling.find(forged) is None
    assert filling.find(top) is None
    assert filling.head.heads == (scene.last.event_id,)


def test_the_same_events_again_are_no_progress(filling: Filling) -> None:
    filling.page(limit=8)
    same = [event.pdu for event in filling.scene.history.events.values() if filling.has_place(event)]
    for server in (ONE, TWO):
        filling.holder(server).lies["backfill"] = lambda _: same
    asked = filling.source.operations["backfill"]

    filling.read()
    filling.read()

    assert filling.source.operations["backfill"] == asked + 2


@pytest.mark.parametrize(
    "lie",
    [
        lambda ids: {"pdu_ids": [], "auth_chain_ids": []},
        lambda ids: {"pdu_ids": ids[1:], "auth_chain_ids": []},
        lambda ids: {"pdu_ids": [EventID("$" + "x" * 43)] * 200_001, "auth_chain_ids": []},
        lambda ids: {"pdu_ids": [*ids, EventID("$" + "x" * 43)], "auth_chain_ids": []},
        lambda ids: {"pdu_ids": [None], "auth_chain_ids": []},
    ],
)
def test_a_false_state_lets_nothing_in_and_another_server_is_asked(
    filling: Filling, lie: Callable[[list[EventID]], Any]
) -> None:
    scene = filling.scene
    state = [scene.create, scene.joined, scene.levels, scene.join_rules]
    filling.holder(ONE).lies["state_ids"] = lambda _: lie([event.event_id for event in state])

    assert filling.read() == filling.everything()

    verdicts = {stored.verdict for event in scene.history.events.values() if (stored := filling.find(event))}
    assert verdicts == {Verdict.ACCEPTED}
    assert filling.fault() is None


def test_a_state_that_forgets_a_member_hides_nothing_that_the_member_said(filling: Filling) -> None:
    scene = filling.scene
    state = [scene.create, scene.joined, scene.levels, scene.join_rules]  # and not Bob, who speaks every other time
    ids = [event.event_id for event in state]
    filling.holder(ONE).lies["state_ids"] = lambda _: {"pdu_ids": ids, "auth_chain_ids": []}
    filling.holder(TWO).is_away = True

    filling.page()

    assert len([event for event in scene.history.events.values() if filling.has_place(event)]) == 1
    assert filling.find(scene.history.events[scene.last.prev_event_ids[0]]) is None
    filling.holder(TWO).is_away = False
    filling.world.clock.advance(61)
    assert filling.read() == filling.everything()


def test_history_that_the_rules_forbid_is_not_shown(world: World) -> None:
    filling = Filling(world)
    scene = filling.scene
    fine = filling.chain(2)
    forged = scene.say(CAROL, "never was a member", after=[scene.last])
    scene.last = scene.say(ALICE, "after it", after=[forged])
    filling.join()
    filling.start()

    read = filling.read()

    assert forged.event_id not in read
    assert {event.event_id for event in fine} <= set(read)
    stored = filling.find(forged)
    assert stored is not None
    assert stored.verdict is Verdict.REJECTED
    assert filling.fault() is None


def test_nothing_is_brought_below_what_was_soft_failed(filling: Filling) -> None:
    scene = filling.scene
    filling.read()
    came = scene.last = scene.member(MALLORY, "join", after=[scene.last])
    ban = scene.member(MALLORY, "ban", sender=ALICE, after=[came])
    filling.take(came, ban)
    hidden = scene.say(MALLORY, "back-dated", after=[came])
    evading = scene.say(MALLORY, "on top of it", after=[hidden])
    filling.source.holders[LIAR] = Holder(scene.history)
    assert at_gap(filling, evading, list(scene.after(came).values()), LIAR) is Outcome.SOFT_FAILED
    asked = len(filling.source.asked)

    assert hidden.event_id not in filling.read()
    filling.world.clock.advance(600)

    assert len(filling.source.asked) == asked
    assert not filling.has_place(hidden)


def test_a_history_from_very_many_sides_costs_a_bounded_number_of_states(world: World) -> None:
    filling = Filling(world)
    scene = filling.scene
    branches = [scene.say(ALICE, f"{number}", after=[scene.say(BOB, after=[scene.last])]) for number in range(15)]
    scene.last = scene.say(ALICE, after=branches)
    filling.join()
    filling.start()
    for server in (ONE, TWO):
        filling.holder(server).lacks = {one for branch in branches for one in branch.prev_event_ids}

    filling.page()

    assert filling.source.operations["state_ids"] <= 2 * backfill.MOST_STATES


def test_an_invented_past_without_end_is_read_a_page_at_a_time(world: World) -> None:
    filling = Filling(world)
    filling.chain(400)
    filling.join()
    filling.start()

    filling.page(limit=1_000)

    assert filling.source.operations["backfill"] <= 6
    before = filling.source.operations["backfill"]
    filling.world.clock.advance(29)
    assert filling.source.operations["backfill"] == before
