"""That the event stream waits, for what concerns the user and for nothing else, and costs nothing meanwhile."""

from twisted.internet.defer import CancelledError, Deferred

from homeserver.core.errors import BadToken
from homeserver.core.identifiers import DeviceID, RoomID
from homeserver.core.sync_tokens import SyncToken, parse_sync_token
from homeserver.services.errors import Forbidden
from homeserver.services.sync.event_stream import Streamed
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, PHONE, World, now, shown


class Following:
    """A call that may wait."""

    def __init__(
        self,
        world: World,
        room_id: RoomID | None = None,
        since: SyncToken | None = None,
        timeout_ms: int = 10_000,
    ) -> None:
        stream, viewer = world.event_stream, world.viewer(BOB)
        if room_id is None:
            call = stream.follow(viewer, since, timeout_ms=timeout_ms, limit=None)
        else:
            call = stream.peek(viewer, room_id, since, timeout_ms=timeout_ms, limit=None)
        self.answers: list[Streamed] = []
        self.errors: list[type[BaseException]] = []
        self.waiting = Deferred.fromCoroutine(call)
        self.waiting.addCallbacks(self.answers.append, lambda failure: self.errors.append(failure.type))

    @property
    def bodies(self) -> list[str]:
        """The texts of the messages that the answer has."""
        events = [shown(event) for event in self.answers[0].chunk.events]
        return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


def open_to_all(world: World, room_id: RoomID, visibility: str = "world_readable") -> None:
    content = {"history_visibility": visibility}
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", content))


def test_without_a_token_the_stream_begins_now_and_waits_for_what_comes(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "before")
    following = Following(world)
    assert following.answers == []

    world.send(ALICE, room_id, "after")
    world.clock.advance(0)

    assert following.bodies == ["after"]
    assert following.answers[0].start.position < following.answers[0].chunk.end.position


def test_what_does_not_concern_the_stream_or_the_user_costs_no_read(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = parse_sync_token(sync(world, BOB)["next_batch"])
    following = Following(world, since=since)
    reads = world.sync_database.counts.reads

    other = world.create_room(ALICE)
    world.send(ALICE, other, "elsewhere")
    now(world.to_device.send(ALICE, None, "m.dummy", "txn", {BOB: {DeviceID("*"): {}}}))
    world.clock.advance(0)
    at_rest = world.sync_database.counts.reads
    world.clock.advance(10)

    assert at_rest == reads
    assert following.answers[0].chunk.events == ()
    assert following.answers[0].chunk.end == since


def test_a_member_who_comes_is_told_without_a_write(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    following = Following(world, since=parse_sync_token(sync(world, BOB)["next_batch"]))

    world.presence.set_status(ALICE, PHONE, ALICE, "online", None)
    now(world.presence.tell())
    world.clock.advance(0)

    [event] = following.answers[0].chunk.events
    assert (event["type"], event["content"]["user_id"], event["content"]["presence"]) == ("m.presence", ALICE, "online")


def test_a_typing_member_is_told_without_a_write(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    following = Following(world)

    now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=True))
    world.clock.advance(0)

    assert [event["type"] for event in following.answers[0].chunk.events] == ["m.typing"]


def test_onlookers_are_woken_by_their_room_alone_until_they_may_not_look_any_more(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    open_to_all(world, room_id)
    first = Following(world, room_id)
    reads = world.sync_database.counts.reads

    world.send(ALICE, other, "elsewhere")
    world.clock.advance(0)
    after_another = world.sync_database.counts.reads
    world.send(ALICE, room_id, "here")
    world.clock.advance(0)
    second = Following(world, room_id, first.answers[0].chunk.end)
    open_to_all(world, room_id, "joined")
    world.clock.advance(0)
    third = Following(world, room_id, first.answers[0].chunk.end)

    assert after_another == reads
    assert first.bodies == ["here"]
    assert second.errors == [Forbidden]
    assert third.errors == [Forbidden]
    assert len(world.peeked) == 0


def test_an_onlooker_waits_no_longer_than_asked_and_may_go_at_any_time(world: World) -> None:
    room_id = world.create_room(ALICE)
    open_to_all(world, room_id)
    patient, impatient = Following(world, room_id), Following(world, room_id)

    impatient.waiting.cancel()
    world.clock.advance(9)
    assert patient.answers == []
    world.clock.advance(1)

    assert impatient.errors == [CancelledError]
    assert patient.answers[0].chunk.events == []
    assert len(world.bell) == 0
    assert len(world.peeked) == 0


def test_a_token_of_a_time_that_the_database_forgot_is_refused(world: World) -> None:
    given = parse_sync_token(sync(world, BOB)["next_batch"])
    now(world.lost_time.start())

    following = Following(world, since=SyncToken(given.position + 5, 0, given.epoch, 0))

    assert following.errors == [BadToken]
