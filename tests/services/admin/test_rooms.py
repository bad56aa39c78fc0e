"""Rooms, read by administrators: what no member let them see, too."""

import orjson
import pytest

from homeserver.core.filters import RoomEventFilter, parse_room_event_filter
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.sync_tokens import PaginationToken, parse_token
from homeserver.services.admin.rooms import RoomReading
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.timeline import Page
from homeserver.storage.room_listing import RoomWanted
from tests.services.world import ALICE, BOB, World, now

NO_ROOM = RoomID("!none:example.org")
SECRET = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})


@pytest.fixture
def reading(shared_world: World) -> RoomReading:
    world = shared_world
    return RoomReading(world.database, world.states, world.formats, world.aggregations)


def bodies(page: Page) -> list[object]:
    return [orjson.loads(orjson.dumps(event))["content"].get("body") for event in page.chunk]


def token(text: str | None) -> PaginationToken:
    assert text is not None
    parsed = parse_token(text)
    assert isinstance(parsed, PaginationToken)
    return parsed


def test_a_secret_history_is_read_page_by_page_in_both_directions(shared_world: World, reading: RoomReading) -> None:
    room_id = shared_world.create_room(ALICE, initial_state=[SECRET])
    for number in range(5):
        shared_world.send(ALICE, room_id, str(number))

    def page(begin: PaginationToken | None, *, backwards: bool, filter_json: bytes | None = None) -> Page:
        event_filter = RoomEventFilter() if filter_json is None else parse_room_event_filter(orjson.loads(filter_json))
        return now(
            reading.messages(room_id, begin=begin, end=None, backwards=backwards, limit=2, event_filter=event_filter)
        )

    newest = page(None, backwards=True)
    older = page(token(newest.end), backwards=True)
    again = page(token(older.end), backwards=False)
    said = b'{"types": ["m.room.message"]}'
    first = page(None, backwards=False, filter_json=said)
    second = page(token(first.end), backwards=False, filter_json=said)
    last = page(token(second.end), backwards=False, filter_json=said)

    assert (bodies(newest), bodies(older), bodies(again)) == (["4", "3"], ["2", "1"], ["1", "2"])
    assert (bodies(first), bodies(second), bodies(last), last.end) == (["0", "1"], ["2", "3"], ["4"], None)


def test_a_page_ends_where_it_is_told_to(shared_world: World, reading: RoomReading) -> None:
    room_id = shared_world.create_room(ALICE)
    for number in range(3):
        shared_world.send(ALICE, room_id, str(number))
    none = RoomEventFilter()
    newest = now(reading.messages(room_id, begin=None, end=None, backwards=True, limit=1, event_filter=none))

    rest = now(reading.messages(room_id, begin=None, end=token(newest.end), backwards=True, limit=9, event_filter=none))

    assert (bodies(rest), rest.end) == (["2"], None)


def test_an_event_is_shown_with_those_around_it_and_by_its_time(shared_world: World, reading: RoomReading) -> None:
    room_id = shared_world.create_room(ALICE, initial_state=[SECRET])
    said = []
    for number in range(3):
        shared_world.clock.advance(1)
        said.append(shared_world.send(ALICE, room_id, str(number)))
        when_ms = shared_world.clock.now_ms()

    around = now(reading.context(room_id, said[1], 2))
    found = now(reading.closest(room_id, when_ms, backwards=False))

    assert orjson.loads(orjson.dumps(around.event))["event_id"] == said[1]
    assert orjson.loads(orjson.dumps(now(reading.event(said[1])))) == orjson.loads(orjson.dumps(around.event))
    before, after = (
        [orjson.loads(orjson.dumps(one))["event_id"] for one in some] for some in (around.before, around.after)
    )
    assert (before, after) == ([said[0]], [said[2]])
    assert found == (said[2], when_ms)
    with pytest.raises(NotFound):
        now(reading.closest(room_id, when_ms + 1, backwards=False))
    with pytest.raises(NotFound):
        now(reading.context(room_id, EventID("$none"), 2))
    with pytest.raises(NotFound):
        now(reading.event(EventID("$none")))


def test_a_room_is_described_by_its_state(shared_world: World, reading: RoomReading) -> None:
    room_id = shared_world.create_room(ALICE, name="Salon", topic="Talk", preset="public_chat", initial_state=[SECRET])
    shared_world.join(BOB, room_id)

    details = now(reading.details(room_id))

    described = details.description
    assert (described.name, described.topic, described.creator) == ("Salon", "Talk", ALICE)
    assert (described.history_visibility, described.encryption) == ("joined", None)
    assert described.state_events == len(now(reading.state(room_id, None)))
    assert len(now(reading.state(room_id, "m.room.member"))) == described.listed.joined_members
    assert now(reading.members(room_id)) == sorted([ALICE, BOB])
    (head,) = now(reading.extremities(room_id))
    assert head.depth == described.listed.events


def test_rooms_are_sorted_by_how_much_state_they_have(shared_world: World, reading: RoomReading) -> None:
    small = shared_world.create_room(ALICE, name="about state")
    large = shared_world.create_room(ALICE, name="about state", topic="more")
    wanted = RoomWanted("ABOUT st")

    down = now(reading.page(wanted, by="state_events", reverses=False, skipped=0, limit=9))
    up = now(reading.page(wanted, by="complexity", reverses=True, skipped=1, limit=9))

    assert [room.listed.room_id for room in down.rooms] == [large, small]
    assert [room.listed.room_id for room in up.rooms] == [large]
    assert (up.skipped, up.total) == (1, 2)


def test_rooms_are_sorted_by_what_their_state_says(shared_world: World, reading: RoomReading) -> None:
    wanted = RoomWanted("spoken for")
    here = [InitialState("m.room.guest_access", "", {"guest_access": "forbidden"})]
    closed = shared_world.create_room(ALICE, name="spoken for", creation_content={"m.federate": False})
    opened = shared_world.create_room(BOB, name="spoken for", preset="public_chat", initial_state=here)

    def by(order: str, *, reverses: bool = False) -> list[RoomID]:
        page = now(reading.page(wanted, by=order, reverses=reverses, skipped=0, limit=9))
        return [room.listed.room_id for room in page.rooms]

    assert by("creator") == by("creator", reverses=True)[::-1] == [closed, opened]
    assert by("join_rules") == by("join_rules", reverses=True)[::-1] == [closed, opened]
    assert by("federatable") == by("federatable", reverses=True)[::-1] == [opened, closed]
    assert by("canonical_alias") == by("canonical_alias", reverses=True) == sorted([closed, opened])  # neither has one
    assert by("guest_access", reverses=True) == by("guest_access")[::-1]
    assert by("history_visibility") == sorted([closed, opened])


def test_an_order_that_is_none_and_what_is_not_here_is_refused(reading: RoomReading) -> None:
    for wanted, by, skipped in ((RoomWanted(), "beauty", 0), (RoomWanted(""), "name", 0), (RoomWanted(), "name", -1)):
        with pytest.raises(InvalidParameter):
            now(reading.page(wanted, by=by, reverses=False, skipped=skipped, limit=1))
    for use in (reading.details, reading.members, reading.extremities):
        with pytest.raises(NotFound):
            now(use(NO_ROOM))
    with pytest.raises(NotFound):
        now(reading.state(NO_ROOM, None))
