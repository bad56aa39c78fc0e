"""A client that believes its syncs: what it knows by them, and what the server would show it at once.

`Replica` is such a client; `Stage` a server with users who do things at random, and their replicas. What replicas know
in the end must be what a fresh client is told: the same state, timelines without hole or double, counts, receipts.

With `LateReads` the reads of syncs happen and are answered at any time after they were asked for, also between the
commit of a write and the moment when the reactor hears of it, as threads do it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.core.errors import ProtocolError
from homeserver.core.filters import parse_filter, parse_room_event_filter
from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID
from homeserver.core.sync_tokens import PaginationToken, parse_pagination_token, parse_sync_token
from homeserver.services.errors import ServiceError
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.receipts import FULLY_READ, READ, READ_PRIVATE, Marker
from homeserver.services.sync.long_poll import LongPoll
from homeserver.services.sync.request import Answer, SyncRequest
from homeserver.storage.account_data import all_account_data
from homeserver.storage.database import Database, InlineDatabase, Job, run_after_commits, run_read
from homeserver.storage.devices import insert_device
from homeserver.storage.events import events_forwards
from homeserver.storage.memberships import find_membership
from homeserver.storage.notifications import MAIN_TIMELINE
from homeserver.storage.receipts import receipts_of_rooms
from tests.services.world import World, now, shown

# Any: JSON, throughout.

MEMBER: Final = "m.room.member"
MESSAGE: Final = "m.room.message"
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Habits:
    """How a client syncs."""

    definition: Any
    state_after: bool = False

    @property
    def is_lazy(self) -> bool:
        """Whether it loads members lazily."""
        return bool(self.definition.get("room", {}).get("state", {}).get("lazy_load_members"))

    @property
    def counts_threads(self) -> bool:
        """Whether it wants the counts of threads apart."""
        return bool(self.definition["room"]["timeline"].get("unread_thread_notifications"))

    @property
    def timeline_filter(self) -> Any:
        """What it wants of timelines."""
        timeline = self.definition.get("room", {}).get("timeline", {})
        return {name: value for name, value in timeline.items() if name == "types"}


HABITS: Final = (
    Habits({"room": {"timeline": {"limit": 3}}}),
    Habits({"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 2}}}),
    Habits({"room": {"timeline": {"limit": 2}}}, state_after=True),
    Habits({"room": {"timeline": {"limit": 3, "types": [MESSAGE]}}}),
    Habits({"room": {"timeline": {"limit": 20, "unread_thread_notifications": True}}}),
    Habits({"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}, state_after=True),
)


class LateReads:
    """The database as long polls see it: their reads wait until they are let run, and their answers to be delivered."""

    def __init__(self, database: InlineDatabase) -> None:
        self._database = database
        self._reader = database.backend.open_reader()
        self.asked: list[Job[Any]] = []
        self.answered: list[Job[Any]] = []

    @property
    def position(self) -> int:
        """The newest position that the reactor has heard of."""
        return self._database.position

    async def read(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Ask for a read."""
        job: Job[Any] = Job(fn, args, kwargs, Deferred())
        self.asked.append(job)
        assert job.answer is not None
        return await job.answer

    async def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Write at once."""
        return self._database.write_now(fn, *args, **kwargs)

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def run(self, index: int) -> None:
        """Let one read see the database as it is."""
        if self.asked:
            job = self.asked.pop(index % len(self.asked))
            run_read(self._reader, job)
            self.answered.append(job)

    def deliver(self, index: int) -> None:
        """Let the reactor hear of one answer."""
        if self.answered:
            job = self.answered.pop(index % len(self.answered))
            run_after_commits((job,))
            job.settle()


@dataclass(slots=True)
class KnownRoom:
    """A room as a client knows it."""

    membership: str
    state: dict[Key, str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    counts: Any = None
    summary: dict[str, Any] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)


class Replica:
    """One device's knowledge, from its syncs alone."""

    def __init__(
        self, world: World, user_id: UserID, device_id: DeviceID, habits: Habits, *, is_late: bool = False
    ) -> None:
        self.world = world
        self.is_late = is_late
        self.viewer = Viewer(user_id, device_id)
        self.habits = habits
        self.since: str | None = None
        self.rooms: dict[str, KnownRoom] = {}
        self.contents: dict[str, Any] = {}
        self.redactions: dict[str, str] = {}
        self.account_data: dict[str, Any] = {}
        self.messages: list[str] = []
        self.known_lists: dict[str, int] = {}

    def request(self, since: str | None, **more: Any) -> SyncRequest:
        """What the client asks."""
        return SyncRequest(
            viewer=self.viewer,
            since=None if since is None else parse_sync_token(since),
            filter=parse_filter(self.habits.definition),
            state_after=self.habits.state_after,
            **more,
        )

    def apply(self, body: Any, list_versions: dict[str, int]) -> None:
        """Take an answer for true."""
        since, self.since = self.since, body["next_batch"]
        rooms = body.get("rooms", {})
        for room_id, room in rooms.get("join", {}).items():
            self._apply_joined(RoomID(room_id), room, since)
        for room_id, room in rooms.get("leave", {}).items():
            self._apply_left(RoomID(room_id), room)
        for name in ("invite", "knock"):
            for room_id, room in rooms.get(name, {}).items():
                stripped = {event["type"] for event in room[f"{name}_state"]["events"]}
                assert {"m.room.create", MEMBER} <= stripped
                self.rooms.setdefault(room_id, KnownRoom(name)).membership = name
        for event in body.get("account_data", {}).get("events", []):
            self.account_data[event["type"]] = event["content"]
        self.messages += [event["content"]["id"] for event in body.get("to_device", {}).get("events", [])]
        if since is None:
            self.known_lists = dict(list_versions)
        for user_id in body.get("device_lists", {}).get("changed", []):
            self.known_lists[user_id] = list_versions.get(user_id, 0)
        for user_id in body.get("device_lists", {}).get("left", []):
            self.known_lists.pop(user_id, None)

    def _apply_joined(self, room_id: RoomID, room: Any, since: str | None) -> None:
        known = self.rooms.get(room_id)
        is_new = known is None or known.membership != "join" or since is None
        timeline = room["timeline"]
        if known is None or is_new:
            if known is not None and known.timeline and since is not None and timeline["events"]:
                assert timeline["limited"], "a client that comes back must be told that its timeline has a hole"
            known = KnownRoom("join")
            self.rooms[room_id] = known
        events = timeline["events"]
        if is_new:
            known.timeline = self._older(room_id, timeline, None)
        elif timeline["limited"]:
            known.timeline += self._older(room_id, timeline, since)
        known.timeline += [event["event_id"] for event in events]
        self._apply_state(known, room, events)
        for event in events:
            self._note_content(event)
        if self.habits.is_lazy:
            speakers = {(MEMBER, event["sender"]) for event in events}
            assert speakers <= known.state.keys(), f"{speakers - known.state.keys()} speak and are not known"
        known.counts = (room["unread_notifications"], room.get("unread_thread_notifications"))
        known.summary |= room.get("summary", {})
        for hero in room.get("summary", {}).get("m.heroes", []):
            assert (MEMBER, hero) in known.state, f"the hero {hero} is not known"
        for event in room.get("account_data", {}).get("events", []):
            known.account_data[event["type"]] = event["content"]
        for event in room.get("ephemeral", {}).get("events", []):
            self._apply_ephemeral(known, event)

    def _apply_state(self, known: KnownRoom, room: Any, events: Sequence[Any]) -> None:
        if self.habits.state_after:
            assert "state" not in room
            changes = room["state_after"]["events"]
        else:
            assert "state_after" not in room
            changes = [*room.get("state", {"events": []})["events"], *events]
        for event in changes:
            if "state_key" in event:
                known.state[(event["type"], event["state_key"])] = event["event_id"]

    @staticmethod
    def _apply_ephemeral(known: KnownRoom, event: Any) -> None:
        if event["type"] == "m.typing":
            known.typing = event["content"]["user_ids"]
            return
        for event_id, by_type in event["content"].items():
            for receipt_type, users in by_type.items():
                for user_id, receipt in users.items():
                    known.receipts[(receipt_type, user_id, receipt.get("thread_id"))] = event_id

    def _apply_left(self, room_id: RoomID, room: Any) -> None:
        known = self.rooms.setdefault(room_id, KnownRoom("leave"))
        known.membership = "leave"
        events = room["timeline"]["events"]
        own = [
            event
            for event in events
            if event["type"] == MEMBER
            and event["state_key"] == self.viewer.user_id
            and event["content"]["membership"] in ("leave", "ban")
        ]
        if not self.habits.timeline_filter:
            assert own, "whoever is out of a room is told why"
            assert events[-1] in own, "whoever is out of a room is told nothing of later"
        state = room.get("state_after" if self.habits.state_after else "state", {"events": []})["events"]
        for event in (*events, *state):
            is_own = event["type"] == MEMBER and event["state_key"] == self.viewer.user_id
            # Of an answer that comes late, who may see what may have changed meanwhile.
            assert is_own or self.is_late or self._may_see(room_id, event), f"{event} was none of the user's business"

    def _may_see(self, room_id: RoomID, event: Any) -> bool:
        """Whether the user may read an event by its ID, or the state it is part of."""
        find, user_id = self.world.readers.find_visible, self.viewer.user_id
        if self.world.sync_database.read(find, room_id, user_id, event["event_id"]) is not None:
            return True
        if "state_key" not in event:
            return False
        try:
            state = now(self.world.timeline.state(self.viewer, room_id))
        except ServiceError:
            return False
        return event["event_id"] in {shown(other)["event_id"] for other in state}

    def _note_content(self, event: Any) -> None:
        if event["type"] == MESSAGE:
            self.contents[event["event_id"]] = event["content"]
            if "redacted_because" in event["unsigned"]:
                self.redactions[event["event_id"]] = event["unsigned"]["redacted_because"]["event_id"]
        if event["type"] == "m.room.redaction" and event["redacts"] in self.contents:
            self.contents[event["redacts"]] = {}

    def _older(self, room_id: RoomID, timeline: Any, since: str | None) -> list[str]:
        """What came before a timeline and, for a gap, after the token that the client had: oldest first."""
        found: list[str] = []
        if "prev_batch" not in timeline:
            return found
        begin: Any = parse_pagination_token(timeline["prev_batch"])
        while begin is not None and self._is_readable(room_id):
            page = now(
                self.world.timeline.messages(
                    self.viewer,
                    room_id,
                    begin=begin,
                    end=None if since is None else parse_sync_token(since),
                    backwards=True,
                    limit=4,
                    event_filter=parse_room_event_filter(self.habits.timeline_filter),
                )
            )
            events = [shown(fragment) for fragment in page.chunk]
            for event in reversed(events):
                self._note_content(event)
            found += [event["event_id"] for event in events]
            begin = None if page.end is None else parse_pagination_token(page.end)
        return found[::-1]

    def _is_readable(self, room_id: RoomID) -> bool:
        """Whether the user may still read the room: when an answer came late, that may have changed meanwhile."""
        sight = self.world.sync_database.read(self.world.readers.sight, room_id, self.viewer.user_id)
        assert sight is not None or self.is_late
        return sight is not None


@dataclass(slots=True)
class RoomOnStage:
    """A room in which something happens, and what was sent there."""

    room_id: RoomID
    sent: list[EventID] = field(default_factory=list)


class Stage:
    """Users who do things, and what each of their devices knows of it."""

    def __init__(self, world: World, number: int, users: int = 3, *, is_late: bool = False) -> None:
        self.world = world
        self.is_open = True
        self.late = LateReads(world.database) if is_late else None
        self.long_poll = self._open_long_poll()
        self.users = [UserID(f"@u{number}x{index}:example.org") for index in range(users)]
        self.rooms: list[RoomOnStage] = []
        self.replicas: list[Replica] = []
        self.list_versions: dict[str, int] = {}
        self.to_device: dict[tuple[UserID, DeviceID], list[str]] = {}
        self.count = 0
        self.failures: list[Failure] = []
        self.muted: set[tuple[UserID, RoomID]] = set()
        self.silent_for: dict[str, set[UserID]] = {}
        for index, user_id in enumerate(self.users):
            for device in range(2):
                habits, device_id = HABITS[(2 * index + device) % len(HABITS)], DeviceID(f"D{device}")
                self.replicas.append(Replica(world, user_id, device_id, habits, is_late=is_late))
                world.sync_database.write(insert_device, user_id, device_id, display_name=None, now_ms=0)
                self.to_device[(user_id, device_id)] = []

    def do(self, act: str, one: int, two: int, three: int) -> None:
        """Let something happen; what the rules forbid does not."""
        self.count += 1
        self.world.clock.advance(1)
        method: Callable[[UserID, int, int], None] = getattr(self, f"_{act}")
        with suppress(ProtocolError, ServiceError):
            method(self.users[one % len(self.users)], two, three)

    def _open_long_poll(self) -> LongPoll:
        world = self.world
        if self.late is None:
            return world.long_poll
        database = cast(Database, self.late)  # it has what long polls use of one
        world.news.listen(self._between_commit_and_news)
        return LongPoll(
            database, world.assembling, world.sync_memory, world.lost_time, world.news, world.bell, world.clock
        )

    def _between_commit_and_news(self, change: object) -> None:
        if self.late is not None and self.is_open and self.count % 2:
            self.late.run(self.count)

    # What users do

    def _create(self, user_id: UserID, two: int, three: int) -> None:
        others = [other for other in self.users if other != user_id]
        wishes: dict[str, Any] = {"preset": ("public_chat", "private_chat")[two % 2]}
        if three % 2:
            wishes |= {"invite": others[:1], "name": f"room {self.count}"}
        if three % 3 == 0:
            wishes["room_version"] = ("1", "6", "11")[two % 3]
        self.rooms.append(RoomOnStage(self.world.create_room(user_id, **wishes)))

    def _join(self, user_id: UserID, two: int, three: int) -> None:
        self.world.join(user_id, self._room(two).room_id)

    def _leave(self, user_id: UserID, two: int, three: int) -> None:
        now(self.world.membership.leave(user_id, self._room(two).room_id, None))

    def _invite(self, user_id: UserID, two: int, three: int) -> None:
        now(self.world.membership.invite(user_id, self._room(two).room_id, self._user(three), None))

    def _kick(self, user_id: UserID, two: int, three: int) -> None:
        now(self.world.membership.kick(user_id, self._room(two).room_id, self._user(three), None))

    def _ban(self, user_id: UserID, two: int, three: int) -> None:
        now(self.world.membership.ban(user_id, self._room(two).room_id, self._user(three), None))

    def _unban(self, user_id: UserID, two: int, three: int) -> None:
        now(self.world.membership.unban(user_id, self._room(two).room_id, self._user(three), None))

    def _send(self, user_id: UserID, two: int, three: int) -> None:
        room = self._room(two)
        content: dict[str, Any] = {"msgtype": "m.text", "body": f"message {self.count}"}
        if three % 4 == 1:
            content["m.mentions"] = {"user_ids": [self._user(three // 4)]}
        if three % 4 == 2 and room.sent:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": room.sent[three % len(room.sent)]}
        event_id = now(self.world.sending.send_message(user_id, room.room_id, MESSAGE, content, None))
        room.sent.append(event_id)
        self.silent_for[event_id] = {other for other in self.users if (other, room.room_id) in self.muted}

    def _set(self, user_id: UserID, two: int, three: int) -> None:
        event_type, content = (
            ("m.room.topic", {"topic": f"topic {self.count}"}),
            ("m.room.name", {"name": f"name {self.count}"}),
            ("m.room.name", {}),
            ("org.example.thing", {"number": self.count}),
            ("m.room.history_visibility", {"history_visibility": ("shared", "joined", "invited")[self.count % 3]}),
        )[three % 5]
        now(self.world.sending.set_state(user_id, self._room(two).room_id, event_type, "", content))

    def _redact(self, user_id: UserID, two: int, three: int) -> None:
        room = self._room(two)
        if room.sent:
            now(self.world.sending.redact(user_id, room.room_id, room.sent[three % len(room.sent)], {}, None))

    def _rename(self, user_id: UserID, two: int, three: int) -> None:
        content = {"membership": "join", "displayname": f"name {self.count}"}
        now(self.world.sending.set_state(user_id, self._room(two).room_id, MEMBER, user_id, content))

    def _receipt(self, user_id: UserID, two: int, three: int) -> None:
        room = self._room(two)
        if room.sent:
            event_id = room.sent[three % len(room.sent)]
            marker_type = (READ, READ_PRIVATE, FULLY_READ)[three % 3]
            thread_id = "main" if three % 4 == 1 and marker_type != FULLY_READ else None
            now(self.world.receipts.mark(user_id, room.room_id, [Marker(marker_type, event_id, thread_id)]))

    def _type(self, user_id: UserID, two: int, three: int) -> None:
        room_id = self._room(two).room_id
        now(self.world.typing.set_typing(user_id, user_id, room_id, is_typing=three % 2 == 0, timeout_ms=100_000))

    def _keep(self, user_id: UserID, two: int, three: int) -> None:
        room_id = self._room(two).room_id if three % 2 else None
        content = {"number": self.count}
        now(self.world.account_data.put(user_id, user_id, room_id, f"org.example.{three % 3}", content))

    def _message(self, user_id: UserID, two: int, three: int) -> None:
        target, device = self._user(two), DeviceID(f"D{three % 2}")
        text = f"to-device {self.count}"
        messages = {target: {device: {"id": text}}}
        now(self.world.to_device.send(user_id, DeviceID("D0"), "org.example", str(self.count), messages))
        self.to_device[(target, device)].append(text)

    def _relist(self, user_id: UserID, two: int, three: int) -> None:
        self.list_versions[user_id] = self.count
        self.world.sync_database.write(self.world.device_lists.note_change, user_id)

    def _forget_memory(self, user_id: UserID, two: int, three: int) -> None:
        """What an eviction does: what was known of a user is not known any more."""
        self.world.sync_memory.ignored.drop(user_id)
        for room in self.rooms:
            self.world.sync_memory.counts.drop((user_id, room.room_id))

    def _mute(self, user_id: UserID, two: int, three: int) -> None:
        room_id = self._room(two).room_id
        if three % 2:
            now(self.world.push_rules.delete(user_id, "room", room_id))
            self.muted.discard((user_id, room_id))
        else:
            silence: dict[str, Any] = {"actions": []}
            now(self.world.push_rules.put(user_id, "room", room_id, silence, before=None, after=None))
            self.muted.add((user_id, room_id))

    def _restart(self, user_id: UserID, two: int, three: int) -> None:
        """The server ends, and begins with what is in its database."""
        if self.late is not None:
            return
        old = self.world
        old.close()
        self.world = World(old.backend, old.boot + 1)
        self.long_poll = self._open_long_poll()
        for replica in self.replicas:
            replica.world = self.world
            for room in replica.rooms.values():
                room.typing = []  # nobody says that they stopped

    # What their devices do

    def _sync(self, user_id: UserID, two: int, three: int) -> None:
        replica = self.replicas[(self.users.index(user_id) * 2 + two) % len(self.replicas)]
        request = replica.request(replica.since, timeout_ms=5_000 if self.late is not None and three % 2 else 0)
        if three % 5 == 2:  # memory has nothing
            self.world.sync_memory.ignored.drop(replica.viewer.user_id)
        self._ask(replica, request, is_lost=three % 5 == 1)
        if three % 5 == 3:  # another one with the same token
            self._ask(replica, request, is_lost=False)

    def _ask(self, replica: Replica, request: SyncRequest, *, is_lost: bool) -> None:
        answer = Deferred.fromCoroutine(self.long_poll.sync(request))
        if not is_lost:
            answer.addCallback(partial(self._arrive, replica, None if request.since is None else str(request.since)))
        answer.addErrback(self.failures.append)

    def _arrive(self, replica: Replica, since: str | None, answer: Answer) -> None:
        if replica.since == since:  # else the client has gone on with another answer
            replica.apply(shown(answer.body), self.list_versions)

    def _run(self, user_id: UserID, two: int, three: int) -> None:
        if self.late is not None:
            self.late.run(three)

    def _deliver(self, user_id: UserID, two: int, three: int) -> None:
        if self.late is not None:
            self.late.deliver(three)

    # What came of it

    def check(self) -> None:
        """Let every device catch up, and hold what it knows against what a fresh one is told."""
        self._settle()
        self.world.clock.advance(10)  # nobody waits any more
        self._settle()
        for replica in self.replicas:
            for _ in range(3):
                self._ask(replica, replica.request(replica.since), is_lost=False)
                self._settle()
            self._check(replica)

    def _settle(self) -> None:
        for _ in range(100):
            if self.late is None or not (self.late.asked or self.late.answered):
                break
            self.late.run(0)
            self.late.deliver(0)
            self.world.clock.advance(0)
        for failure in self.failures:
            failure.raiseException()

    def close(self) -> None:
        """Be done with this history."""
        self.is_open = False
        if self.late is not None:
            self.late.close()

    def _check(self, replica: Replica) -> None:
        world, user_id = self.world, replica.viewer.user_id
        fresh = Replica(world, user_id, DeviceID("FRESH"), replica.habits)
        truth = shown(world.sync_database.read(world.assembling.read, fresh.request(None)).body)
        joined = truth.get("rooms", {}).get("join", {})
        assert {room_id for room_id, room in replica.rooms.items() if room.membership == "join"} == set(joined)
        for name in ("invite", "knock"):
            listed = set(truth.get("rooms", {}).get(name, {}))
            assert {room_id for room_id, room in replica.rooms.items() if room.membership == name} == listed
        fresh.apply(truth, self.list_versions)
        for room_id in joined:
            self._check_room(replica, fresh, RoomID(room_id))
        data = {one.type: one.content for one in world.sync_database.read(all_account_data, user_id) if not one.room_id}
        assert data.keys() == replica.account_data.keys() - {"m.push_rules"}
        assert replica.account_data == fresh.account_data
        assert replica.messages == self.to_device[(user_id, replica.viewer.device_id or DeviceID(""))]
        self._check_device_lists(replica, joined)

    def _check_room(self, replica: Replica, fresh: Replica, room_id: RoomID) -> None:
        known, told = replica.rooms[room_id], fresh.rooms[room_id]
        assert known.timeline == told.timeline, "the timeline has a hole, or something twice"
        assert len(set(known.timeline)) == len(known.timeline)
        state = {
            (event["type"], event["state_key"]): event["event_id"]
            for event in map(shown, now(self.world.timeline.state(replica.viewer, room_id)))
        }
        if replica.habits.is_lazy:
            assert {key: value for key, value in known.state.items() if key[0] != MEMBER} == {
                key: value for key, value in state.items() if key[0] != MEMBER
            }
            assert known.state.items() <= state.items(), "a member is known as they were"
        else:
            assert known.state == state
        assert known.counts == told.counts
        assert known.counts == self._recounted(replica, room_id)
        # In one answer there is room for one receipt of a user for an event: that for the whole room.
        whole = {key: event_id for key, event_id in told.receipts.items() if key[2] is None}
        assert {key: event_id for key, event_id in known.receipts.items() if key[2] is None} == whole
        for key, event_id in told.receipts.items():
            assert known.receipts.get(key) == event_id or (key[0], key[1], None) in whole
        assert known.account_data == told.account_data
        assert known.typing == told.typing
        assert known.summary.items() >= told.summary.items()
        if replica.habits.timeline_filter:
            return  # of redactions it is not told
        # Of what was redacted while the user was out of the room, the user may not be told.
        told_of = {None, *known.timeline}
        wanted = {event_id for event_id in known.timeline if fresh.redactions.get(event_id) in told_of}
        assert {key: replica.contents[key] for key in replica.contents.keys() & wanted} == {
            key: fresh.contents[key] for key in fresh.contents.keys() & wanted
        }

    def _recounted(self, replica: Replica, room_id: RoomID) -> tuple[dict[str, int], Any]:
        """The unread counts, from the events and receipts themselves."""
        read, user_id = self.world.sync_database.read, replica.viewer.user_id
        membership = read(find_membership, room_id, user_id)
        assert membership is not None
        events = read(events_forwards, room_id, place=-(2**62), limit=10_000)
        read_upto: dict[str | None, int] = {None: membership.joined_place or 0}
        for receipt in read(receipts_of_rooms, [room_id], upto=2**62):
            if receipt.user_id == user_id:
                thread = MAIN_TIMELINE if receipt.thread_id == "main" else receipt.thread_id
                read_upto[thread] = max(read_upto.get(thread, 0), receipt.place or 0)
        for stored in events:
            if stored.event.sender == user_id and stored.event.state_key is None:
                thread = stored.thread_id or MAIN_TIMELINE
                read_upto[thread] = max(read_upto.get(thread, 0), stored.place or 0)
        counts: dict[str, list[int]] = {MAIN_TIMELINE: [0, 0]}
        for stored in events:
            event, thread = stored.event, stored.thread_id or MAIN_TIMELINE
            is_mention = user_id in event.content.get("m.mentions", {}).get("user_ids", ())
            if event.type != MESSAGE or not event.content or event.sender == user_id:
                continue
            if (stored.place or 0) <= max(read_upto[None] or 0, read_upto.get(thread, 0)):
                continue
            if is_mention or user_id not in self.silent_for[event.event_id]:
                count = counts.setdefault(thread, [0, 0])
                count[0] += 1
                count[1] += is_mention
        apart = replica.habits.counts_threads
        main = [counts[MAIN_TIMELINE]] if apart else list(counts.values())
        told = {"notification_count": sum(one[0] for one in main), "highlight_count": sum(one[1] for one in main)}
        threads = {
            thread: {"notification_count": count[0], "highlight_count": count[1]}
            for thread, count in counts.items()
            if thread != MAIN_TIMELINE
        }
        return told, threads if apart else None

    def _check_device_lists(self, replica: Replica, joined: Any) -> None:
        recipients = {
            event["state_key"]
            for room_id in joined
            for event in map(shown, now(self.world.timeline.state(replica.viewer, room_id)))
            if event["type"] == MEMBER and event["content"]["membership"] in ("join", "invite")
        }
        for user_id in recipients | {replica.viewer.user_id}:
            version = self.list_versions.get(user_id, 0)
            assert replica.known_lists.get(user_id, 0) == version, f"the devices of {user_id} are not current"

    def _room(self, index: int) -> RoomOnStage:
        if not self.rooms:
            self._create(self.users[0], 0, 0)
        return self.rooms[index % len(self.rooms)]

    def _user(self, index: int) -> UserID:
        return self.users[index % len(self.users)]


ACTS: Final = (
    ("create", 2),
    ("join", 6),
    ("leave", 3),
    ("invite", 3),
    ("kick", 2),
    ("ban", 1),
    ("unban", 1),
    ("send", 14),
    ("set", 6),
    ("redact", 3),
    ("rename", 3),
    ("receipt", 5),
    ("type", 3),
    ("keep", 2),
    ("message", 3),
    ("relist", 2),
    ("forget_memory", 1),
    ("mute", 2),
    ("restart", 1),
    ("sync", 24),
    ("run", 10),
    ("deliver", 10),
)
WEIGHTED: Final = tuple(act for act, weight in ACTS for _ in range(weight))

__all__ = ["WEIGHTED", "PaginationToken", "Replica", "Stage"]
