"""What an event leaves behind beside itself, and what its redaction takes away again."""

from typing import Any

import orjson
import pytest

from homeserver.core.event import Event
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.creation import Draft
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import heads_under
from homeserver.storage.memberships import find_membership, memberships_in_room
from homeserver.storage.relations import relations_to
from homeserver.storage.room_index import current_rooms
from tests.forked_rooms import BOB as REMOTE_BOB
from tests.forked_rooms import DAVE
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

# Any: JSON, throughout.


def name_member(world: World, user_id: UserID, room_id: RoomID, name: object) -> str:
    content = {"membership": "join", "displayname": name}
    return now(world.sending.set_state(user_id, room_id, "m.room.member", user_id, content))


def newest(world: World, user_id: UserID, room_id: RoomID, event_type: str) -> Any:
    """The newest event of a type that the user sees in the room."""
    return next(event for event in world.history(user_id, room_id) if event["type"] == event_type)


def test_a_redacted_member_event_shows_no_name_anywhere(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    name_member(world, BOB, room_id, "Rude Word")
    world.send(ALICE, room_id, "hello rude word")
    event_id = newest(world, ALICE, room_id, "m.room.member")["event_id"]

    now(world.sending.redact(ALICE, room_id, event_id, {}, None))

    row = world.sync_database.read(find_membership, room_id, BOB)
    assert row is not None
    assert (row.membership, row.display_name) == ("join", None)
    assert newest(world, ALICE, room_id, "m.room.member")["content"] == {"membership": "join"}
    assert b"Rude Word" not in orjson.dumps(sync(world, ALICE))


def test_the_redaction_of_an_older_member_event_leaves_the_name_of_the_newer(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    name_member(world, BOB, room_id, "Rude Word")
    event_id = newest(world, ALICE, room_id, "m.room.member")["event_id"]
    name_member(world, BOB, room_id, "Bob")

    now(world.sending.redact(ALICE, room_id, event_id, {}, None))

    row = world.sync_database.read(find_membership, room_id, BOB)
    assert row is not None
    assert row.display_name == "Bob"


def test_redacted_state_goes_from_what_invited_users_are_shown(world: World) -> None:
    room_id = world.create_room(ALICE, name="Rude Word", invite=[BOB, CAROL])
    name = newest(world, ALICE, room_id, "m.room.name")["event_id"]

    now(world.sending.redact(ALICE, room_id, name, {}, None))

    for user_id in (BOB, CAROL):
        stripped = sync(world, user_id)["rooms"]["invite"][room_id]["invite_state"]["events"]
        assert {"type": "m.room.name", "sender": ALICE, "state_key": "", "content": {}} in stripped
        assert b"Rude Word" not in orjson.dumps(stripped)


def test_a_name_that_is_redacted_while_something_else_changes_is_listed_no_more(world: World) -> None:
    room_id = world.create_room(ALICE, name="Rude Word")
    name = newest(world, ALICE, room_id, "m.room.name")["event_id"]

    def change(tx: Transaction) -> None:
        write = world.writer.open(tx, room_id)
        assert write is not None
        world.event_creation.add(write, Draft("m.room.redaction", ALICE, {"redacts": name}, redacts=name))
        world.event_creation.add(write, Draft("m.room.topic", ALICE, {"topic": "t"}, state_key=""))
        write.finish()

    now(world.event_creation.write(change))

    listed = world.sync_database.read(current_rooms, ALICE)
    assert [each.facts.name for each in listed if each.facts is not None] == [None]


def test_a_redacted_reaction_may_be_sent_again(world: World) -> None:
    room_id = world.create_room(ALICE)
    target = world.send(ALICE, room_id)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": "+"}}
    first = now(world.sending.send_message(ALICE, room_id, "m.reaction", reaction, None))

    now(world.sending.redact(ALICE, room_id, first, {}, None))

    assert world.sync_database.read(relations_to, room_id, [target]) == {}
    now(world.sending.send_message(ALICE, room_id, "m.reaction", reaction, None))
    (relation,) = world.sync_database.read(relations_to, room_id, [target])[target]
    assert relation == ("m.annotation", ALICE)


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_a_redaction_can_be_redacted_and_redacts_all_the_same(world: World, version: str) -> None:
    room_id = world.create_room(ALICE, room_version=version)
    target = world.send(ALICE, room_id, "secret")
    redaction = now(world.sending.redact(ALICE, room_id, target, {"reason": "rude"}, None))

    again = now(world.sending.redact(ALICE, room_id, redaction, {}, None))

    events = {event["event_id"]: event for event in world.history(ALICE, room_id)}
    assert events[target]["content"] == {}
    assert events[target]["unsigned"]["redacted_because"]["event_id"] == redaction
    assert "reason" not in events[redaction]["content"]
    assert events[redaction]["unsigned"]["redacted_because"]["event_id"] == again


@pytest.mark.parametrize(
    "name", ["x" * 60_000, "with a \0 inside", 17, ["list"], {"a": 1}, None, "\N{GRINNING FACE}" * 9]
)
def test_a_name_may_be_anything_and_harms_nobody(world: World, name: object) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")

    name_member(world, ALICE, room_id, name)

    member = sync(world, ALICE)["rooms"]["join"][room_id]["timeline"]["events"][-1]
    assert member["content"]["displayname"] == name
    rows = world.sync_database.read(memberships_in_room, room_id, [ALICE])
    assert rows[ALICE].display_name == (name.replace("\0", "") if isinstance(name, str) else None)
    assert ALICE in now(world.timeline.joined_members(world.viewer(ALICE), room_id))


def test_a_state_key_may_be_as_long_as_a_user_id(world: World) -> None:
    room_id = world.create_room(ALICE)
    key = "k" * 255

    now(world.sending.set_state(ALICE, room_id, "t" * 255, key, {}))

    state = now(world.timeline.state_event(world.viewer(ALICE), room_id, "t" * 255, key, whole_event=False))
    assert state == {}


def test_what_stood_on_a_head_does_so_no_more_when_a_user_of_this_server_builds_on_it(world: World) -> None:
    scene = Scene()
    room_id = scene.create.room_id
    dave = scene.member(DAVE, "join", after=[scene.last])
    forged = scene.say(REMOTE_BOB, after=[dave])
    taken = [received(event) for event in (*scene.history.events.values(),)]
    now(world.intake.take(room_id, scene.version, taken, received_from=None))
    assert world.sync_database.read(heads_under, room_id, [forged.event_id]) == {dave.event_id}

    world.sync_database.write(build_on_heads, world, room_id, dave)

    assert world.sync_database.read(lambda tx: tx.all("SELECT head_id FROM shadowed_heads")) == []


def build_on_heads(tx: Transaction, world: World, room_id: RoomID, below: Event) -> None:
    """An event such as this server makes, whoever may send it."""
    write = world.writer.open(tx, room_id)
    assert write is not None
    template = EventTemplate(
        room_id=room_id,
        type="m.room.message",
        sender=ALICE,
        content={"body": "hello"},
        prev_events=((below.event_id, b""),),
        auth_events=(),
        depth=below.depth + 1,
        origin_server_ts=1,
    )
    write.add(build_event(template, write.version, SERVER, world.key))
    write.finish()
