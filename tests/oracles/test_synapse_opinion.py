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
from homeserver.core.room_versions import ROOM_VERSIONS
from tests.conftest import LargeRun
from tests.forked_rooms import ForkedRoom, Statistics, grow_room
from tests.oracles.synapse_opinion import SynapseOpinion
from tests.synapse import SynapseMissing, synapse_python

SAMPLE_ROOMS: Final = 400
WHOLE_ROOMS: Final = 20_000

# Each with the specification's words, to which this server keeps.
OWN_EVENTS_IN_CHAIN: Final = (
    "A state's own events are no part of its auth chain (rooms/v2/#definitions: 'the full auth chain for each state, "
    "that is the union of the auth chains for each event', and an event's chain is 'all of its auth events, all of "
    "their auth events, and so on'). Synapse's storage counts them in, so that an event that all states agree on, and "
    "that only some of them build on, is not in its auth difference. Recognised by Synapse resolving as this server "
    "does once it is given the difference that the text defines."
)
TARGET_OF_ANOTHER_SERVER: Final = (
    "In a room with m.federate false, the rules refuse events whose *sender* is of another server than the creator "
    "(rooms/v1/#authorisation-rules, 'the sender domain of the event'). Synapse also refuses memberships of a *target* "
    "of another server. Nobody could accept such an invite; both refuse the join."
)


@pytest.fixture(scope="module")
def synapse() -> Iterator[SynapseOpinion]:
    """Synapse's code, in its own environment."""
    try:
        python = synapse_python()
    except SynapseMissing as missing:
        pytest.skip(f"NOT TRIED: {missing}")
    with SynapseOpinion(python) as opinion:
        yield opinion


@dataclass
class Comparison:
    """What both say of rooms, and where they differ."""

    synapse: SynapseOpinion
    cases: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def compare(self, room: ForkedRoom, name: str) -> None:
        """Ask about everything in a room that can be asked about."""
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
        if (
            question["ask"] == "allows"
            and ours is True
            and _has_far_target(room, room.history.events[question["event"]])
        ):
            self.known[TARGET_OF_ANOTHER_SERVER] += 1
        elif question["ask"] == "resolve" and self._ask(room, [{**question, "by_the_text": True}]) == [ours]:
            self.known[OWN_EVENTS_IN_CHAIN] += 1
        elif question["ask"] == "resolve" and any(_has_far_target(room, event) for event in room.events):
            self.known[TARGET_OF_ANOTHER_SERVER] += 1
        else:
            self.unexplained.append(f"{name}: {question}: {ours} here, {theirs} there")

    def __str__(self) -> str:
        cases = ", ".join(f"{count} of {ask}" for ask, count in self.cases.items())
        known = "".join(f"\n  {count} times: {text}" for text, count in self.known.items())
        return f"Compared with Synapse: {cases}{known}"


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
def test_synapse_judges_and_resolves_rooms_that_grew_as_this_server_does(
    synapse: SynapseOpinion, large_run: LargeRun
) -> None:
    comparison = Comparison(synapse)
    statistics = Statistics()
    versions = list(ROOM_VERSIONS.values())

    for number in range(WHOLE_ROOMS if large_run.whole else SAMPLE_ROOMS):
        version = versions[number % len(versions)]
        seed = f"{large_run.seed}/{number}"
        room = grow_room(Random(seed), version)
        statistics.count(room)
        comparison.compare(room, f"grow_room(Random({seed!r}), version {version.name})")

    print(statistics)
    print(comparison)
    assert comparison.unexplained == []
    statistics.check()
