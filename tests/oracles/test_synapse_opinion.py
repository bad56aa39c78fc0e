"""Rooms that grew, as Synapse's own code judges and resolves them: the same, but for the differences named here."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest

from homeserver.core.auth_rules import check_auth_events
from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.identifiers import server_name_of_user
from homeserver.core.room_versions import ROOM_VERSIONS, V2, V11, V12, RoomVersion
from tests.conftest import LargeRun
from tests.core.rooms import every_version
from tests.forked_rooms import BOB, CAROL, ForkedRoom, Statistics, grow_room
from tests.oracles.naive_resolution import resolution
from tests.oracles.synapse_opinion import SynapseOpinion
from tests.scenes import Scene, with_entry
from tests.synapse import SynapseMissing, synapse_python

SAMPLE_ROOMS: Final = 420
WHOLE_ROOMS: Final = 20_004
ENOUGH_ROOMS: Final = 400

# Each with the specification's words, to which this server keeps.
OWN_EVENTS_IN_CHAIN: Final = (
    "A state's own events are no part of its auth chain (rooms/v2/#definitions: 'the full auth chain for each state, "
    "that is the union of the auth chains for each event', and an event's chain is 'all of its auth events, all of "
    "their auth events, and so on'). Synapse's storage counts them in, so that an event that all states agree on, and "
    "that only some of them build on, is not in its auth difference. Recognised by Synapse resolving as this server "
    "does once it is given the difference that the text defines."
)
CHAINS_WITHIN_THE_SET: Final = (
    "To the power events are added 'the events in the auth chain of P which also belong to the full conflicted set' "
    "(rooms/v2/#algorithm), whatever lies between. Synapse follows a chain only as long as it stays in that set. In "
    "v2.1 that makes no difference, for the set has all that lies between. Recognised by the wording resolving as "
    "Synapse does once its chains end there too."
)
TARGET_OF_ANOTHER_SERVER: Final = (
    "In a room with m.federate false, the rules refuse events whose *sender* is of another server than the creator "
    "(rooms/v1/#authorisation-rules, 'the sender domain of the event'). Synapse also refuses memberships of a *target* "
    "of another server. Nobody could accept such an invite; both refuse the join."
)


@dataclass
class Comparison:
    """What both say of rooms, and where they differ."""

    synapse: SynapseOpinion
    statistics: Statistics = field(default_factory=Statistics)
    cases: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def compare(self, room: ForkedRoom, name: str) -> None:
        """Ask about everything in a room that can be asked about."""
        self.statistics.count(room)
        questions: list[tuple[dict[str, Any], Any]] = [({"ask": "ids"}, [])]
        for event in room.events:
            questions += _questions_about(room, event)
        for fork in room.forks:
            states = [sorted(state.values()) for state in fork.states]
            questions.append(({"ask": "resolve", "states": states}, sorted(fork.resolved.values())))
        answers = self._ask(room, [question for question, _ in questions])
        for (question, ours), theirs in zip(questions, answers, strict=True):
            self.cases[question["ask"]] += 1
            if ours != theirs:
                self._explain(room, name, question, ours, theirs)

    def _ask(self, room: ForkedRoom, questions: list[dict[str, Any]]) -> list[Any]:
        return self.synapse.ask(room.room_id, room.version, room.events, room.history.rejected, questions)

    def _explain(self, room: ForkedRoom, name: str, question: dict[str, Any], ours: object, theirs: object) -> None:
        reason = None
        if question["ask"] == "allows" and ours is True:
            if _has_far_target(room, room.history.events[question["event"]]):
                reason = TARGET_OF_ANOTHER_SERVER
        elif question["ask"] == "resolve":
            reason = self._difference_of_resolutions(room, question, ours, theirs)
        if reason is None:
            self.unexplained.append(f"{name}: {question}: {ours} here, {theirs} there")
        else:
            self.known[reason] += 1

    def _difference_of_resolutions(
        self, room: ForkedRoom, question: dict[str, Any], ours: object, theirs: object
    ) -> str | None:
        history = room.history
        [by_the_text] = self._ask(room, [{**question, "by_the_text": True}])
        if by_the_text == ours:
            return OWN_EVENTS_IN_CHAIN
        events = [[history.events[event_id] for event_id in state] for state in question["states"]]
        states = [{(each.type, each.state_key or ""): each.event_id for each in state} for state in events]
        create_id = room.events[0].event_id
        within = resolution(states, history.events, create_id, history.rejected, within_the_set=True)
        if by_the_text == sorted(within.values()):
            return CHAINS_WITHIN_THE_SET
        if any(_has_far_target(room, event) for event in room.events):
            return TARGET_OF_ANOTHER_SERVER
        return None

    def __str__(self) -> str:
        cases = ", ".join(f"{count} of {ask}" for ask, count in self.cases.items())
        known = "".join(f"\n  {count} times: {text}" for text, count in self.known.items())
        return f"{self.statistics}\nCompared with Synapse: {cases}{known}"


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    """What comes of the whole run: printed in the end, when the rooms must have been about what they are for."""
    try:
        python = synapse_python()
    except SynapseMissing as missing:
        pytest.skip(f"NOT TRIED: {missing}")
    with SynapseOpinion(python) as opinion:
        comparison = Comparison(opinion)
        yield comparison
    print(comparison)
    if comparison.statistics.rooms >= ENOUGH_ROOMS:  # not where single tests were asked for
        comparison.statistics.check()


def _questions_about(room: ForkedRoom, event: Event) -> list[tuple[dict[str, Any], Any]]:
    history = room.history
    event_id = event.event_id
    before = history.before[event_id]
    selection = set(auth_types_for(event.type, event.sender, event.state_key, event.content, event.version))
    if room.version.room_id_is_create_hash and event.type != "m.room.create":
        selection.add(CREATE)  # Synapse counts it, and leaves it out of the event
    try:
        listed = [history.events[auth_id] for auth_id in event.auth_event_ids]
        check_auth_events(event, listed, create=history.create, rejected=history.rejected)
        are_good = True
    except AuthRejected:
        are_good = False
    return [
        ({"ask": "auth_events", "event": event_id}, are_good),
        ({"ask": "selection", "event": event_id}, sorted(map(list, selection))),
        ({"ask": "allows", "event": event_id, "state": sorted(before.values())}, history.allows(event, before)),
    ]


def _has_far_target(room: ForkedRoom, event: Event) -> bool:
    create = room.events[0]
    if create.content.get("m.federate") is not False or event.type != "m.room.member" or event.state_key is None:
        return False
    return event.state_key.partition(":")[2] != server_name_of_user(create.sender)


@pytest.mark.peers
@pytest.mark.large
@every_version
def test_synapse_judges_and_resolves_rooms_that_grew_as_this_server_does(
    comparison: Comparison, large_run: LargeRun, version: RoomVersion
) -> None:
    known_before = len(comparison.unexplained)

    for number in range((WHOLE_ROOMS if large_run.whole else SAMPLE_ROOMS) // len(ROOM_VERSIONS)):
        seed = f"{large_run.seed}/{version.name}/{number}"
        comparison.compare(grow_room(Random(seed), version), f"grow_room(Random({seed!r}), V{version.name})")

    assert comparison.unexplained[known_before:] == []


@pytest.mark.peers
@pytest.mark.parametrize("version", [V2, V11, V12], ids=lambda version: f"v{version.name}")
def test_synapse_follows_chains_within_the_conflicted_set_only(comparison: Comparison, version: RoomVersion) -> None:
    room = Scene(version, users={CAROL: 50})
    joined = room.member(CAROL, "join", after=[room.last], time=900)
    between = room.power_levels({CAROL: 50}, sender=CAROL, after=[joined])
    sides = [room.power_levels({CAROL: 50, BOB: level}, after=[between]) for level in (1, 2)]
    joined_again = room.member(CAROL, "join", after=[joined], time=5)
    states = [room.after(sides[0]), with_entry(room.after(sides[1]), joined_again)]
    history = room.history

    question = {"ask": "resolve", "states": [sorted(state.values()) for state in states]}
    [theirs] = comparison.synapse.ask(history.room_id, version, history.events.values(), (), [question])

    ours = room.resolve(*states)
    within = resolution(states, history.events, room.create.event_id, within_the_set=True)
    assert theirs == sorted(within.values())
    assert (within == ours) is (version is V12)
