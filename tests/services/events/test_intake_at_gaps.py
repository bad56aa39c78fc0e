"""Rooms of which only a part is here: auth chains without their graph, states that were given, gaps that close."""

from collections.abc import Sequence

import pytest

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.redaction import redacted_event
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.state_map import StateMap
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Intake, Outcome
from homeserver.services.events.news import RoomWritten
from homeserver.services.events.receipt import Received
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import next_events
from homeserver.storage.events import ACCEPTED_BEFORE, Form, StoredEvent, events_backwards, events_by_id
from homeserver.storage.rooms import RoomHead, find_head
from homeserver.storage.waiting_events import WaitingEvent, insert_waiting, missing_events
from tests.forked_rooms import ALICE, BOB
from tests.scenes import Scene
from tests.services.watched import Watched
from tests.services.world import World, now

OTHER = ServerName("one.example")
VERSIONS = ("1", "3", "11", "12")


def received(event: Event, form: Form = Form.FULL) -> Received:
    """An event as the checks before the room leave it."""
    return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), form)


class Taking:
    """A server that takes in what it is given of a scene."""

    def __init__(self, world: World, scene: Scene) -> None:
        self.world = world
        self.scene = scene
        self.room_id = scene.create.room_id

    def take(self, *events: Event) -> dict[EventID, Outcome]:
        """Events with the graph around them."""
        taken = [received(event) for event in events]
        return now(self.world.intake.take(self.room_id, self.scene.version, taken, received_from=OTHER))

    def take_bare(self, event: Event) -> None:
        """An event whose content was not the signed one."""
        bare = received(redacted_event(event), Form.WRONG_HASH)
        now(self.world.intake.take(self.room_id, self.scene.version, [bare], received_from=OTHER))

    def outliers(self, *events: Event) -> dict[EventID, Outcome]:
        """Events without the graph around them."""
        taken = [received(event) for event in events]
        return now(self.world.intake.take_outliers(self.room_id, self.scene.version, taken))

    def at_gap(self, event: Event, state: Sequence[EventID]) -> Outcome:
        """An event in a given state."""
        given = GivenState(tuple(state), OTHER)
        taken = now(self.world.intake.take_at_gap(self.room_id, self.scene.version, received(event), given))
        return taken[event.event_id]

    def join_late(self) -> tuple[Event, Event]:
        """Know nothing but the state that Bob's join found, as a server that joins; the join, and what was before."""
        scene = self.scene
        before = scene.say(ALICE, after=[scene.last])
        join = scene.member(BOB, "join", after=[before])
        self.outliers(scene.create, scene.joined, scene.levels, scene.join_rules)
        state = scene.history.state_after([before.event_id])
        assert self.at_gap(join, list(state.values())) is Outcome.ACCEPTED
        return before, join

    @property
    def head(self) -> RoomHead:
        """Where the room stands here."""
        head = self.world.sync_database.read(find_head, self.room_id)
        assert head is not None
        return head

    def stored(self, event: Event) -> StoredEvent:
        """An event as it is kept."""
        return self.world.sync_database.read(events_by_id, [event.event_id])[event.event_id]

    def state(self, root: bytes | None) -> StateMap:
        """The whole state of a root."""
        assert root is not None
        return self.world.sync_database.read(
            lambda tx: self.world.states.with_nodes(tx, self.room_id, lambda nodes: dict(state_map.items(nodes, root)))
        )

    def missing(self) -> list[EventID]:
        """What is named and is not here."""
        return self.world.sync_database.read(lambda tx: missing_events(tx, self.room_id, limit=100))

    def shown(self) -> list[EventID]:
        """The room's timeline, oldest first."""
        last_place = self.head.last_place
        events = self.world.sync_database.read(
            lambda tx: events_backwards(tx, self.room_id, place=last_place, limit=100)
        )
        return [one.event.event_id for one in reversed(events)]


@pytest.fixture(params=VERSIONS)
def taking(request: pytest.FixtureRequest, world: World) -> Taking:
    """A server and a room that it has not heard of, in several room versions."""
    return Taking(world, Scene(ROOM_VERSIONS[request.param]))


def test_outliers_have_no_place_and_change_no_state(taking: Taking) -> None:
    scene = taking.scene

    outcomes = taking.outliers(scene.create, scene.joined, scene.levels)

    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    assert taking.head.heads == ()
    assert taking.head.current_root == state_map.EMPTY_ROOT
    assert taking.shown() == []
    assert taking.stored(scene.levels).place is None


def test_an_outlier_that_its_auth_events_forbid_is_rejected_and_enters_no_given_state(taking: Taking) -> None:
    scene = taking.scene
    before = scene.say(ALICE, after=[scene.last])
    forged = scene.send(BOB, "m.room.topic", {"topic": "mine"}, after=[before], auth_state=scene.after(before))
    join = scene.member(BOB, "join", after=[before])
    taking.outliers(scene.create, scene.joined, scene.levels, scene.join_rules)

    assert taking.outliers(forged) == {forged.event_id: Outcome.REJECTED}

    state = scene.after(before)
    assert taking.at_gap(join, [*state.values(), forged.event_id]) is Outcome.ACCEPTED
    assert taking.state(taking.stored(join).root_before) == state


def test_an_outlier_without_its_auth_events_is_not_kept(taking: Taking) -> None:
    scene = taking.scene
    taking.outliers(scene.create)

    assert taking.outliers(scene.levels) == {scene.levels.event_id: Outcome.DROPPED}


def test_who_joins_late_has_the_given_state_and_knows_what_is_missing(taking: Taking) -> None:
    before, join = taking.join_late()

    history = taking.scene.history
    assert taking.state(taking.stored(join).root_before) == history.state_after([before.event_id])
    assert taking.stored(join).root_given_by == OTHER
    assert taking.head.heads == (join.event_id,)
    assert taking.state(taking.head.current_root) == history.state_after([join.event_id])
    assert taking.missing() == [before.event_id]
    assert taking.shown() == [join.event_id]


def test_life_goes_on_after_a_gap(taking: Taking) -> None:
    _, join = taking.join_late()
    message = taking.scene.say(BOB, after=[join])

    assert taking.take(message) == {message.event_id: Outcome.ACCEPTED}
    assert taking.stored(message).root_given_by is None
    assert taking.shown() == [join.event_id, message.event_id]


def test_what_closes_a_gap_is_shown_before_it_and_changes_nothing_now(taking: Taking) -> None:
    scene = taking.scene
    before, join = taking.join_late()
    head = taking.head
    state = scene.history.state_after([scene.last.event_id])

    assert taking.at_gap(before, list(state.values())) is Outcome.ACCEPTED

    assert taking.head.heads == head.heads
    assert taking.head.current_root == head.current_root
    assert taking.shown() == [before.event_id, join.event_id]
    assert taking.stored(before).log_position is None  # no news
    followers = taking.world.sync_database.read(lambda tx: next_events(tx, before.event_id, limit=10))
    assert followers == [join.event_id]
    assert taking.missing() == [scene.last.event_id]


def test_a_history_that_comes_backwards_is_shown_in_its_order(taking: Taking) -> None:
    scene = taking.scene
    before, join = taking.join_late()
    backwards = [before, scene.join_rules, scene.levels, scene.joined, scene.create]

    for event in backwards:
        state = scene.history.state_after(event.prev_event_ids)
        outcome = taking.at_gap(event, list(state.values())) if state else taking.take(event)[event.event_id]
        assert outcome is Outcome.ACCEPTED

    assert taking.shown() == [*(event.event_id for event in reversed(backwards)), join.event_id]
    assert taking.head.heads == (join.event_id,)
    assert taking.missing() == []
    for event in (*backwards, join):
        assert taking.state(taking.stored(event).root_before) == scene.history.before[event.event_id]


def test_a_history_that_comes_forwards_closes_the_gap(taking: Taking) -> None:
    scene = taking.scene
    first = scene.say(ALICE, after=[scene.last])
    second = scene.say(ALICE, after=[first])
    join = scene.member(BOB, "join", after=[second])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    taking.at_gap(join, list(scene.history.state_after([second.event_id]).values()))
    taking.take(second)

    outcomes = taking.take(first)

    assert outcomes == {first.event_id: Outcome.ACCEPTED, second.event_id: Outcome.ACCEPTED}
    assert taking.head.heads == (join.event_id,)
    assert taking.missing() == []
    shown = taking.shown()
    assert shown.index(first.event_id) < shown.index(second.event_id)
    assert taking.stored(second).log_position is not None  # news, because a head ceased to be one


def test_a_given_state_with_an_unknown_event_is_refused(taking: Taking) -> None:
    scene = taking.scene
    join = scene.member(BOB, "join", after=[scene.last])
    taking.outliers(scene.create, scene.joined, scene.levels)

    assert taking.at_gap(join, [scene.create.event_id, EventID("$nowhere:one.example")]) is Outcome.DROPPED
    assert taking.shown() == []


def test_an_event_that_begins_the_room_anew_is_refused_at_a_gap_too(taking: Taking) -> None:
    scene = taking.scene
    taking.join_late()
    other = scene.send(ALICE, "m.room.create", {**scene.create.content, "m.federate": False}, time=99)

    assert taking.outliers(other) == {other.event_id: Outcome.DROPPED}
    assert taking.take(other) == {other.event_id: Outcome.DROPPED}
    assert taking.at_gap(other, [scene.create.event_id]) is Outcome.DROPPED


def test_the_beginning_of_the_room_finds_its_place_before_everything(taking: Taking) -> None:
    scene = taking.scene
    _, join = taking.join_late()

    assert taking.take(scene.create) == {scene.create.event_id: Outcome.ACCEPTED}

    assert taking.shown() == [scene.create.event_id, join.event_id]
    assert taking.head.heads == (join.event_id,)


def test_a_create_event_that_the_rules_refuse_does_not_take_the_rooms_id(world: World) -> None:
    scene = Scene(ROOM_VERSIONS["11"])
    taking = Taking(world, scene)
    usurper = Scene(ROOM_VERSIONS["11"]).send(BOB, "m.room.create", {"room_version": "11"})

    assert taking.take(usurper) == {usurper.event_id: Outcome.DROPPED}
    assert taking.take(scene.create) == {scene.create.event_id: Outcome.ACCEPTED}


def test_the_redaction_of_an_outlier_outlives_its_coming_again(taking: Taking) -> None:
    scene = taking.scene
    topic = scene.send(ALICE, "m.room.topic", {"topic": "secret"}, after=[scene.last])
    join = scene.member(BOB, "join", after=[topic])
    taking.outliers(scene.create, scene.joined, scene.levels, scene.join_rules, topic)
    taking.at_gap(join, list(scene.history.state_after([topic.event_id]).values()))
    redaction = scene.redact(ALICE, topic, after=[join])
    assert taking.take(redaction)[redaction.event_id] is Outcome.ACCEPTED
    assert taking.stored(topic).form is Form.REDACTED

    taking.at_gap(topic, list(scene.history.state_after([scene.last.event_id]).values()))

    assert taking.stored(topic).place is not None
    assert taking.stored(topic).form is Form.REDACTED
    assert b"secret" not in encode_for(topic.version, taking.stored(topic).event.pdu)


def test_a_full_form_replaces_one_that_came_with_a_wrong_hash(taking: Taking) -> None:
    scene = taking.scene
    message = scene.say(ALICE, after=[scene.last])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    taking.take_bare(message)
    assert taking.stored(message).form is Form.WRONG_HASH

    assert taking.take(message) == {message.event_id: Outcome.ACCEPTED}

    assert taking.stored(message).form is Form.FULL
    assert taking.stored(message).event.content == message.content


def test_events_that_were_ready_when_the_server_stopped_are_judged_at_its_start(taking: Taking) -> None:
    scene = taking.scene
    message = scene.say(ALICE, after=[scene.last])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    pdu = encode_for(message.version, message.pdu)
    waiting = WaitingEvent(message.event_id, pdu, Form.FULL, OTHER, 1)
    taking.world.sync_database.write(insert_waiting, taking.room_id, waiting, [])

    now(taking.world.intake.resume())

    assert taking.head.heads == (message.event_id,)
    assert taking.missing() == []


def test_what_waits_and_is_known_by_its_auth_events_does_not_make_an_event_an_old_one(taking: Taking) -> None:
    scene = taking.scene
    ban = scene.member(BOB, "ban", sender=ALICE, after=[scene.last])
    late = scene.member(BOB, "join", after=[ban], auth_state=scene.after(scene.last))
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    assert taking.outliers(late) == {late.event_id: Outcome.ACCEPTED}
    assert taking.take(late) == {late.event_id: Outcome.WAITING}

    outcomes = taking.take(ban)

    assert outcomes == {ban.event_id: Outcome.ACCEPTED, late.event_id: Outcome.REJECTED}
    assert taking.head.heads == (ban.event_id,)
    assert taking.state(taking.head.current_root) == scene.after(ban)


def test_an_event_lacks_nothing_any_more_when_what_authorises_it_came_by_itself(taking: Taking) -> None:
    scene = taking.scene
    other = scene.send(ALICE, "m.room.join_rules", {"join_rule": "public"}, after=[scene.last])
    join = scene.member(BOB, "join", after=[scene.last], auth_state=scene.after(other))
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    assert taking.take(join) == {join.event_id: Outcome.WAITING}
    taking.outliers(other)

    assert taking.take(join) == {join.event_id: Outcome.ACCEPTED}

    assert taking.missing() == []
    assert taking.take(other) == {other.event_id: Outcome.ACCEPTED}
    assert set(taking.head.heads) == {join.event_id, other.event_id}


def test_where_nothing_is_missing_a_given_state_is_not_believed(taking: Taking) -> None:
    scene = taking.scene
    ban = scene.member(BOB, "ban", sender=ALICE, after=[scene.last])
    message = scene.say(ALICE, after=[ban])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules, ban)
    before_the_ban = list(scene.after(scene.last).values())

    assert taking.at_gap(message, before_the_ban[1:]) is Outcome.ACCEPTED

    assert taking.stored(message).root_given_by is None
    assert taking.state(taking.stored(message).root_before) == scene.after(ban)


def test_of_a_rejected_event_it_is_noted_that_it_was_accepted_as_long_as_nothing_else_was_known(taking: Taking) -> None:
    scene = taking.scene
    ban = scene.member(BOB, "ban", sender=ALICE, after=[scene.last])
    late = scene.member(BOB, "join", after=[ban], auth_state=scene.after(scene.last))
    forged = scene.send(BOB, "m.room.topic", {"topic": "mine"}, after=[ban])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    taking.outliers(late, forged)

    taking.take(ban, late, forged)

    assert taking.world.sync_database.read(find_reason, late.event_id).endswith(ACCEPTED_BEFORE)
    assert not taking.world.sync_database.read(find_reason, forged.event_id).endswith(ACCEPTED_BEFORE)


def find_reason(tx: Transaction, event_id: EventID) -> str:
    """Why an event was not accepted."""
    row = tx.one("SELECT verdict_reason FROM events WHERE event_id = :event_id", event_id=event_id)
    assert row is not None
    return str(row[0])


def test_a_rejected_event_that_closes_a_gap_leaves_the_current_state_as_it_is(taking: Taking) -> None:
    scene = taking.scene
    topic = scene.send(ALICE, "m.room.topic", {"topic": "news"}, after=[scene.last])
    forged = scene.say(BOB, after=[topic])
    above = scene.say(ALICE, after=[forged])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules, topic)
    assert taking.at_gap(above, list(scene.after(scene.last).values())) is Outcome.ACCEPTED
    head = taking.head

    assert taking.take(forged) == {forged.event_id: Outcome.REJECTED}

    assert (taking.head.heads, taking.head.current_root) == (head.heads, head.current_root)
    assert taking.missing() == []


def test_what_came_without_its_content_and_was_redacted_gets_it_no_more(taking: Taking) -> None:
    scene = taking.scene
    message = scene.say(ALICE, "secret", after=[scene.last])
    redaction = scene.redact(ALICE, message, after=[message])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    taking.take_bare(message)
    taking.take(redaction)
    assert taking.stored(message).redacted_by == redaction.event_id

    assert taking.take(message) == {message.event_id: Outcome.ACCEPTED}

    assert taking.stored(message).form is Form.REDACTED
    assert taking.stored(message).event.content == {}


def test_what_came_without_its_content_gets_none_that_the_rules_would_have_read(taking: Taking) -> None:
    scene = taking.scene
    levels = scene.send(
        ALICE, "m.room.power_levels", {**scene.levels.content, "notifications": {"room": 1}}, after=[scene.last]
    )
    named = scene.member(ALICE, "join", after=[levels])
    topic = scene.send(ALICE, "m.room.topic", {"topic": "news"}, after=[named])
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    for event in (levels, named, topic):
        taking.take_bare(event)

    taking.take(levels, named, topic)

    assert taking.stored(levels).form is Form.WRONG_HASH
    assert taking.stored(named).form is Form.WRONG_HASH
    assert taking.stored(topic).event.content == topic.content


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_comes_back_begins_anew_and_what_it_knew_is_no_head_any_more(world: World, version: str) -> None:
    taking = Taking(world, Scene(ROOM_VERSIONS[version]))
    scene = taking.scene
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    left = scene.member(BOB, "join", after=[scene.last])
    missed = scene.send(ALICE, "m.room.topic", {"topic": "missed"}, after=[left])
    back = scene.member(BOB, "join", after=[missed])
    state = scene.after(missed)
    taking.outliers(left, missed)

    given = GivenState(tuple(state.values()), OTHER)
    taken = now(world.intake.take_at_gap(taking.room_id, scene.version, received(back), given, begins_anew=True))

    assert taken[back.event_id] is Outcome.ACCEPTED
    assert taking.head.heads == (back.event_id,)
    assert taking.state(taking.head.current_root) == scene.after(back)


def test_of_a_given_state_no_more_is_written_than_what_differs_from_the_present(world: World) -> None:
    taking = Taking(world, Scene())
    scene = taking.scene
    things = [scene.create, scene.joined, scene.levels, scene.join_rules]
    for number in range(100):
        scene.last = scene.send(ALICE, "org.example.thing", {}, str(number), after=[scene.last])
        things.append(scene.last)
    taking.take(*things)
    missed = scene.send(ALICE, "org.example.thing", {"is": "other"}, "50", after=[scene.last])
    left_out = scene.send(ALICE, "org.example.thing", {}, "new", after=[missed])
    said = scene.say(ALICE, after=[left_out])
    taking.outliers(missed, left_out)
    watched = Watched(world.database)
    intake = Intake(watched, world.writer, world.head_joining, world.partial_rooms, world.incoming_spam, world.clock)

    given = GivenState(tuple(scene.after(left_out).values()), OTHER)
    taken = now(intake.take_at_gap(taking.room_id, scene.version, received(said), given))

    assert taken[said.event_id] is Outcome.ACCEPTED
    assert taking.state(taking.stored(said).root_before) == scene.after(left_out)
    assert max(watched.rows) < 40


def test_an_event_that_is_rejected_leaves_the_heads_where_they_are(world: World) -> None:
    taking = Taking(world, Scene(join_rule="invite"))
    scene = taking.scene
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    missed = scene.say(ALICE, after=[scene.last])
    back = scene.member(BOB, "join", after=[missed])
    before = taking.head

    given = GivenState(tuple(scene.after(missed).values()), OTHER)
    taken = now(world.intake.take_at_gap(taking.room_id, scene.version, received(back), given, begins_anew=True))

    assert taken[back.event_id] is Outcome.REJECTED
    assert (taking.head.heads, taking.head.current_root) == (before.heads, before.current_root)


def test_what_comes_together_with_something_old_is_told_by_itself(taking: Taking) -> None:
    scene = taking.scene
    taking.take(scene.create, scene.joined, scene.levels, scene.join_rules)
    known = scene.say(ALICE, after=[scene.last])
    missed = scene.say(ALICE, after=[scene.last])
    later = scene.say(ALICE, after=[missed])
    taking.take(known)
    taking.at_gap(later, list(scene.after(missed).values()))
    told: list[RoomWritten] = []
    taking.world.news.listen(lambda change: told.append(change) if isinstance(change, RoomWritten) else None)

    newest = scene.say(ALICE, after=[known, later])
    taking.take(missed, newest)

    assert [[one.event.event_id for one in written.events] for written in told] == [[newest.event_id]]
    assert [len(written.notified) for written in told] == [1]
    assert set(taking.shown()) >= {missed.event_id, newest.event_id}
