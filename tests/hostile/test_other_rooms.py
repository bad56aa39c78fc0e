"""Users who ask for what is not theirs: by every request that names a room or an event, whichever way they stand to it.

A room that they were never in must look like one that does not exist, an event that they may not see like none. The
same of other servers is in test_other_servers.py.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.api.client import Client, Response, new_user
from tests.hostile.declared import EVENTS, ROOMS, pool
from tests.hostile.room_questions import EVENT, MEMBER, NEEDS, OTHER, ROOM, VERSION, Question, questions, text_fields
from tests.server import Server

# Any: JSON, throughout.

NO_ROOM: Final = "!" + "A" * 43
NO_EVENT: Final = "$" + "B" * 43
SECRET: Final = "confidential"
SAID: Final = f"{SECRET} words"
LATER: Final = f"{SECRET} topic of later"
ALL: Final = questions()

# What differs between a room that is closed and one that is not here, and why that is not to be helped.
TOLD: Final = {
    "RoomDirectoryEndpoints.visibility": "the specification has a status for rooms that are not known",
    "RoomMembershipEndpoints.join_room": "the specification has a status for rooms that want an invite",
    "RoomMembershipEndpoints.join_room_by_id": "as above; of others it takes other servers to know",
    "RoomMembershipEndpoints.knock": "as above",
}
# What is refused in one's own room too: it is asked rightly all the same.
REFUSED: Final = {
    "RoomMembershipEndpoints.knock": 403,
    "RoomMembershipEndpoints.forget_room": 400,
    "RoomMembershipEndpoints.kick": 403,
    "ThreadSubscriptionEndpoints.subscription": 404,
    "AccountDataEndpoints.account_data_of_room": 404,
    "ReceiptEndpoints.send_receipt": 400,  # where the event is no part of the thread
    "ThreadSubscriptionEndpoints.subscribe": 400,  # as above
}
# What nobody can go on in.
ENDS: Final = ("RoomMembershipEndpoints.leave_room", "RoomUpgradeEndpoints.upgrade")
# What an answer says of the moment, or of the order in which was asked.
OF_THE_MOMENT: Final = re.compile(
    rb'^{"event_id":"[^"]*"}$|"(?:delay_id|pos|etag|next_batch|last_active_ago|running_since|count|redacted_because)":(?:"[^"]*"|\d+),?'
)


@dataclass
class Scene:
    """Bob, who asks, and the rooms of Alice: each with an event that is none of his business."""

    bob: Client
    alice: Client
    carol: Client
    version: str
    own: str = ""
    rooms: dict[str, tuple[str, str]] = field(default_factory=dict)

    def ask(self, question: Question, room_id: str, event_id: str) -> Response:
        """What Bob is answered."""
        names = {ROOM: room_id, EVENT: event_id, OTHER: self.carol.user_id, VERSION: self.version}
        return question.ask(self.bob, names)

    def shape(self, question: Question, room_id: str, event_id: str) -> tuple[int, bytes]:
        """The same without what says that it was asked at another moment, and without the names."""
        answer = self.ask(question, room_id, event_id)
        body = OF_THE_MOMENT.sub(b"", answer.body)
        return answer.status, body.replace(room_id.encode(), b"ROOM").replace(event_id.encode(), b"EVENT")


@pytest.fixture(scope="module")
def scene(sqlite_server: Server) -> Scene:
    bob, alice, carol = (new_user(sqlite_server.url, name) for name in ("bob", "alice", "carol"))
    backup = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "A", "signatures": {}}}
    made = Scene(bob, alice, carol, bob.post("room_keys", "version", body=backup)["version"])
    made.own = bob.create_room(topic="own")
    for name in ("closed", "left", "forgotten", "banned", "invited", "late"):
        made.rooms[name] = furnished(made, name)
    bob.post("rooms", made.rooms["forgotten"][0], "forget")
    return made


def furnished(scene: Scene, name: str) -> tuple[str, str]:
    """A room of Alice's, and an event in it that Bob may not see: the beginning of a thread, or a reaction."""
    alice, bob = scene.alice, scene.bob
    joined = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room(name=SECRET, topic=SECRET, initial_state=[joined] if name == "late" else [])
    if name in ("left", "forgotten", "banned"):
        alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
        bob.join(room_id)
        if name == "banned":
            alice.post("rooms", room_id, "ban", body={"user_id": bob.user_id})
        else:
            bob.post("rooms", room_id, "leave")
    event_id = alice.say(room_id, SAID)
    alice.say(room_id, SAID, **{"m.relates_to": {"rel_type": "m.thread", "event_id": event_id}})
    if name == "late":  # nobody finds out what it is by relating to it: a reaction takes neither reactions nor threads
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "k"}}
        event_id = alice.send_event(room_id, "m.reaction", reaction)
    alice.set_state(room_id, "m.room.topic", {"topic": LATER})
    if name in ("invited", "late"):
        alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    if name == "late":
        bob.join(room_id)
    return room_id, event_id


def differences(scene: Scene, one: tuple[str, str], other: tuple[str, str], asked: list[Question]) -> list[str]:
    """What is answered differently of two rooms and events."""
    assert asked
    told = []
    for question in asked:
        first, second = scene.shape(question, *one), scene.shape(question, *other)
        if first != second:
            told.append(f"{question}\n  {first}\n  {second}")
    return told


def about_events() -> list[Question]:
    return [question for question in ALL if question.names_event]


def test_each_question_is_asked_rightly(scene: Scene) -> None:
    room_id = scene.bob.create_room(topic="own")
    event_id = scene.bob.say(room_id, SAID)
    wrong = []

    for question in ALL:
        status = scene.ask(question, room_id, event_id).status
        if status != 200 and status != REFUSED.get(question.endpoint.name):
            wrong.append(f"{question}: {status}")
        if question.endpoint.name in ENDS:
            room_id = scene.bob.create_room()
            event_id = scene.bob.say(room_id, SAID)

    assert wrong == []


def test_every_field_that_names_a_room_or_an_event_is_asked_about() -> None:
    asked = {question.endpoint.name: question for question in ALL}

    for endpoint, name in text_fields():
        if pool(name) in (ROOMS, EVENTS):
            told = [question.text for question in ALL if question.endpoint.name == endpoint]
            assert endpoint in asked, (endpoint, name)
            assert any(ROOM in text or EVENT in text for text in told), (endpoint, name)
    assert set(NEEDS) <= set(asked)


def test_an_event_of_another_room_looks_like_none(scene: Scene) -> None:
    for name in ("closed", "left", "late"):
        event_id = scene.rooms[name][1]

        assert differences(scene, (scene.own, event_id), (scene.own, NO_EVENT), about_events()) == [], name


@pytest.mark.parametrize("name", ["closed", "left", "forgotten", "banned", "invited", "late"])
def test_an_event_that_one_may_not_see_looks_like_none(scene: Scene, name: str) -> None:
    room_id, event_id = scene.rooms[name]

    assert differences(scene, (room_id, event_id), (room_id, NO_EVENT), about_events()) == []


def test_a_room_that_one_was_never_in_looks_like_none(scene: Scene) -> None:
    asked = [question for question in ALL if question.names_room and question.endpoint.name not in TOLD]

    assert differences(scene, scene.rooms["closed"], (NO_ROOM, NO_EVENT), asked) == []


@pytest.mark.parametrize("name", ["closed", "left", "forgotten", "banned", "invited", "late"])
def test_nothing_that_is_answered_tells_what_was_said(scene: Scene, name: str) -> None:
    room_id, _ = scene.rooms[name]
    told = []

    for question in ALL:
        if question.endpoint.name.startswith("RoomMembershipEndpoints") or question.needs.segments == MEMBER:
            continue  # which let somebody in
        body = scene.ask(question, room_id, NO_EVENT).body
        secrets = [SAID, *([LATER] if name not in ("invited", "late") else [])]
        if any(secret.encode() in body for secret in secrets):
            told.append(f"{question}: {body[:1000]!r}")

    assert told == []
