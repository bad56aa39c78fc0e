"""The events that relate to another one, page by page, for those who may see them."""

from typing import Any

import pytest

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sync_tokens import parse_token
from homeserver.services.errors import NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.relations import RelatedPage, RelationsQuestion
from tests.forked_rooms import ALICE as REMOTE_ALICE
from tests.forked_rooms import BOB as REMOTE_BOB
from tests.scenes import Scene
from tests.services.events.test_intake_history import Past
from tests.services.rooms.related import edit, ignore, react, redact, relate, reply
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

JOINED_ONLY = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})


def page(world: World, user_id: UserID, room_id: RoomID, parent: EventID, **question: Any) -> RelatedPage:
    """A page of relations; `begin` and `end` are texts."""
    for name in ("begin", "end"):
        if name in question:
            question[name] = parse_token(question[name])
    return now(world.relations.related(world.viewer(user_id), room_id, parent, RelationsQuestion(**question)))


def related(world: World, user_id: UserID, room_id: RoomID, parent: EventID, **question: Any) -> list[str]:
    """The IDs of the events of a page."""
    return [shown(one)["event_id"] for one in page(world, user_id, room_id, parent, **question).chunk]


def walk(world: World, user_id: UserID, room_id: RoomID, parent: EventID, **question: Any) -> list[str]:
    """The IDs of all pages."""
    found: list[str] = []
    while True:
        read = page(world, user_id, room_id, parent, **question)
        found += [shown(one)["event_id"] for one in read.chunk]
        if read.next_batch is None:
            return found
        question["begin"] = read.next_batch


def room_of_both(world: World, **wishes: Any) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", **wishes)
    world.join(BOB, room_id)
    return room_id


def test_relations_are_found_by_their_types(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    threaded = reply(world, BOB, room_id, parent)
    sticker = relate(world, BOB, room_id, parent, "m.thread", "m.sticker")
    reaction = react(world, BOB, room_id, parent)
    reply(world, BOB, room_id, world.send(ALICE, room_id))

    assert related(world, ALICE, room_id, parent) == [reaction, sticker, threaded]
    assert related(world, ALICE, room_id, parent, backwards=False) == [threaded, sticker, reaction]
    assert related(world, ALICE, room_id, parent, rel_type="m.thread") == [sticker, threaded]
    assert related(world, ALICE, room_id, parent, rel_type="m.thread", event_type="m.sticker") == [sticker]
    assert related(world, ALICE, room_id, parent, rel_type="m.replace") == []


@pytest.mark.parametrize("recurse", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_of_any_size_hold_every_relation_once(
    shared_world: World, limit: int, backwards: bool, recurse: bool
) -> None:
    world = shared_world
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    children = [reply(world, BOB, room_id, parent) for _ in range(7)]

    found = walk(world, ALICE, room_id, parent, limit=limit, backwards=backwards, recurse=recurse)

    assert found == (children[::-1] if backwards else children)


def test_tokens_of_syncs_and_of_history_say_from_where_to_where(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    early = reply(world, BOB, room_id, parent)
    token = sync(world, ALICE)["next_batch"]
    late = [reply(world, BOB, room_id, parent) for _ in range(2)]
    first = page(world, ALICE, room_id, parent, limit=1)

    assert related(world, ALICE, room_id, parent, begin=token) == [early]
    assert related(world, ALICE, room_id, parent, begin=token, backwards=False) == late
    assert related(world, ALICE, room_id, parent, end=token) == late[::-1]
    assert first.next_batch is not None
    assert first.prev_batch is None
    assert related(world, ALICE, room_id, parent, end=first.next_batch) == [late[1]]
    assert page(world, ALICE, room_id, parent, begin=first.next_batch).prev_batch == first.next_batch


def test_what_relates_to_relations_is_found_up_to_a_depth(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    child = reply(world, BOB, room_id, parent)
    grandchild = relate(world, BOB, room_id, child, "m.reference")
    third = relate(world, BOB, room_id, grandchild, "m.reference")
    relate(world, BOB, room_id, third, "m.reference")

    found = page(world, ALICE, room_id, parent, recurse=True)

    assert [shown(one)["event_id"] for one in found.chunk] == [third, grandchild, child]
    assert found.recursion_depth == 3
    assert related(world, ALICE, room_id, parent) == [child]
    # What is between has to be of the wanted type, too.
    assert related(world, ALICE, room_id, parent, recurse=True, rel_type="m.reference") == []
    assert related(world, ALICE, room_id, parent, recurse=True, rel_type="m.thread") == [child]


def test_what_is_redacted_relates_to_nothing_any_more(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    kept, rued = reply(world, BOB, room_id, parent), reply(world, BOB, room_id, parent)

    redact(world, BOB, room_id, rued)
    redact(world, ALICE, room_id, parent)

    assert related(world, ALICE, room_id, parent) == [kept]


def test_relations_are_told_with_their_own_children(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    child = reply(world, BOB, room_id, parent)
    edited = edit(world, BOB, room_id, child, "edited")

    (told,) = page(world, ALICE, room_id, parent).chunk

    assert shown(told)["unsigned"]["m.relations"]["m.replace"]["event_id"] == edited


def test_what_ignored_users_send_is_left_out(world: World) -> None:
    room_id = room_of_both(world)
    parent = world.send(ALICE, room_id)
    own = reply(world, ALICE, room_id, parent)
    reply(world, BOB, room_id, parent)

    ignore(world, ALICE, BOB)

    assert walk(world, ALICE, room_id, parent, limit=1) == [own]


def test_only_what_the_reader_may_see_is_found(world: World) -> None:
    room_id = room_of_both(world, initial_state=(JOINED_ONLY,))
    parent = world.send(ALICE, room_id)
    seen = reply(world, ALICE, room_id, parent)
    now(world.membership.leave(BOB, room_id, None))
    unseen = [reply(world, ALICE, room_id, parent) for _ in range(30)]
    left = walk(world, BOB, room_id, parent, limit=2)
    world.join(BOB, room_id)
    late = reply(world, ALICE, room_id, parent)

    assert left == [seen]
    assert walk(world, BOB, room_id, parent, limit=2) == [late, seen]
    assert len(walk(world, ALICE, room_id, parent, limit=50)) == len(unseen) + 2


def test_an_event_that_the_reader_may_not_see_is_not_found(world: World) -> None:
    room_id = room_of_both(world, initial_state=(JOINED_ONLY,))
    other = world.create_room(ALICE, preset="public_chat")
    parent = world.send(ALICE, room_id)
    now(world.membership.leave(BOB, room_id, None))
    unseen = world.send(ALICE, room_id)
    world.join(BOB, room_id)

    asked: list[tuple[UserID, RoomID, EventID]] = [
        (BOB, room_id, unseen),
        (CAROL, room_id, parent),
        (ALICE, other, parent),
        (ALICE, room_id, EventID("$unknown")),
        (ALICE, RoomID("!unknown:example.org"), parent),
    ]

    for user_id, where, event_id in asked:
        with pytest.raises(NotFound):
            page(world, user_id, where, event_id)


def test_a_relation_to_an_event_of_another_room_is_none(world: World) -> None:
    room_id, other = room_of_both(world), world.create_room(ALICE)
    parent = world.send(ALICE, room_id)

    reply(world, ALICE, other, parent)

    assert related(world, ALICE, room_id, parent) == []
    assert related(world, ALICE, room_id, parent, recurse=True) == []


def threaded(scene: Scene, root: Event, *after: Event) -> Event:
    """An event of another server's user in a thread."""
    relates_to = {"rel_type": "m.thread", "event_id": root.event_id}
    return scene.send(REMOTE_ALICE, "m.room.message", {"body": "", "m.relates_to": relates_to}, None, after=after)


@pytest.fixture
def past(world: World) -> Past:
    """A room of other servers, of which this one learns in whatever order a test gives it."""
    return Past(world, Scene())


def ids_of_threads(world: World, room_id: RoomID) -> list[str]:
    page = now(world.threads.threads(world.viewer(REMOTE_BOB), room_id, with_viewer=False, begin=None, limit=None))
    return [shown(one)["event_id"] for one in page.chunk]


def test_a_child_that_came_before_its_parent_relates_to_it(past: Past) -> None:
    scene, world = past.scene, past.world
    root = scene.say(REMOTE_ALICE, after=[scene.last])
    child = threaded(scene, root, root)
    past.join_after(root, child)

    past.history(child)
    unknown = ids_of_threads(world, past.room_id)
    past.history(root)

    assert unknown == []
    assert related(world, REMOTE_BOB, past.room_id, root.event_id) == [child.event_id]
    assert ids_of_threads(world, past.room_id) == [root.event_id]


def test_a_child_whose_redaction_came_first_relates_to_nothing(past: Past) -> None:
    scene, world = past.scene, past.world
    root = scene.say(REMOTE_ALICE, after=[scene.last])
    child = threaded(scene, root, root)
    redaction = scene.redact(REMOTE_ALICE, child, after=[root])
    last = scene.say(REMOTE_ALICE, after=[child, redaction])
    past.join_after(root, last)

    past.history(root, redaction, child, last)

    assert past.stored(child).redacted_by == redaction.event_id
    assert related(world, REMOTE_BOB, past.room_id, root.event_id) == []
    assert ids_of_threads(world, past.room_id) == []


def test_a_child_whose_content_came_later_relates_from_then_on(past: Past) -> None:
    scene, world = past.scene, past.world
    root = scene.say(REMOTE_ALICE, after=[scene.join_in_turn(REMOTE_BOB)])
    child = threaded(scene, root, root)
    past.take(*(one for one in scene.history.events.values() if one is not child))

    past.take_bare(child)
    bare = related(world, REMOTE_BOB, past.room_id, root.event_id)
    past.take(child)

    assert bare == []
    assert past.stored(child).thread_id == root.event_id
    assert related(world, REMOTE_BOB, past.room_id, root.event_id) == [child.event_id]
    assert ids_of_threads(world, past.room_id) == [root.event_id]
