"""What events wait for: asked for, checked, and never more than a budget allows."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.event import Event
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import RemoteNonsense
from homeserver.services.events.intake import Outcome
from homeserver.services.federation import event_fetching, missing_events
from homeserver.services.federation.missing_events import MissingEvents
from homeserver.storage.database import Transaction
from homeserver.storage.events import Verdict
from homeserver.storage.waiting_events import gaps_of_waiting
from tests.fakes.history_source import FakeHistorySource, Holder
from tests.forked_rooms import ALICE, CAROL, KEYS, LIAR, MALLORY
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.federation.receiving import ONE, TWO, Receiving
from tests.services.world import SERVER, World, now


class SlowSource(FakeHistorySource):
    """Servers that say what comes before events when the test has them answer."""

    answers: Deferred[None] | None = None

    async def get_missing_events(self, *arguments: Any, **options: Any) -> list[Any]:
        if self.answers is not None:
            await self.answers
        return await super().get_missing_events(*arguments, **options)


class Looking:
    """A server that lacks events, and those that may have them."""

    def __init__(
        self,
        world: World,
        version: str = "11",
        scene: Scene | None = None,
        source: FakeHistorySource | None = None,
    ) -> None:
        self.world = world
        self.receiving = Receiving(world, ROOM_VERSIONS[version], scene)
        self.scene = self.receiving.scene
        if scene is None:
            self.receiving.let_bob_join()
        self.source = source or FakeHistorySource()
        for server in (ONE, TWO):
            self.source.holders[server] = Holder(self.scene.history)
        self.missing = MissingEvents(
            world.database,
            self.source,
            self.receiving.receipt,
            world.intake,
            self.receiving.policies,
            world.clock,
            SERVER,
        )
        world.intake.tell_of_waiting(self.missing.wake)
        self.receiving.start()
        now(self.missing.start(self.receiving.loops))
        self.receiving.settle()

    def send(self, *events: Event, origin: ServerName = ONE) -> None:
        """Have a server bring these."""
        self.receiving.send_events(*events, origin=origin)

    def verdict(self, event: Event) -> Verdict | None:
        """What was said of an event; None while it is nowhere in the room."""
        stored = self.receiving.find(event)
        return None if stored is None or stored.root is None else stored.verdict

    @property
    def gaps(self) -> int:
        """How many events are missing to those that wait."""
        return len(self.world.sync_database.read(gaps_of_waiting, self.receiving.room_id, limit=1_000))

    def holder(self, server: ServerName = ONE) -> Holder:
        return self.source.holders[server]


@pytest.fixture
def looking(world: World) -> Looking:
    return Looking(world)


@pytest.mark.parametrize("version", ["1", "4", "12"])
def test_a_few_missing_events_are_asked_for_at_once(world: World, version: str) -> None:
    looking = Looking(world, version)
    events = looking.receiving.chain(8)

    looking.send(events[-1])

    assert [looking.verdict(event) for event in events] == [Verdict.ACCEPTED] * 8
    assert looking.source.operations == {"get_missing_events": 1}
    assert looking.gaps == 0


def test_what_an_event_lacks_is_looked_for_however_the_event_came(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    room_id, version = looking.receiving.room_id, looking.scene.version

    taking = looking.world.intake.take(room_id, version, [received(events[-1])], received_from=ONE)
    assert now(taking) == {events[-1].event_id: Outcome.WAITING}
    looking.receiving.settle()

    assert [looking.verdict(event) for event in events] == [Verdict.ACCEPTED] * 3


def test_a_longer_gap_is_closed_in_rounds(looking: Looking) -> None:
    events = looking.receiving.chain(45)

    looking.send(events[-1])

    assert {looking.verdict(event) for event in events} == {Verdict.ACCEPTED}
    assert looking.source.operations == {"get_missing_events": 3}


def test_where_a_gap_is_too_long_the_state_before_it_is_asked_for(looking: Looking) -> None:
    scene = looking.scene
    topic = scene.last = scene.send(ALICE, "m.room.topic", {"topic": "lost"}, after=[scene.last])
    events = looking.receiving.chain(100)

    looking.send(events[-1])

    assert looking.verdict(events[0]) is None
    assert looking.verdict(topic) is None
    assert {looking.verdict(event) for event in events[-40:]} == {Verdict.ACCEPTED}
    assert looking.receiving.kept(topic) == {topic.event_id}  # as a part of the state
    assert looking.source.operations["state_ids"] == 1
    assert looking.source.operations["event"] == 1
    assert looking.gaps == 0


def test_a_large_state_is_asked_for_as_a_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_fetching, "FEW_EVENTS", 2)
    looking = Looking(world)
    scene = looking.scene
    for name in "abc":
        scene.last = scene.send(ALICE, "m.test", {}, name, after=[scene.last])
    event = looking.receiving.chain(2)[-1]
    looking.holder().lies["get_missing_events"] = lambda _: []

    looking.send(event)

    assert looking.verdict(event) is Verdict.ACCEPTED
    assert looking.source.operations["state"] == 1
    assert looking.source.operations["event"] == 0


def test_when_one_server_gives_nothing_another_one_in_the_room_is_asked(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    looking.holder(ONE).is_away = True

    looking.send(events[-1])

    assert looking.verdict(events[-1]) is Verdict.ACCEPTED
    assert looking.source.servers_asked("state_ids") == [ONE, TWO]


def test_missing_auth_events_are_asked_for(looking: Looking) -> None:
    scene = looking.scene
    join = scene.member(CAROL, "join", after=[scene.last])
    # Its author has seen the join, which is on another branch here.
    state = scene.history.state_after([join.event_id])
    event = scene.send(CAROL, "m.room.message", {"body": "hello"}, None, after=[scene.last], auth_state=state)
    scene.history.events[event.event_id] = event

    looking.send(event)

    assert looking.source.operations["event_auth"] == 1
    assert looking.receiving.kept(join) == {join.event_id}
    assert looking.verdict(event) is Verdict.REJECTED  # the state before it has no such member
    assert looking.gaps == 0


def test_an_event_that_nobody_has_is_looked_for_later_and_later(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    for server in (ONE, TWO):
        looking.holder(server).lacks = {event.event_id for event in events}
    looking.send(events[-1])
    asked = len(looking.source.asked)
    assert 0 < asked <= 8

    looking.world.clock.advance(30)
    looking.send(events[-1])
    assert len(looking.source.asked) == asked
    looking.world.clock.advance(24 * 3600)

    assert 3 <= looking.missing.counts["attempts"] <= 8


def test_rooms_that_are_due_together_are_looked_at_once_each(world: World) -> None:
    source = SlowSource()
    looking = Looking(world, source=source)
    other = Receiving(world, ROOM_VERSIONS["12"])
    other.let_bob_join()
    world.intake.tell_of_waiting(looking.missing.wake)
    for server in (ONE, TWO):
        looking.holder(server).is_away = True
    looking.send(looking.receiving.chain(3)[-1], other.chain(3)[-1])
    source.answers = Deferred()

    world.clock.advance(70)
    source.answers.callback(None)

    assert looking.missing.counts["attempts"] == 4
    assert not any(counts.failures for counts in looking.receiving.loops.counts.values())


def test_what_was_away_is_found_when_it_is_back(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    for server in (ONE, TWO):
        looking.holder(server).is_away = True
    looking.send(events[-1])
    assert looking.verdict(events[-1]) is None
    for server in (ONE, TWO):
        looking.holder(server).is_away = False

    looking.world.clock.advance(200)

    assert looking.verdict(events[-1]) is Verdict.ACCEPTED


def test_what_was_missing_when_the_process_ended_is_looked_for_by_the_next_one(world: World) -> None:
    before = Looking(world)
    events = before.receiving.chain(3)
    for server in (ONE, TWO):
        before.holder(server).is_away = True
    before.send(events[-1])

    after = Looking(world, scene=before.scene)

    assert after.verdict(events[-1]) is Verdict.ACCEPTED


# Servers that lie


def test_events_of_other_rooms_are_passed_over(looking: Looking) -> None:
    other = Scene(ROOM_VERSIONS["12"])
    events = looking.receiving.chain(3)
    other_pdus = [event.pdu for event in other.history.events.values()]
    for server in (ONE, TWO):
        holder = looking.holder(server)
        holder.lies["get_missing_events"] = lambda _: other_pdus
        holder.lies["event"] = lambda _: other_pdus[-1]
        holder.lies["event_auth"] = lambda _: other_pdus
        holder.lies["state"] = lambda _: {"pdus": other_pdus, "auth_chain": other_pdus}
        holder.lies["state_ids"] = lambda _: {
            "pdu_ids": [event.event_id for event in other.history.events.values()],
            "auth_chain_ids": [],
        }

    looking.send(events[-1])

    assert looking.receiving.kept(*other.history.events.values()) == set()
    assert looking.verdict(events[-1]) is None


@pytest.mark.parametrize("answer", [[None], [1, "x", [], {}], [{"room_id": 1}], [{}] * 100_000])
def test_nonsense_is_passed_over(looking: Looking, answer: list[Any]) -> None:
    events = looking.receiving.chain(2)
    for server in (ONE, TWO):
        holder = looking.holder(server)
        holder.lies["get_missing_events"] = lambda _: answer
        holder.lies["event_auth"] = lambda _: answer
        holder.lies["state_ids"] = lambda _: {"pdu_ids": answer, "auth_chain_ids": answer}

    looking.send(events[-1])

    assert looking.verdict(events[-1]) is None
    assert len(looking.source.asked) <= 10


def test_a_chain_that_never_ends_costs_a_bounded_number_of_requests(looking: Looking) -> None:
    scene = looking.scene
    far = looking.receiving.chain(1)[0]
    looking.receiving.chain(200)
    tip = scene.last
    for server in (ONE, TWO):
        holder = looking.holder(server)
        holder.lacks = {far.event_id}
        holder.lies["state_ids"] = _refuse

    looking.send(tip)

    assert looking.source.operations["get_missing_events"] == missing_events.ROUNDS
    assert looking.source.operations["state_ids"] <= 2 * missing_events.MOST_AT_GAP


def _refuse(event_id: EventID) -> Any:
    raise RemoteNonsense(event_id)


def test_a_state_of_many_events_that_nobody_has_costs_a_bounded_number_of_requests(looking: Looking) -> None:
    (event,) = looking.receiving.chain(2)[1:]
    ids = [EventID(f"${number:043}") for number in range(event_fetching.FEW_EVENTS)]
    for server in (ONE, TWO):
        holder = looking.holder(server)
        holder.lies["get_missing_events"] = lambda _: []
        holder.lies["state_ids"] = lambda _: {"pdu_ids": ids, "auth_chain_ids": []}

    looking.send(event)

    assert len(looking.source.asked) <= event_fetching.MOST_REQUESTS
    assert looking.verdict(event) is None


def test_an_event_that_its_server_has_not_signed_is_no_part_of_a_state(looking: Looking) -> None:
    scene = looking.scene
    forged = scene.send(ALICE, "m.room.topic", {"topic": "forged"}, after=[scene.last])
    looking.receiving.chain(3)
    event = scene.last
    bad = {**forged.pdu, "signatures": {ONE: {"ed25519:test": "A" * 86}}}
    for server in (ONE, TWO):
        holder = looking.holder(server)
        holder.lies["get_missing_events"] = lambda _: []
        holder.lies["event"] = lambda _: bad
        holder.lies["state_ids"] = lambda _: {
            "pdu_ids": [*scene.history.state_after([event.event_id]).values(), forged.event_id],
            "auth_chain_ids": [],
        }

    looking.send(event)

    assert looking.receiving.kept(forged) == set()
    assert looking.verdict(event) is None


def assigned_event(scene: Scene, name: str, *prev: str) -> Event:
    """Alice's message of a chosen ID, after events of chosen IDs."""
    state = scene.history.state_after([scene.last.event_id])
    auth = [state[key] for key in (("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", ALICE))]
    template = EventTemplate(
        room_id=scene.history.room_id,
        type="m.room.message",
        sender=ALICE,
        content={"body": name},
        state_key=None,
        prev_events=tuple((EventID(f"${one}:one.example"), b"") for one in prev),
        auth_events=tuple((event_id, b"") for event_id in auth),
        depth=50,
        origin_server_ts=1_700_000_100_000,
    )
    return build_event(template, scene.version, ONE, KEYS[ONE], EventID(f"${name}:one.example")).event


def test_events_that_name_each_other_make_nobody_go_in_circles(world: World) -> None:
    looking = Looking(world, "1")
    here, there = assigned_event(looking.scene, "here", "there"), assigned_event(looking.scene, "there", "here")
    looking.holder().lies["get_missing_events"] = lambda latest: [there.pdu] if here.event_id in latest else [here.pdu]

    looking.send(here)
    looking.world.clock.advance(24 * 3600)

    assert looking.verdict(here) is None
    assert looking.verdict(there) is None
    assert len(looking.source.asked) <= 2 * missing_events.ROUNDS


def test_a_chain_that_another_server_invents_as_it_is_asked_costs_a_bounded_number_of_requests(world: World) -> None:
    looking = Looking(world, "1")
    asked: list[int] = []

    def invent(_: Any) -> list[Any]:
        asked.append(len(asked))
        number = len(asked)
        return [assigned_event(looking.scene, f"e{number}", f"e{number + 1}").pdu]

    for server in (ONE, TWO):
        looking.holder(server).lies["get_missing_events"] = invent

    looking.send(assigned_event(looking.scene, "e0", "e1"))

    assert len(asked) == missing_events.ROUNDS
    # Then each of two servers for the state, and for the event that would come before.
    assert len(looking.source.asked) <= missing_events.ROUNDS + 4


def test_a_server_cannot_have_the_event_of_another_one_rejected_by_lying_about_the_state(looking: Looking) -> None:
    scene = looking.scene
    liar = scene.last = scene.member(MALLORY, "join", after=[scene.last])
    looking.send(liar)
    looking.source.holders[LIAR] = Holder(scene.history)
    looking.holder(LIAR).lies["state_ids"] = lambda _: {"pdu_ids": [], "auth_chain_ids": []}
    looking.receiving.chain(100)
    event = scene.last
    for server in (ONE, TWO):
        looking.holder(server).is_away = True

    looking.send(event, origin=LIAR)

    assert looking.source.servers_asked("state_ids") == [ONE, LIAR, TWO]
    assert looking.verdict(event) is None
    looking.holder(ONE).is_away = False
    looking.world.clock.advance(200)
    assert looking.verdict(event) is Verdict.ACCEPTED


def test_a_server_that_could_not_be_reached_is_asked_when_it_can_be_again(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    looking.holder(ONE).is_away = looking.holder(TWO).is_away = True
    looking.send(events[-1])
    looking.world.clock.advance(3600)  # for so long that the next attempt is far away
    assert looking.verdict(events[-1]) is None

    looking.holder(ONE).is_away = False
    looking.missing.note_reachable(ONE)
    looking.receiving.settle()

    assert [looking.verdict(event) for event in events] == [Verdict.ACCEPTED] * 3
    assert looking.gaps == 0


def test_that_a_server_can_be_reached_changes_nothing_where_it_was_not_missed(looking: Looking) -> None:
    events = looking.receiving.chain(3)
    for server in (ONE, TWO):
        looking.holder(server).lacks = {event.event_id for event in events}
    looking.send(events[-1])
    asked = len(looking.source.asked)

    looking.missing.note_reachable(ONE)
    looking.missing.note_reachable(None)
    looking.receiving.settle()

    assert len(looking.source.asked) == asked


def topic_before(looking: Looking, event: Event) -> EventID | None:
    """Which topic the room had before an event that was judged."""
    stored = looking.receiving.find(event)
    assert stored is not None
    root = stored.root_before
    assert root is not None

    def find(tx: Transaction) -> EventID | None:
        found = looking.world.states.find(tx, looking.receiving.room_id, root, "m.room.topic", "")
        return None if found is None else found.event.event_id

    return looking.world.sync_database.read(find)


def lose_what_came_before(looking: Looking, previous: Event) -> Event:
    """An event after `previous`: its server has sent it and forgotten it, and does not say what came before it."""
    looking.scene.last = previous
    [event] = looking.receiving.chain(1)
    for server in (ONE, TWO):
        looking.holder(server).lacks.add(event.event_id)
        looking.holder(server).lies["get_missing_events"] = lambda _: []
    looking.send(event)
    return event


def test_servers_that_know_what_came_before_an_event_but_not_the_event_give_the_state_there(looking: Looking) -> None:
    scene = looking.scene
    before = scene.last = scene.send(ALICE, "m.room.topic", {"topic": "before"}, after=[scene.last])
    topic = scene.send(ALICE, "m.room.topic", {"topic": "after"}, after=[before])

    event = lose_what_came_before(looking, topic)

    assert looking.verdict(event) is Verdict.ACCEPTED
    assert topic_before(looking, event) == topic.event_id
    assert looking.verdict(topic) is None
    assert looking.gaps == 0


def test_a_message_before_a_gap_leaves_the_state_as_it_was(looking: Looking) -> None:
    scene = looking.scene
    topic = scene.last = scene.send(ALICE, "m.room.topic", {"topic": "there"}, after=[scene.last])
    message = scene.say(ALICE, after=[topic])

    event = lose_what_came_before(looking, message)

    assert looking.verdict(event) is Verdict.ACCEPTED
    assert topic_before(looking, event) == topic.event_id
    assert looking.receiving.kept(message) == set()


def test_what_its_auth_events_refuse_is_no_part_of_the_state_after_a_gap(looking: Looking) -> None:
    scene = looking.scene
    topic = scene.last = scene.send(ALICE, "m.room.topic", {"topic": "right"}, after=[scene.last])
    refused = scene.send(CAROL, "m.room.topic", {"topic": "wrong"}, after=[topic])

    event = lose_what_came_before(looking, refused)

    assert looking.verdict(event) is Verdict.ACCEPTED
    assert topic_before(looking, event) == topic.event_id


def test_an_event_that_is_not_the_one_before_a_gap_is_not_taken_for_it(looking: Looking) -> None:
    scene = looking.scene
    topic = scene.send(ALICE, "m.room.topic", {"topic": "lost"}, after=[scene.last])
    for server in (ONE, TWO):
        looking.holder(server).lies["event"] = lambda _: dict(scene.create.pdu)

    event = lose_what_came_before(looking, topic)

    assert looking.verdict(event) is None
