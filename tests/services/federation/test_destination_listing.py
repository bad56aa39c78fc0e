"""Other servers in lists, and the rooms shared with them."""

from dataclasses import replace

import pytest

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.federation import destination_listing
from homeserver.services.federation.destination_listing import DestinationListing, ListedDestination, ListPage
from homeserver.services.federation.destination_status import DestinationStatuses
from homeserver.storage.destinations import store_failing
from homeserver.storage.outgoing_events import outgoing_events
from tests.services.federation.others import FAR, FAY, NEAR, NED, Sending, join_remotely, leave_remotely
from tests.services.federation.test_destination_status import DOWN, Groups, say
from tests.services.world import ALICE, SERVER, World, now

ALL = ListPage(0, 100, descends=False)


@pytest.fixture
def sending(world: World) -> Sending:
    return Sending(world)


@pytest.fixture
def listing(sending: Sending) -> DestinationListing:
    return listing_of(sending)


def listing_of(sending: Sending) -> DestinationListing:
    database = sending.world.database
    statuses = DestinationStatuses(database, sending.destinations, sending.sender, Groups())
    return DestinationListing(database, sending.destinations, statuses, SERVER)


@pytest.fixture
def room_id(sending: Sending) -> RoomID:
    """Alice's room with Fay and Ned; Fay's server does not answer."""
    room_id = sending.world.create_room(ALICE, preset="public_chat")
    for user_id in (FAY, NED):
        join_remotely(sending.world, user_id, room_id)
    sending.client.peer(FAR).error = Unreachable("it does not answer")
    sending.settle()
    return room_id


def names(
    listing: DestinationListing, *, part: str = "", by: str = "destination", wanted: ListPage = ALL
) -> list[ServerName]:
    """The servers of a page."""
    found, _ = now(listing.page(part, by, wanted))
    return [listed.destination for listed in found]


def newest(sending: Sending) -> int:
    """Where the newest event stands that is for other servers."""
    return sending.world.sync_database.read(outgoing_events, after=0, upto=2**62, limit=1_000)[-1].position


def test_a_server_that_takes_what_it_is_sent_and_one_that_does_not_are_told_apart(
    sending: Sending, listing: DestinationListing, room_id: RoomID
) -> None:
    say(sending, room_id, 2)
    near, far = now(listing.one(NEAR)), now(listing.one(FAR))
    failing = sending.destinations.find_failing(FAR)

    assert failing is not None
    assert (near.last_attempt_ms, near.interval_ms, near.failing_since_ms) == (0, 0, None)
    assert near.delivered_position == newest(sending)
    assert far == ListedDestination(FAR, None, failing)
    assert far.last_attempt_ms == far.failing_since_ms == failing.failing_since_ms
    assert far.interval_ms == failing.next_attempt_ms - failing.failing_since_ms > 0
    assert now(listing.page("", "destination", ALL)) == ([far, near], 2)


def test_each_attempt_that_fails_moves_the_last_one_and_not_the_first(
    sending: Sending, listing: DestinationListing
) -> None:
    began_ms = sending.world.clock.now_ms()
    sending.destinations.failed(DOWN)
    sending.world.clock.advance(0.25)
    sending.destinations.failed(DOWN)  # while it is left alone: whoever asked did not mind
    early = now(listing.one(DOWN))
    sending.wait(DOWN)
    later_ms = sending.world.clock.now_ms()
    sending.destinations.failed(DOWN)
    later = now(listing.one(DOWN))

    assert (early.failing_since_ms, early.last_attempt_ms) == (began_ms, began_ms + 250)
    assert early.failing is not None
    assert early.failing.failures == 1
    assert (later.failing_since_ms, later.last_attempt_ms) == (began_ms, later_ms)


def test_what_is_not_known_of_a_server_that_failed_long_ago_is_not_made_up(sending: Sending) -> None:
    sending.destinations.failed(DOWN)
    known = sending.destinations.find_failing(DOWN)
    assert known is not None
    sending.world.sync_database.write(store_failing, [replace(known, last_attempt_ms=None)])

    listed = now(listing_of(Sending(sending.world)).one(DOWN))

    assert (listed.last_attempt_ms, listed.interval_ms) == (None, None)
    assert listed.failing_since_ms == known.failing_since_ms


def test_servers_are_sorted_searched_and_come_page_by_page(
    sending: Sending, listing: DestinationListing, room_id: RoomID
) -> None:
    say(sending, room_id, 1)
    sending.world.clock.advance(1)
    sending.destinations.failed(DOWN)
    back = ListPage(0, 100, descends=True)

    assert names(listing) == [DOWN, FAR, NEAR]
    assert names(listing, wanted=back) == [NEAR, FAR, DOWN]
    assert names(listing, by="failure_ts") == [NEAR, FAR, DOWN]
    assert names(listing, by="retry_last_ts", wanted=back)[-1] == NEAR
    assert names(listing, by="last_successful_stream_ordering") == [DOWN, FAR, NEAR]
    assert names(listing, by="last_successful_stream_ordering", wanted=back) == [NEAR, DOWN, FAR]
    assert names(listing, part="R.EXAMPLE") == [FAR, NEAR]
    assert names(listing, part="%") == []
    assert names(listing, wanted=ListPage(1, 1, descends=False)) == [FAR]
    assert names(listing, wanted=ListPage(3, 1, descends=False)) == []
    assert now(listing.page("far", "destination", ListPage(0, 0, descends=False))) == ([], 1)


@pytest.mark.parametrize(
    ("part", "by", "skipped", "limit"),
    [("", "beauty", 0, 1), ("", "destination", -1, 1), ("", "destination", 0, -1), ("x" * 256, "destination", 0, 1)],
)
def test_what_cannot_be_listed_is_refused(
    listing: DestinationListing, part: str, by: str, skipped: int, limit: int
) -> None:
    with pytest.raises(InvalidParameter):
        now(listing.page(part, by, ListPage(skipped, limit, descends=False)))


def test_the_rooms_that_are_shared_are_told_with_what_was_delivered_in_each(
    sending: Sending, listing: DestinationListing, room_id: RoomID
) -> None:
    world = sending.world
    quiet, left, own = (world.create_room(ALICE, preset="public_chat") for _ in range(3))
    for other in (quiet, left):
        join_remotely(world, NED, other)
    leave_remotely(world, NED, left)
    say(sending, room_id, 2)
    said = newest(sending)

    found, total = now(listing.rooms(NEAR, ALL))
    unreached, _ = now(listing.rooms(FAR, ALL))
    last, _ = now(listing.rooms(NEAR, ListPage(0, 1, descends=True)))
    second, _ = now(listing.rooms(NEAR, ListPage(1, 1, descends=True)))

    assert {room.room_id: room.delivered_position for room in found} == {room_id: said, quiet: None}
    assert [room.room_id for room in found] == sorted([room_id, quiet])
    assert total == 2
    assert [(room.room_id, room.delivered_position) for room in unreached] == [(room_id, None)]
    assert [*second, *last] == found
    assert own not in {room.room_id for room in found}


def test_of_servers_that_are_not_known_nothing_is_told(listing: DestinationListing, sending: Sending) -> None:
    for asked in (listing.one(DOWN), listing.rooms(DOWN, ALL), listing.reset(DOWN), listing.rooms(SERVER, ALL)):
        with pytest.raises(NotFound):
            now(asked)

    sending.destinations.failed(DOWN)

    assert now(listing.rooms(DOWN, ALL)) == ([], 0)
    with pytest.raises(InvalidParameter):
        now(listing.rooms(DOWN, ListPage(-1, 1, descends=False)))


def test_a_server_that_does_not_answer_is_asked_again_and_one_that_does_is_not(
    sending: Sending, listing: DestinationListing, room_id: RoomID
) -> None:
    say(sending, room_id, 1)
    sending.client.peer(FAR).error = None

    now(listing.reset(FAR))
    sending.settle()
    sending.flush()

    assert sending.client.said_to(FAR) == ["0"]
    assert now(listing.one(FAR)).failing is None
    with pytest.raises(InvalidParameter):
        now(listing.reset(FAR))


def test_a_page_is_no_longer_than_it_may_be(sending: Sending, listing: DestinationListing) -> None:
    count = destination_listing.MOST_LISTED + 1
    for number in range(count):
        sending.destinations.failed(ServerName(f"s{number:03}.example"))

    found, total = now(listing.page("", "destination", ListPage(0, 10**6, descends=False)))

    assert (len(found), total) == (count - 1, count)
