"""Who sees which events, by history visibility and membership."""

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.creation import Draft
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.readers import Readers
from homeserver.storage.database import Transaction
from tests.services.federation.others import FAR, FAY, join_remotely, remote_event, take
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, PHONE, World, now, shown


def bodies(world: World, user_id: UserID, room_id: RoomID) -> list[str]:
    """The texts of messages that the user sees, oldest first."""
    history = world.history(user_id, room_id)
    return [event["content"]["body"] for event in reversed(history) if event["type"] == "m.room.message"]


def room_with(world: World, visibility: str) -> RoomID:
    """A public room of this history visibility: a message, an invite of Bob, a message, his join, a message."""
    state = [InitialState("m.room.history_visibility", "", {"history_visibility": visibility})]
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=state)
    world.send(ALICE, room_id, "before")
    now(world.membership.invite(ALICE, room_id, BOB, None))
    world.send(ALICE, room_id, "invited")
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "joined")
    return room_id


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        ("world_readable", ["before", "invited", "joined"]),
        ("shared", ["before", "invited", "joined"]),
        ("invited", ["invited", "joined"]),
        ("joined", ["joined"]),
    ],
)
def test_a_member_sees_what_the_visibility_at_each_event_lets_them(
    world: World, visibility: str, seen: list[str]
) -> None:
    room_id = room_with(world, visibility)

    assert bodies(world, BOB, room_id) == seen


def test_who_left_sees_the_room_as_it_was_then(world: World) -> None:
    room_id = room_with(world, "shared")
    now(world.membership.leave(BOB, room_id, None))

    world.send(ALICE, room_id, "after")

    assert bodies(world, BOB, room_id) == ["before", "invited", "joined"]


def test_who_was_kicked_and_then_banned_still_sees_what_they_saw(world: World) -> None:
    room_id = room_with(world, "shared")
    now(world.membership.kick(ALICE, room_id, BOB, None))
    now(world.membership.ban(ALICE, room_id, BOB, None))

    assert bodies(world, BOB, room_id) == ["before", "invited", "joined"]


def test_only_a_world_readable_room_lets_strangers_read(world: World) -> None:
    stranger = UserID("@stranger:example.org")

    assert bodies(world, stranger, room_with(world, "world_readable")) == ["before", "invited", "joined"]
    with pytest.raises(Forbidden):
        world.history(stranger, room_with(world, "shared"))


def test_who_declined_an_invite_reads_nothing(world: World) -> None:
    room_id = world.create_room(ALICE)
    world.send(ALICE, room_id, "secret")
    now(world.membership.invite(ALICE, room_id, BOB, None))

    now(world.membership.leave(BOB, room_id, None))

    with pytest.raises(Forbidden):
        world.history(BOB, room_id)


def test_who_was_kicked_does_not_see_what_happened_until_the_ban(world: World) -> None:
    room_id = room_with(world, "shared")
    now(world.membership.kick(ALICE, room_id, BOB, None))
    secret = world.send(ALICE, room_id, "between us")
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "between us"}))

    now(world.membership.ban(ALICE, room_id, BOB, None))

    assert bodies(world, BOB, room_id) == ["before", "invited", "joined"]
    with pytest.raises(NotFound):
        now(world.timeline.event(Viewer(BOB, PHONE), room_id, secret))
    with pytest.raises(NotFound):
        now(world.timeline.state_event(Viewer(BOB, PHONE), room_id, "m.room.topic", "", whole_event=False))


def test_who_declines_to_come_back_still_sees_what_they_saw(world: World) -> None:
    room_id = room_with(world, "shared")
    now(world.membership.leave(BOB, room_id, None))
    world.send(ALICE, room_id, "after")

    now(world.membership.invite(ALICE, room_id, BOB, None))
    now(world.membership.leave(BOB, room_id, None))

    assert bodies(world, BOB, room_id) == ["before", "invited", "joined"]


def test_who_left_finds_the_same_events_one_by_one_as_in_the_history(world: World) -> None:
    room_id = room_with(world, "shared")
    now(world.membership.leave(BOB, room_id, None))

    for event in world.history(BOB, room_id):
        found = shown(now(world.timeline.event(Viewer(BOB, PHONE), room_id, event["event_id"])))

        assert found["unsigned"]["membership"] == event["unsigned"]["membership"]


def test_a_forgotten_room_is_not_read_any_more(world: World) -> None:
    room_id = room_with(world, "joined")
    seen = world.history(BOB, room_id)[0]["event_id"]
    now(world.membership.leave(BOB, room_id, None))

    now(world.membership.forget(BOB, room_id))

    with pytest.raises(Forbidden):
        world.history(BOB, room_id)
    with pytest.raises(NotFound):
        now(world.timeline.event(Viewer(BOB, PHONE), room_id, seen))


def test_names_of_a_room_are_for_who_is_in_it_or_may_read_it_anyway_and_administrators(world: World) -> None:
    closed, opened = room_with(world, "shared"), room_with(world, "world_readable")
    for room_id in (closed, opened):
        now(world.membership.leave(BOB, room_id, None))

    assert now(world.aliases.of_room(ALICE, closed, is_admin=False)) == []
    assert now(world.aliases.of_room(BOB, opened, is_admin=False)) == []
    with pytest.raises(Forbidden):
        now(world.aliases.of_room(BOB, closed, is_admin=False))
    assert now(world.aliases.of_room(BOB, closed, is_admin=True)) == []


def invite_from_outside(world: World, user_id: UserID, room_id: RoomID) -> None:
    """Let a user of another server, where the room lives on, invite somebody when nobody of this one is in it."""
    for left in (BOB, ALICE):
        now(world.membership.leave(left, room_id, None))
    invite = remote_event(world, FAY, room_id, "m.room.member", {"membership": "invite"}, user_id)
    world.sync_database.write(world.outside.put, invite, FAR, ())


@pytest.mark.parametrize("is_known_there", [True, False])
def test_who_was_in_and_declined_an_invite_from_outside_still_sees_what_they_saw(
    world: World, *, is_known_there: bool
) -> None:
    room_id = room_with(world, "shared")
    if is_known_there:
        join_remotely(world, FAY, room_id)
    invite_from_outside(world, BOB, room_id)

    now(world.anywhere.leave(BOB, room_id, None))

    assert bodies(world, BOB, room_id) == ["before", "invited", "joined"]
    assert sync(world, BOB, definition={"room": {"include_leave": True}})["rooms"]["leave"].keys() == {room_id}


def test_who_never_was_in_and_declined_an_invite_from_outside_reads_nothing(world: World) -> None:
    room_id = room_with(world, "shared")
    join_remotely(world, FAY, room_id)
    stranger = UserID("@stranger:example.org")
    invite_from_outside(world, stranger, room_id)

    now(world.anywhere.leave(stranger, room_id, None))

    with pytest.raises(Forbidden):
        world.history(stranger, room_id)


def test_a_redaction_that_does_not_count_is_shown_to_nobody(world: World) -> None:
    room_id, other = (world.create_room(ALICE, preset="public_chat") for _ in range(2))
    world.join(BOB, room_id)
    for each in (room_id, other):
        join_remotely(world, FAY, each)
    said, elsewhere = world.send(ALICE, room_id), world.send(ALICE, other)
    own = take(world, remote_event(world, FAY, room_id, "m.room.message", {"body": "oh"}))
    since = sync(world, BOB)["next_batch"]

    def redact(target: str) -> EventID:
        return take(world, remote_event(world, FAY, room_id, "m.room.redaction", {"redacts": target}))

    unfounded = [redact(target) for target in (said, elsewhere, "$" + "a" * 43)]
    nothing = sync(world, BOB, since)
    founded = redact(own)

    seen = {event["event_id"] for event in world.history(BOB, room_id)}
    assert founded in seen
    assert not seen.intersection(unfounded)
    for asked in (since, nothing["next_batch"]):
        timeline = sync(world, BOB, asked)["rooms"]["join"][room_id]["timeline"]
        assert [event["event_id"] for event in timeline["events"]] == [founded]
    assert not nothing.get("rooms", {}).get("join", {}).get(room_id, {}).get("timeline", {}).get("events")
    for redaction in unfounded:
        with pytest.raises(NotFound):
            now(world.timeline.event(Viewer(BOB, PHONE), room_id, redaction))


def test_a_redaction_counts_for_who_reads_it_before_memory_has_heard_of_it(world: World) -> None:
    room_id = room_with(world, "shared")
    said = world.send(ALICE, room_id, "regretted")
    unredacted = world.event_cache.get(said)
    assert unredacted is not None
    behind = RoomStates(world.budget, EventCache(world.budget))
    behind.events.put(unredacted)

    redaction = now(world.sending.redact(ALICE, room_id, said, {}, None))

    def read(tx: Transaction) -> EventID:
        ((newest, _),) = Readers(behind).visible(
            tx,
            room_id,
            BOB,
            behind.news(tx, room_id, after=0, upto=tx.log_position, limit=1),
            joined_from=0,
            member_upto=0,
        )
        return newest.event.event_id

    assert now(world.database.read(read)) == redaction


def test_in_old_rooms_the_rules_have_judged_a_redaction_before_it_is_shown(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="2")

    def redact(tx: Transaction) -> EventID:
        write = world.writer.open(tx, room_id)
        assert write is not None
        draft = Draft("m.room.redaction", ALICE, {}, redacts=EventID("$unknown:far.example"))
        stored = world.event_creation.add(write, draft)
        write.finish()
        return stored.event.event_id

    redaction = now(world.event_creation.write(redact))

    assert redaction in {event["event_id"] for event in world.history(ALICE, room_id)}


def test_a_redaction_is_shown_from_when_it_counts(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    said = remote_event(world, FAY, room_id, "m.room.message", {"body": "oh"})
    redaction = take(world, remote_event(world, FAY, room_id, "m.room.redaction", {"redacts": said.event.event_id}))
    assert redaction not in {event["event_id"] for event in world.history(ALICE, room_id)}

    take(world, said)

    assert redaction in {event["event_id"] for event in world.history(ALICE, room_id)}
