"""Audits that are asked for: answered in time, gone on with, and given up when nobody does."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from homeserver.core.graph_drawing import DrawnEvent
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import VerifyKey
from homeserver.services.admin.audits import ANSWER_AFTER_S, EVENTS_PER_PAGE, MOST_UNFINISHED, RoomAudits
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import find_head
from tests.services.admin.damageable_room import DamageableRoom
from tests.services.admin.own_keys import OwnKeys
from tests.services.world import ALICE, BOB, SERVER, World, now


@pytest.fixture
def audits(world: World) -> RoomAudits:
    return RoomAudits(world.database, OwnKeys(SERVER, world.key), world.clock, world.randomness, SERVER)


def long_room(world: World, messages: int = 100) -> RoomID:
    room_id = world.create_room(preset="public_chat")
    for number in range(messages):
        world.send(ALICE, room_id, str(number))
    return room_id


class SlowKeys(OwnKeys):
    """Keys for which so much time passes that no answer waits for the next slice."""

    def __init__(self, world: World) -> None:
        super().__init__(SERVER, world.key)
        self._world = world

    def of_server(self, tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        self._world.clock.advance(ANSWER_AFTER_S)
        return super().of_server(tx, server_name)


@pytest.fixture
def slow(world: World) -> RoomAudits:
    return RoomAudits(world.database, SlowKeys(world), world.clock, world.randomness, SERVER)


def test_an_audit_of_a_sound_room_is_answered_at_once(world: World, audits: RoomAudits) -> None:
    room_id = long_room(world)

    report = now(audits.verify(room_id))

    assert (report.fault, report.continued) == (None, None)
    assert report.counts.events == 106


def test_a_long_audit_is_answered_in_pieces(world: World, slow: RoomAudits) -> None:
    room_id = long_room(world)

    report = now(slow.verify(room_id))
    seen = [report.counts.events]
    while report.continued is not None:
        report = now(slow.verify(room_id, report.continued))
        seen.append(report.counts.events)

    assert report.fault is None
    assert seen[0] < seen[-1] == 106
    assert len(seen) > 3


def test_an_audit_goes_on_once_under_its_name_and_for_its_room(world: World, slow: RoomAudits) -> None:
    room_id, other = long_room(world), long_room(world, 1)
    name = now(slow.verify(room_id)).continued

    with pytest.raises(NotFound):
        now(slow.verify(other, name))
    with pytest.raises(NotFound):
        now(slow.verify(room_id, name))
    with pytest.raises(NotFound):
        now(slow.verify(room_id, "no such audit"))


def test_of_too_many_unfinished_audits_the_oldest_is_given_up(world: World, slow: RoomAudits) -> None:
    room_id = long_room(world)
    names = [now(slow.verify(room_id)).continued for _ in range(MOST_UNFINISHED + 1)]

    with pytest.raises(NotFound):
        now(slow.verify(room_id, names[0]))
    assert now(slow.verify(room_id, names[1])).fault is None


def test_a_room_that_is_not_known_is_not_found(audits: RoomAudits) -> None:
    with pytest.raises(NotFound):
        now(audits.verify(RoomID("!none:example.org")))
    with pytest.raises(NotFound):
        now(audits.graph(RoomID("!none:example.org"), None))


def test_rooms_are_listed_in_order_page_by_page(world: World, audits: RoomAudits) -> None:
    room_ids = sorted(world.create_room() for _ in range(3))

    assert now(audits.rooms("")) == room_ids
    assert now(audits.rooms(room_ids[0])) == room_ids[1:]
    assert now(audits.rooms(room_ids[-1])) == []


def test_the_graph_of_a_room_is_given_page_by_page(world: World, audits: RoomAudits) -> None:
    room_id = long_room(world, EVENTS_PER_PAGE)

    pages = graph_pages(audits, room_id)

    assert len(pages[0]) == EVENTS_PER_PAGE
    events = [event for page in pages for event in page]
    assert events[0].type == "m.room.create"
    assert [list(event.prev_event_ids or ()) for event in events[1:]] == [[event.event_id] for event in events[:-1]]


def test_a_damaged_event_is_in_the_graph_and_marked(world: World, audits: RoomAudits) -> None:
    room_id = long_room(world, 1)
    world.join(BOB, room_id)
    damage = "UPDATE events SET pdu = CAST('{' AS BYTES) WHERE type = 'm.room.message'"
    is_sqlite = world.sync_database.dialect.name == "sqlite"
    world.sync_database.write(lambda tx: tx.run(damage.replace("BYTES", "BLOB" if is_sqlite else "BYTEA")))
    world.sync_database.write(lambda tx: tx.run("UPDATE events SET verdict = 7 WHERE type = 'm.room.topic'"))

    events = now(audits.graph(room_id, None)).events

    assert [event.type for event in events if event.prev_event_ids is None] == ["m.room.message"]
    assert [event.verdict for event in events if event.verdict != "accepted"] == []


@pytest.mark.parametrize("version", ["1", "12"])
def test_the_graph_has_all_that_is_here_and_what_is_missing(world: World, audits: RoomAudits, version: str) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS[version])

    events = [event for page in graph_pages(audits, room.room_id) for event in page]

    drawn = {event.event_id: event for event in events}
    assert len(drawn) == len(events)
    assert Counter(event.verdict for event in events) == {
        "accepted": 29,
        "soft-failed": 2,
        "rejected": 5,
        "outlier": 1,
        "waiting": 2,
        "missing": 2,
    }
    assert {event.form for event in events} == {"whole", "redacted", "wrong hash"}
    named = {prev for event in events for prev in event.prev_event_ids or ()}
    assert named <= drawn.keys()
    heads = world.sync_database.read(find_head, room.room_id)
    assert heads is not None
    assert len([event_id for event_id in heads.heads if event_id in named]) <= 1  # on one, something rejected stands


@pytest.mark.parametrize(
    "after", ["", "5", "place", "place.", "place.x", "number.1e3", "place.99999999999999999999", "x.1"]
)
def test_a_page_that_begins_nowhere_is_refused(world: World, audits: RoomAudits, after: str) -> None:
    room_id = long_room(world, 1)

    with pytest.raises(InvalidParameter):
        now(audits.graph(room_id, after))
    with pytest.raises(InvalidParameter):
        now(audits.graph(room_id, "missing.\0"))


def graph_pages(audits: RoomAudits, room_id: RoomID) -> list[Sequence[DrawnEvent]]:
    """All pages of a room's graph."""
    page = now(audits.graph(room_id, None))
    pages = [page.events]
    while page.after is not None:
        page = now(audits.graph(room_id, page.after))
        pages.append(page.events)
    return pages
