"""Events from the past: judged and shown where they belong, and nothing of the present is any different."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from homeserver.storage.rooms import PLACE_STEP
from tests.conftest import examples
from tests.forked_rooms import ALICE, BOB, CAROL, DAVE, TWO, ForkedRoom, forked_rooms
from tests.poured_rooms import PouredRoom, fresh_server
from tests.scenes import Scene
from tests.services.admin.damageable_room import KeysOfAll, TakenScene
from tests.services.events.test_intake_at_gaps import OTHER, VERSIONS, Taking, received
from tests.services.world import SERVER, World, now


class Past(Taking):
    """A server that came into a room late, and takes in what was before."""

    def join_after(self, *before: Event, last: Event | None = None) -> Event:
        """Bob's join after these, of which nothing is known but the state."""
        last = last or before[-1]
        join = self.scene.member(BOB, "join", after=[last])
        self.know_state(self.scene.after(last).values())
        assert self.at_gap(join, list(self.scene.after(last).values())) is Outcome.ACCEPTED
        return join

    def know_state(self, state: Iterable[EventID]) -> None:
        """Know these and what authorises them, by themselves."""
        events = self.scene.history.events
        wanted = {self.scene.create.event_id, *state}
        for event in reversed(events.values()):
            if event.event_id in wanted:
                wanted.update(event.auth_event_ids)
        self.outliers(*(event for event in events.values() if event.event_id in wanted))

    def history(
        self, *events: Event, given: Mapping[EventID, Sequence[EventID]] | None = None, by: ServerName = OTHER
    ) -> list[Outcome]:
        """What comes of events from the past; unless told otherwise the first is given the state before it."""
        if given is None:
            before = self.scene.history.before[events[0].event_id]
            self.know_state(before.values())
            given = {events[0].event_id: list(before.values())}
        states = {event_id: GivenState(tuple(state), by) for event_id, state in given.items()}
        taken = [received(event) for event in events]
        outcomes = now(self.world.intake.take_history(self.room_id, self.scene.version, taken, states))
        return [outcomes[event.event_id] for event in events]

    def chain(self, length: int, *, after: Event | None = None) -> list[Event]:
        """Messages of Alice's, each after the one before."""
        chain: list[Event] = []
        for number in range(length):
            chain.append(self.scene.say(ALICE, f"{number}", after=[chain[-1] if chain else after or self.scene.last]))
        return chain

    def fault(self) -> object:
        """The first thing that does not hold of the room."""
        return TakenScene(self.world, self.scene).fault()


@pytest.fixture(params=VERSIONS)
def past(request: pytest.FixtureRequest, world: World) -> Past:
    """A server and a room that it has not heard of, in several room versions."""
    return Past(world, Scene(ROOM_VERSIONS[request.param]))


def ids(events: Iterable[Event]) -> list[EventID]:
    return [event.event_id for event in events]


def test_what_was_before_is_shown_in_its_order_and_changes_nothing_now(past: Past) -> None:
    chain = past.chain(9)
    join = past.join_after(*chain)
    head = past.head

    assert past.history(*chain[2:]) == [Outcome.ACCEPTED] * 7

    assert past.shown() == [*ids(chain[2:]), join.event_id]
    assert (past.head.heads, past.head.current_root, past.head.last_place, past.head.depth) == (
        head.heads,
        head.current_root,
        head.last_place,
        head.depth,
    )
    assert {past.stored(event).log_position for event in chain[2:]} == {None}
    assert past.missing() == [chain[1].event_id]
    for event in chain[2:]:
        assert past.state(past.stored(event).root_before) == past.scene.history.before[event.event_id]
    assert past.fault() is None


def test_history_is_filled_in_parts_down_to_the_beginning(past: Past) -> None:
    scene = past.scene
    chain = past.chain(8)
    join = past.join_after(*chain)
    whole = [scene.create, scene.joined, scene.levels, scene.join_rules, *chain]

    for start in (9, 6, 3):
        assert set(past.history(*whole[start : start + 3])) == {Outcome.ACCEPTED}
    assert set(past.history(*whole[:3], given={})) == {Outcome.ACCEPTED}

    assert past.shown() == [*ids(whole), join.event_id]
    assert past.missing() == []
    assert past.fault() is None


def test_after_an_outage_what_was_missed_stands_between_what_was_known_and_what_came_later(past: Past) -> None:
    scene = past.scene
    past.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    chain = past.chain(9)
    later = scene.send(ALICE, "m.room.topic", {"topic": "later"}, after=[chain[-1]])
    past.at_gap(later, list(scene.after(chain[-1]).values()))
    head = past.head
    assert set(head.heads) == {scene.last.event_id, later.event_id}

    for part in (chain[6:], chain[3:6], chain[:3]):
        assert past.history(*part) == [Outcome.ACCEPTED] * 3

    known = (scene.create, scene.joined, scene.levels, scene.join_rules)
    assert past.shown() == [*ids(known), *ids(chain), later.event_id]
    assert (past.head.heads, past.head.current_root) == (head.heads, head.current_root)
    assert past.fault() is None
    last = scene.say(ALICE, after=[later, scene.last])
    past.take(last)
    assert past.head.heads == (last.event_id,)
    assert past.state(past.head.current_root) == scene.after(last)
    assert past.fault() is None


def test_there_is_room_between_two_events_for_very_many(world: World) -> None:
    past = Past(world, Scene())
    scene = past.scene
    past.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    missed = scene.say(ALICE, after=[scene.last])
    later = scene.say(ALICE, after=[missed])
    past.at_gap(later, list(scene.after(missed).values()))

    def read(tx: Transaction) -> list[int] | None:
        write = past.world.writer.open(tx, past.room_id)
        assert write is not None
        return write.graph.history_places([missed.event_id] * 100)

    places = past.world.sync_database.read(read)

    lower = past.stored(scene.last).place
    assert places is not None
    assert lower is not None
    assert places[0] > lower + PLACE_STEP * 98 // 100
    assert len(set(places)) == 100


def test_a_redaction_in_the_past_hits_what_it_redacts(past: Past) -> None:
    scene = past.scene
    secret = scene.say(ALICE, "secret", after=[scene.last])
    redaction = scene.redact(ALICE, secret, after=[secret])
    late = scene.say(ALICE, "another secret", after=[redaction])
    join = past.join_after(late)
    redaction_of_late = scene.redact(ALICE, late, after=[join])
    past.take(redaction_of_late)

    assert past.history(secret, redaction, late) == [Outcome.ACCEPTED] * 3

    assert past.stored(secret).redacted_by == redaction.event_id
    assert past.stored(late).redacted_by == redaction_of_late.event_id
    assert {past.stored(event).form for event in (secret, late)} == {Form.REDACTED}
    assert past.fault() is None


def test_the_present_has_no_say_about_the_past(past: Past) -> None:
    scene = past.scene
    came = scene.member(CAROL, "join", after=[scene.last])
    said = scene.say(CAROL, "then", after=[came])
    ban = scene.member(CAROL, "ban", sender=ALICE, after=[said])
    join = past.join_after(ban)

    assert past.history(came, said, ban) == [Outcome.ACCEPTED] * 3

    assert past.shown() == [*ids([came, said, ban]), join.event_id]
    assert past.fault() is None


def test_what_the_rules_refused_is_not_shown_and_what_lies_under_it_is(past: Past) -> None:
    scene = past.scene
    first = scene.say(ALICE, after=[scene.last])
    refused = scene.say(BOB, "from outside", after=[first])
    last = scene.say(ALICE, after=[refused])
    join = past.join_after(last)

    assert past.history(refused, last) == [Outcome.REJECTED, Outcome.ACCEPTED]
    assert past.shown() == [last.event_id, join.event_id]
    assert past.fault() is None
    assert past.history(first) == [Outcome.ACCEPTED]

    assert past.shown() == [*ids([first, last]), join.event_id]
    assert past.fault() is None


def test_what_only_a_soft_failed_event_is_built_on_is_not_taken(past: Past) -> None:
    scene = past.scene
    came = scene.member(CAROL, "join", after=[scene.last])
    ban = scene.member(CAROL, "ban", sender=ALICE, after=[came])
    past.take(scene.create, scene.joined, scene.levels, scene.join_rules, came, ban)
    hidden = scene.say(CAROL, "never sent before the ban", after=[came])
    evading = scene.say(CAROL, "nor this", after=[hidden])
    assert past.at_gap(evading, list(scene.after(came).values())) is Outcome.SOFT_FAILED

    assert past.history(hidden, given={}) == [Outcome.DROPPED]

    assert hidden.event_id not in past.shown()


def test_what_nothing_is_built_on_is_not_taken(past: Past) -> None:
    chain = past.chain(3)
    past.join_after(*chain)
    stray = past.scene.say(ALICE, "stray", after=[chain[0]])

    assert past.history(stray) == [Outcome.DROPPED]

    assert past.fault() is None


def test_nobody_can_have_the_events_of_others_refused_by_leaving_out_what_authorised_them(past: Past) -> None:
    scene = past.scene
    came = scene.last = scene.member(DAVE, "join", after=[scene.last])
    first = scene.say(ALICE, after=[came])
    said = scene.say(DAVE, after=[first])
    join = past.join_after(said)
    truth = scene.history.before[first.event_id]
    lie = {first.event_id: [event_id for event_id in truth.values() if event_id != came.event_id]}

    assert past.history(first, said, given=lie, by=TWO) == [Outcome.DROPPED, Outcome.DROPPED]
    assert past.shown() == [join.event_id]
    assert past.history(first, said) == [Outcome.ACCEPTED, Outcome.ACCEPTED]

    assert past.shown() == ids([first, said, join])
    assert past.fault() is None


def test_a_given_state_with_two_events_of_one_key_is_refused(past: Past) -> None:
    scene = past.scene
    came = scene.member(CAROL, "join", after=[scene.last])
    left = scene.member(CAROL, "leave", after=[came])
    said = scene.say(ALICE, after=[left])
    past.join_after(said)
    past.know_state([came.event_id])
    state = [*scene.history.before[said.event_id].values(), came.event_id]

    assert past.history(said, given={said.event_id: state}) == [Outcome.DROPPED]


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@hypothesis.given(forked_rooms(), st.integers(1, 12))
def test_the_past_of_a_forked_room_is_what_its_history_says_however_it_comes(room: ForkedRoom, size: int) -> None:
    history = room.history
    events = {event.event_id: event for event in room.events if event.event_id not in history.rejected}
    newest = list(events.values())[-1]
    below = [event_id for event_id in events if event_id in history.preceding[newest.event_id]]
    with TemporaryDirectory() as folder:
        world = fresh_server(Path(folder), "late")
        try:
            poured = PouredRoom(world, room)
            states = [received(event) for event in room.events if event.state_key is not None]
            now(world.intake.take_outliers(room.room_id, room.version, states))
            given = GivenState(list(history.before[newest.event_id].values()), OTHER)
            now(world.intake.take_at_gap(room.room_id, room.version, received(newest), given))
            head = poured.head
            is_certain = True  # a state that was merged before it was given may be another one once it is merged again
            while below:
                below, batch_ids = below[:-size], below[-size:]
                batch = [events[event_id] for event_id in batch_ids]
                lacking = {event.event_id: set(event.prev_event_ids) - events.keys() for event in batch}
                for event in batch:
                    lacking[event.event_id] |= set(below).intersection(event.prev_event_ids)
                    is_certain = is_certain and lacking[event.event_id] in (set(), set(event.prev_event_ids))
                states_before = {
                    event_id: GivenState(list(history.before[event_id].values()), OTHER)
                    for event_id in batch_ids
                    if lacking[event_id]
                }
                outcomes = now(
                    world.intake.take_history(
                        room.room_id, room.version, [received(event) for event in batch], states_before
                    )
                )
                assert not is_certain or set(outcomes.values()) == {Outcome.ACCEPTED}

            stored = poured.stored(history.preceding[newest.event_id])
            placed = {event_id: one.place for event_id, one in stored.items() if one.place is not None}
            assert (poured.head.heads, poured.head.current_root) == (head.heads, head.current_root)
            assert all(one.log_position is None for one in stored.values())
            for event_id, place in placed.items():
                assert all(placed[prev] < place for prev in events[event_id].prev_event_ids if prev in placed)
            if is_certain:
                assert placed.keys() == events.keys() & stored.keys()
                for event_id in placed:
                    root = stored[event_id].root_before
                    assert root is not None
                    assert poured.state(root) == history.before[event_id]
            audit = RoomAudit(room.room_id, KeysOfAll(), SERVER)
            while world.sync_database.read(audit.go_on):
                pass
            assert audit.fault is None
        finally:
            world.close()
