"""What is told of an event's children with the event: to whom, and of which."""

from typing import Any

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.aggregations import MOST_EDITS_TRIED, MOST_REFERENCES
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.timeline import onlooker_of
from homeserver.storage.database import Transaction
from tests.services.rooms.related import edit, ignore, react, redact, relate, reply
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown
from tests.storage.statements import CountedStatements

# Any: JSON, throughout.

JOINED_ONLY = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})
LIMITED = {"room": {"timeline": {"limit": 3}}}


def event(world: World, user_id: UserID, room_id: RoomID, event_id: EventID) -> dict[str, Any]:
    return shown(now(world.timeline.event(world.viewer(user_id), room_id, event_id)))


def relations(world: World, user_id: UserID, room_id: RoomID, event_id: EventID) -> Any:
    """The aggregations of an event, if it has any: the same wherever it is shown."""
    found = event(world, user_id, room_id, event_id)["unsigned"].get("m.relations")
    (listed,) = [one for one in world.history(user_id, room_id, 500) if one["event_id"] == event_id]
    assert timeless(listed["unsigned"].get("m.relations")) == timeless(found)
    return found


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key != "age"}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def room_of_both(world: World, **wishes: Any) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", **wishes)
    world.join(BOB, room_id)
    return room_id


def test_an_event_to_which_nothing_relates_has_no_aggregations(world: World) -> None:
    room_id = room_of_both(world)
    alone = world.send(ALICE, room_id)
    annotated = world.send(ALICE, room_id)
    react(world, BOB, room_id, annotated)
    relate(world, BOB, room_id, annotated, "org.example.unknown")

    assert relations(world, BOB, room_id, alone) is None
    assert relations(world, BOB, room_id, annotated) is None


def test_the_newest_edit_is_told_whole(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id, "first")
    edit(world, ALICE, room_id, original, "second")
    world.clock.advance(1)
    newest = edit(world, ALICE, room_id, original, "third")

    told = relations(world, BOB, room_id, original)

    assert list(told) == ["m.replace"]
    assert told["m.replace"]["event_id"] == newest
    assert told["m.replace"]["content"]["m.new_content"]["body"] == "third"
    assert event(world, BOB, room_id, original)["content"]["body"] == "first"


def test_when_an_edit_is_redacted_the_one_before_it_is_told(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id)
    kept = edit(world, ALICE, room_id, original, "kept")
    world.clock.advance(1)
    rued = edit(world, ALICE, room_id, original, "rued")

    redact(world, ALICE, room_id, rued)

    assert relations(world, BOB, room_id, original)["m.replace"]["event_id"] == kept


def test_edits_that_are_not_valid_are_not_told(world: World) -> None:
    room_id = room_of_both(world)
    original, state = world.send(ALICE, room_id), now(world.sending.set_state(ALICE, room_id, "org.example", "", {}))
    content: dict[str, Any] = {"m.new_content": {"body": "edited"}}
    relate(world, BOB, room_id, original, "m.replace", **content)
    relate(world, ALICE, room_id, original, "m.replace", "m.room.encrypted", **content)
    relate(world, ALICE, room_id, original, "m.replace")
    relate(world, ALICE, room_id, state, "m.replace", "org.example", **content)

    assert relations(world, BOB, room_id, original) is None
    assert relations(world, BOB, room_id, state) is None


def test_a_valid_edit_is_told_though_newer_ones_are_not_valid(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id)
    valid = edit(world, ALICE, room_id, original, "valid")
    for _ in range(MOST_EDITS_TRIED - 1):
        world.clock.advance(1)
        relate(world, ALICE, room_id, original, "m.replace")

    assert relations(world, BOB, room_id, original)["m.replace"]["event_id"] == valid


def test_a_redacted_event_is_told_without_edits_but_with_its_thread(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id)
    edit(world, ALICE, room_id, original, "edited")
    reply(world, BOB, room_id, original)

    redact(world, ALICE, room_id, original)

    assert list(relations(world, BOB, room_id, original)) == ["m.thread"]


def test_a_thread_is_told_by_its_newest_event_and_how_long_it_is(world: World) -> None:
    room_id = room_of_both(world)
    world.join(CAROL, room_id)
    root = world.send(ALICE, room_id)
    reply(world, BOB, room_id, root)
    newest = reply(world, BOB, room_id, root, "newest")

    told = {user: relations(world, user, room_id, root)["m.thread"] for user in (ALICE, BOB, CAROL)}

    assert all(thread["count"] == 2 for thread in told.values())
    assert all(thread["latest_event"]["event_id"] == newest for thread in told.values())
    assert told[BOB]["latest_event"]["room_id"] == room_id
    assert [told[user]["current_user_participated"] for user in (ALICE, BOB, CAROL)] == [True, True, False]


def test_the_newest_event_of_a_thread_is_told_with_its_own_edit(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    newest = reply(world, BOB, room_id, root)
    edited = edit(world, BOB, room_id, newest, "edited")

    latest = relations(world, ALICE, room_id, root)["m.thread"]["latest_event"]

    assert latest["unsigned"]["m.relations"]["m.replace"]["event_id"] == edited


def test_a_thread_from_which_the_newest_event_is_redacted_is_told_by_the_one_before(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    first, second = reply(world, BOB, room_id, root), reply(world, BOB, room_id, root)

    redact(world, BOB, room_id, second)
    shorter = relations(world, ALICE, room_id, root)["m.thread"]
    redact(world, BOB, room_id, first)
    gone = relations(world, ALICE, room_id, root)

    assert (shorter["count"], shorter["latest_event"]["event_id"]) == (1, first)
    assert gone is None


def test_references_are_told_by_their_ids_oldest_first(world: World) -> None:
    room_id = room_of_both(world)
    target = world.send(ALICE, room_id)
    referring = [relate(world, BOB, room_id, target, "m.reference") for _ in range(3)]

    told = relations(world, ALICE, room_id, target)

    assert told == {"m.reference": {"chunk": [{"event_id": one} for one in referring]}}


def test_of_very_many_references_only_the_first_are_told(world: World) -> None:
    room_id = room_of_both(world)
    target = world.send(ALICE, room_id)
    referring = [relate(world, BOB, room_id, target, "m.reference") for _ in range(MOST_REFERENCES + 1)]

    told = relations(world, ALICE, room_id, target)["m.reference"]["chunk"]

    assert [one["event_id"] for one in told] == referring[:MOST_REFERENCES]


def test_what_ignored_users_send_is_not_told(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    own = reply(world, ALICE, room_id, root)
    reply(world, BOB, room_id, root)
    relate(world, BOB, room_id, root, "m.reference")

    ignore(world, ALICE, BOB)
    told = relations(world, ALICE, room_id, root)

    assert list(told) == ["m.thread"]
    assert (told["m.thread"]["count"], told["m.thread"]["latest_event"]["event_id"]) == (1, own)


def test_who_left_is_told_of_what_came_before_that(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    before = reply(world, ALICE, room_id, root)
    now(world.membership.leave(BOB, room_id, None))
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", {"history_visibility": "joined"}))
    reply(world, ALICE, room_id, root)
    edit(world, ALICE, room_id, root, "unseen")

    told = relations(world, BOB, room_id, root)

    assert list(told) == ["m.thread"]
    assert (told["m.thread"]["count"], told["m.thread"]["latest_event"]["event_id"]) == (1, before)


def test_where_history_is_for_members_alone_only_children_that_are_seen_are_told(world: World) -> None:
    room_id = room_of_both(world, initial_state=(JOINED_ONLY,))
    root = world.send(ALICE, room_id)
    seen = reply(world, ALICE, room_id, root)
    relate(world, ALICE, room_id, root, "m.reference")
    now(world.membership.leave(BOB, room_id, None))
    reply(world, ALICE, room_id, root)
    relate(world, ALICE, room_id, root, "m.reference")
    world.join(BOB, room_id)

    told = relations(world, BOB, room_id, root)

    assert (told["m.thread"]["count"], told["m.thread"]["latest_event"]["event_id"]) == (1, seen)
    assert len(told["m.reference"]["chunk"]) == 1


def test_an_event_of_a_thread_is_no_root_of_another(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    inner = reply(world, ALICE, room_id, root)
    elsewhere = world.create_room(ALICE)
    # Clients are refused this in the room itself: where the parent is not known it passes.
    reply(world, ALICE, elsewhere, inner)

    assert relations(world, ALICE, room_id, inner) is None


def test_a_sync_tells_of_children_where_its_timeline_has_a_gap(world: World) -> None:
    room_id = room_of_both(world)
    since = sync(world, BOB)["next_batch"]
    for number in range(3):
        world.send(ALICE, room_id, str(number))
    root = world.send(ALICE, room_id)
    child = reply(world, ALICE, room_id, root)

    timelines = {
        name: sync(world, BOB, since, definition)["rooms"]["join"][room_id]["timeline"]
        for name, definition in {"gap": LIMITED, "whole": {}}.items()
    }
    by_id = {
        name: {one["event_id"]: one["unsigned"] for one in timeline["events"]} for name, timeline in timelines.items()
    }

    assert [timelines[name]["limited"] for name in ("gap", "whole")] == [True, False]
    assert by_id["gap"][root]["m.relations"]["m.thread"]["latest_event"]["event_id"] == child
    assert "m.relations" not in by_id["whole"][root]


def test_what_is_around_an_event_is_told_with_its_children(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    middle = world.send(ALICE, room_id)
    reply(world, ALICE, room_id, root)
    edit(world, ALICE, room_id, middle, "edited")
    asked = world.viewer(BOB), room_id, middle, 10

    context = now(world.timeline.context(*asked, RoomEventFilter()))

    assert "m.replace" in shown(context.event)["unsigned"]["m.relations"]
    assert "m.thread" in shown(context.before[0])["unsigned"]["m.relations"]


def statements(world: World, room_id: RoomID, events: list[EventID]) -> int:
    """How many statements it takes to aggregate the children of some events."""

    def aggregate(tx: Transaction) -> int:
        stored = list(world.states.load(tx, events).values())
        counted = CountedStatements(tx)
        access = world.readers.access(tx, room_id, BOB)
        onlooker = onlooker_of(world.viewer(BOB), room_id, access, frozenset())
        world.aggregations.of(counted, onlooker, stored)
        return counted.count

    return world.sync_database.read(aggregate)


def test_a_page_is_aggregated_in_as_many_statements_as_an_event(world: World) -> None:
    room_id = room_of_both(world)
    alone = [world.send(ALICE, room_id) for _ in range(5)]
    parents = [world.send(ALICE, room_id) for _ in range(5)]
    for parent in parents:
        edit(world, ALICE, room_id, parent, "edited")
        edit(world, BOB, room_id, reply(world, BOB, room_id, parent), "edited")
        relate(world, BOB, room_id, parent, "m.reference")

    assert statements(world, room_id, alone) == 1
    assert statements(world, room_id, parents) == statements(world, room_id, parents[:1])
