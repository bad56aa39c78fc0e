"""Whoever follows by syncs, at whatever pace and in whatever manner, knows in the end what one knows who asks anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import pytest

from tests.api.client import Client, new_user
from tests.api.follower import FollowedRoom, Follower, Manner, seen_anew
from tests.conftest import LargeRun
from tests.server import Server, running
from tests.services.e2ee.signed_keys import device_keys

# Any: JSON, throughout.

MANNERS: Final = (
    Manner(limit=1),
    Manner(limit=3, wants_state_after=True),
    Manner(limit=2, is_lazy=True),
    Manner(limit=50),
    Manner(limit=4, is_lazy=True, wants_state_after=True),
)
STEPS: Final = 40
PEOPLE: Final = 4


class Story:
    """People who do what comes to their minds. What the server forbids does not happen."""

    def __init__(self, url: str, random: Random) -> None:
        self.random = random
        self.people = [new_user(url, "person") for _ in range(PEOPLE)]
        self.rooms: list[str] = []
        self.events: list[tuple[str, str]] = []  # room and event
        self.told: list[str] = []
        self.devices: list[Client] = []
        self.acts = [
            (self.say, 10),
            (self.say_in_thread, 3),
            (self.set_state, 6),
            (self.create_room, 1),
            (self.invite, 4),
            (self.join, 6),
            (self.leave, 2),
            (self.remove, 2),
            (self.unban, 1),
            (self.redact, 2),
            (self.read, 5),
            (self.rename, 1),
            (self.keep, 2),
            (self.come_with_a_device, 1),
            (self.go_with_a_device, 1),
        ]
        for _ in range(2):
            self.create_room()

    def go_on(self) -> None:
        """Let one more thing happen."""
        acts, weights = zip(*self.acts, strict=True)
        self.random.choices(acts, weights)[0]()

    @contextmanager
    def told_with(self, whose: str) -> Iterator[None]:
        """Tell with a difference that is found within whose it is, and what happened last."""
        try:
            yield
        except AssertionError as difference:
            story_so_far = "\n".join(self.told[-40:])
            raise AssertionError(f"{whose}:\n{difference}\n{story_so_far}") from difference

    def somebody(self) -> Client:
        return self.random.choice(self.people)

    def ask(self, client: Client, method: str, *path: str, body: Any = None) -> Any:
        """Ask for what may be forbidden."""
        response = client.send(method, *path, content=json_bytes(body))
        self.told.append(f"{client.user_id} {method} {'/'.join(path)} {body}: {response.status}")
        assert response.status in (200, 400, 403, 404), response
        return response.json if response.status == 200 else {}

    def remember(self, room_id: str, answer: Any) -> None:
        if "event_id" in answer:
            self.events.append((room_id, answer["event_id"]))

    def send(self, content: dict[str, Any], room_id: str | None = None) -> None:
        client, room_id = self.somebody(), room_id or self.random.choice(self.rooms)
        message = {"msgtype": "m.text", "body": "x", **content}
        path = ("rooms", room_id, "send", "m.room.message", client.new_transaction())
        self.remember(room_id, self.ask(client, "PUT", *path, body=message))

    def say(self) -> None:
        mentioned = {"m.mentions": {"user_ids": [self.somebody().user_id]}}
        self.send(mentioned if self.random.random() < 0.3 else {})

    def say_in_thread(self) -> None:
        if self.events:
            room_id, root = self.random.choice(self.events)
            self.send({"m.relates_to": {"rel_type": "m.thread", "event_id": root}}, room_id)

    def set_state(self) -> None:
        room_id = self.random.choice(self.rooms)
        event_type = self.random.choice(["m.room.name", "m.room.topic", "org.example.a", "org.example.b"])
        value = {"name": str(self.random.random()), "topic": "x"}
        path = ("rooms", room_id, "state", event_type, self.random.choice(["", "", "key"]))
        self.remember(room_id, self.ask(self.somebody(), "PUT", *path, body=value))

    def create_room(self) -> None:
        preset = self.random.choice(["public_chat", "private_chat"])
        client = self.somebody()
        version = self.random.choice(["6", "10", "11", "12", "12"])
        levels = {"state_default": self.random.choice([0, 50])}
        body = {"preset": preset, "room_version": version, "power_level_content_override": levels}
        self.rooms.append(self.ask(client, "POST", "createRoom", body=body)["room_id"])

    def about(self, act: str) -> None:
        target = {"user_id": self.somebody().user_id}
        self.ask(self.somebody(), "POST", "rooms", self.random.choice(self.rooms), act, body=target)

    def invite(self) -> None:
        self.about("invite")

    def remove(self) -> None:
        self.about(self.random.choice(["kick", "ban"]))

    def unban(self) -> None:
        self.about("unban")

    def join(self) -> None:
        self.ask(self.somebody(), "POST", "join", self.random.choice(self.rooms), body={})

    def leave(self) -> None:
        self.ask(self.somebody(), "POST", "rooms", self.random.choice(self.rooms), "leave", body={})

    def redact(self) -> None:
        if self.events:
            client, (room_id, event_id) = self.somebody(), self.random.choice(self.events)
            self.ask(client, "PUT", "rooms", room_id, "redact", event_id, client.new_transaction(), body={})

    def read(self) -> None:
        if self.events:
            room_id, event_id = self.random.choice(self.events[-10:])
            receipt_type = self.random.choice(["m.read", "m.read", "m.read.private"])
            body = self.random.choice([{}, {}, {"thread_id": "main"}])
            self.ask(self.somebody(), "POST", "rooms", room_id, "receipt", receipt_type, event_id, body=body)

    def rename(self) -> None:
        client = self.somebody()
        name = {"displayname": f"name {self.random.random()}"}
        self.ask(client, "PUT", "profile", client.user_id, "displayname", body=name)

    def keep(self) -> None:
        client = self.somebody()
        where = self.random.choice([(), ("rooms", self.random.choice(self.rooms))])
        kept = {"x": self.random.random() < 0.5, "y": self.random.randrange(1000)}
        self.ask(client, "PUT", "user", client.user_id, *where, "account_data", "org.example.kept", body=kept)

    def come_with_a_device(self) -> None:
        client = self.somebody().login_again()
        self.devices.append(client)
        client.post("keys", "upload", body={"device_keys": device_keys(client.user_id, client.device_id)})
        self.told.append(f"{client.user_id} comes with {client.device_id}")

    def go_with_a_device(self) -> None:
        if self.devices:
            client = self.devices.pop(self.random.randrange(len(self.devices)))
            client.post("logout")
            self.told.append(f"{client.user_id} goes with {client.device_id}")


def json_bytes(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def known(room: FollowedRoom) -> dict[str, Any]:
    """What of a room does not depend on the manner of following; state and history apart."""
    return {
        "unread": room.unread,
        "joined members": room.joined_members,
        "account data": room.account_data,
    }


def compare(follower: Follower, anew: Follower) -> None:
    """Fail where a follower knows something else than one who asks anew."""
    assert set(follower.rooms) == set(anew.rooms)
    assert follower.invites == anew.invites
    assert follower.account_data == anew.account_data
    assert {user_id: follower.devices.get(user_id) for user_id in anew.devices} == anew.devices
    for room_id, room in follower.rooms.items():
        expected = anew.rooms[room_id]
        assert room.timeline == expected.timeline
        assert known(room) == known(expected)
        # A receipt in a thread may be forgotten when one for the whole room has caught up with it.
        assert expected.receipts == {key: room.receipts.get(key) for key in expected.receipts}
        if follower.manner.is_lazy:
            # Members are told when they speak; of whom was told is what the room has.
            assert {key for key in expected.state if key[0] != "m.room.member"} <= set(room.state)
            assert room.state == {key: expected.state[key] for key in room.state}
        else:
            assert room.state == expected.state


def follow_a_story(server: Server, seed: int, *, restart_every: int = 10**9) -> None:
    """Tell a story, and let followers follow it at their own pace; hold each against one who asks anew."""
    random = Random(seed)
    story = Story(server.url, random)
    fresh = [person.login_again() for person in story.people]
    followers = [
        Follower(story.people[number % PEOPLE].login_again(), manner) for number, manner in enumerate(MANNERS * 2)
    ]

    for step in range(1, STEPS + 1):
        if step % restart_every == 0:
            server.restart()
        for _ in range(random.randrange(1, 5)):
            story.go_on()
        number = random.randrange(len(followers))
        followers[number].follow()
        with story.told_with(f"seed {seed}, {followers[number].client.user_id}, {followers[number].manner}"):
            compare(followers[number], seen_anew(fresh[number % PEOPLE]))


def test_who_follows_knows_what_one_knows_who_asks_anew(server: Server) -> None:
    follow_a_story(server, 1)


def test_who_follows_across_restarts_knows_it_too() -> None:
    with running() as server:
        follow_a_story(server, 4, restart_every=STEPS // 4)


@pytest.mark.large
def test_who_follows_any_story_knows_what_one_knows_who_asks_anew(server: Server, large_run: LargeRun) -> None:
    seeds = Random(large_run.seed)
    for _ in range(200 if large_run.whole else 5):
        follow_a_story(server, seeds.randrange(2**32))
