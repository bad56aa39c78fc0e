"""Relations: which events relate to others, and which of them are told of with these."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID
from homeserver.storage.events import EventNid
from homeserver.storage.relations import (
    ChildCount,
    Children,
    RelatedWish,
    child_counts,
    first_references,
    has_annotated,
    is_thread_root,
    newest_edits,
    newest_in_threads,
    related_events,
    relations_to,
    remove_relation,
    thread_events_at,
    threads_with,
)
from tests.databases import SyncDatabase
from tests.storage.related_rows import ALICE, BOB, OTHER, ROOM, Child, insert_children, insert_event

PARENT, SECOND, UNRELATED = EventID("$parent"), EventID("$second"), EventID("$unrelated")


def related(db: SyncDatabase, *, backwards: bool = True, depth: int = 1, **asked: Any) -> list[int]:
    """The places of what relates to the parent; `after`, `upto` and `limit` as they are."""
    bounds = {name: asked.pop(name, default) for name, default in (("after", 0), ("upto", 99), ("limit", 99))}
    wish = RelatedWish(ROOM, PARENT, asked.get("rel_type"), asked.get("event_type"), depth)
    found = db.read(related_events, wish, backwards=backwards, **bounds)
    assert [event_id for event_id, _ in found] == [f"${place}" for _, place in found]
    return [place for _, place in found]


def children(*event_ids: EventID, upto: int = 99, ignored: tuple[str, ...] = ()) -> Children:
    return Children(ROOM, event_ids, upto, ignored)


def test_what_relates_to_an_event_is_read_in_the_order_of_places(db: SyncDatabase) -> None:
    db.write(
        insert_children,
        Child(3, PARENT),
        Child(1, PARENT, "m.reference"),
        Child(2, PARENT, type="m.sticker"),
        Child(4, SECOND),
        Child(5, PARENT, room_id=OTHER),
    )

    assert related(db) == [3, 2, 1]
    assert related(db, backwards=False) == [1, 2, 3]
    assert related(db, limit=2) == [3, 2]
    assert related(db, after=1, upto=2) == [2]
    assert related(db, rel_type="m.thread") == [3, 2]
    assert related(db, rel_type="m.thread", backwards=False, event_type="m.sticker") == [2]


def test_what_relates_indirectly_is_read_up_to_a_depth(db: SyncDatabase) -> None:
    db.write(
        insert_children,
        Child(1, PARENT),
        Child(2, "$1", "m.reference"),
        Child(3, "$2", "m.reference"),
        Child(4, "$3", "m.reference"),
        Child(5, "$1", room_id=OTHER),
    )

    assert related(db, depth=2) == [2, 1]
    assert related(db, depth=3) == [3, 2, 1]
    assert related(db, depth=3, backwards=False, limit=2) == [1, 2]
    assert related(db, depth=3, after=1, upto=2) == [2]
    assert related(db, depth=3, rel_type="m.reference") == []


def test_events_that_relate_to_each_other_are_read_once(db: SyncDatabase) -> None:
    # Where servers choose the IDs of events, there may be circles.
    db.write(insert_children, Child(1, "$2"), Child(2, "$1"))

    wish = RelatedWish(ROOM, EventID("$1"), None, None, 3)

    assert db.read(related_events, wish, after=0, upto=99, limit=99, backwards=True) == [("$2", 2)]


def test_children_are_counted_by_their_relation(db: SyncDatabase) -> None:
    db.write(
        insert_children,
        Child(1, PARENT),
        Child(2, PARENT, sender=BOB),
        Child(3, PARENT, "m.replace"),
        Child(4, PARENT, "m.annotation"),
        Child(5, SECOND, "m.reference"),
        Child(6, PARENT, room_id=OTHER),
    )

    assert db.read(child_counts, children(PARENT, SECOND, UNRELATED)) == {
        PARENT: {"m.thread": ChildCount(2, 2), "m.replace": ChildCount(1, 3)},
        SECOND: {"m.reference": ChildCount(1, 5)},
    }
    assert db.read(child_counts, children(PARENT, upto=2, ignored=(BOB,))) == {PARENT: {"m.thread": ChildCount(1, 1)}}
    assert db.read(child_counts, children()) == {}


def test_the_newest_edits_are_those_of_the_sender_by_their_time_and_then_their_id(db: SyncDatabase) -> None:
    db.write(insert_event, 90, PARENT)
    db.write(insert_event, 91, SECOND, sender=BOB)
    db.write(
        insert_children,
        Child(1, PARENT, "m.replace", ts=5),
        Child(2, PARENT, "m.replace", ts=5),
        Child(3, PARENT, "m.replace", ts=4),
        Child(4, PARENT, "m.replace", ts=9, sender=BOB),
        Child(5, PARENT, "m.replace", ts=9, type="m.sticker"),
        Child(6, PARENT, "m.replace", ts=9, state_key=""),
        Child(7, PARENT, "m.reference", ts=9),
        Child(8, SECOND, "m.replace", sender=BOB),
    )

    assert db.read(newest_edits, children(PARENT, SECOND), most=2) == {PARENT: ["$2", "$1"], SECOND: ["$8"]}
    assert db.read(newest_edits, children(PARENT, upto=1), most=2) == {PARENT: ["$1"]}
    assert db.read(newest_edits, children(PARENT, SECOND, ignored=(BOB,)), most=1) == {PARENT: ["$2"]}
    assert db.read(newest_edits, children(), most=1) == {}


def test_the_newest_events_of_threads_and_the_first_references_are_found(db: SyncDatabase) -> None:
    db.write(
        insert_children,
        *(Child(number, PARENT) for number in (1, 2, 3)),
        Child(4, SECOND, sender=BOB),
        *(Child(number, PARENT, "m.reference") for number in (5, 6, 7)),
    )
    both = children(PARENT, SECOND)

    assert db.read(newest_in_threads, both, most=2, limit=9) == {PARENT: ["$3", "$2"], SECOND: ["$4"]}
    assert db.read(newest_in_threads, both, most=9, limit=2).keys() == {PARENT, SECOND}
    assert db.read(newest_in_threads, children(SECOND, ignored=(BOB,)), most=1, limit=9) == {}
    assert db.read(first_references, both, most=2, limit=9) == {PARENT: ["$5", "$6"]}
    assert db.read(first_references, children(PARENT, upto=5), most=2, limit=9) == {PARENT: ["$5"]}


def test_the_events_of_threads_at_some_places_are_found(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, PARENT), Child(2, PARENT), Child(3, SECOND), Child(4, SECOND, "m.reference"))

    assert db.read(thread_events_at, ROOM, {PARENT: 2, SECOND: 3}) == {PARENT: ["$2"], SECOND: ["$3"]}
    assert db.read(thread_events_at, ROOM, {PARENT: 3, SECOND: 2}) == {}
    assert db.read(thread_events_at, ROOM, {}) == {}


def test_threads_in_which_somebody_took_part_are_found(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, PARENT), Child(2, SECOND, sender=BOB), Child(3, PARENT, "m.replace", sender=BOB))

    assert db.read(threads_with, ROOM, [PARENT, SECOND], BOB) == {SECOND}
    assert db.read(threads_with, ROOM, [], BOB) == set()


@pytest.mark.parametrize("room_id", [ROOM, OTHER])
def test_relations_count_in_their_own_room(db: SyncDatabase, room_id: Any) -> None:
    db.write(
        insert_children,
        Child(1, PARENT),
        Child(2, PARENT, "m.annotation", type="m.reaction", sender=BOB, key="+"),
    )
    is_here = room_id == ROOM

    reaction: Any = {"sender": BOB, "event_type": "m.reaction", "aggregation_key": "+"}
    assert db.read(has_annotated, room_id, PARENT, **reaction) is is_here
    assert not db.read(has_annotated, room_id, PARENT, **{**reaction, "aggregation_key": "-"})
    assert db.read(is_thread_root, room_id, PARENT) is is_here
    found = db.read(relations_to, room_id, [PARENT])
    assert sorted(found.get(PARENT, ())) == ([("m.annotation", BOB), ("m.thread", ALICE)] if is_here else [])


def test_what_was_removed_relates_to_nothing(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, PARENT), Child(2, PARENT))

    db.write(remove_relation, EventNid(1))

    assert related(db) == [2]
