"""What administrators are told of other servers."""

import pytest

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import NotFound
from homeserver.services.federation import destination_status
from homeserver.services.federation.destination_status import DestinationStatus, DestinationStatuses
from homeserver.storage.destinations import failing_destinations
from tests.services.e2ee.signed_keys import PHONE
from tests.services.federation.others import FAR, FAY, NEAR, NED, Sending, join_remotely
from tests.services.world import ALICE, World, now

DOWN = ServerName("down.example")


class Groups:
    """One server was connected to."""

    def group_of(self, destination: ServerName) -> str | None:
        return "X25519MLKEM768" if destination == NEAR else None


@pytest.fixture
def sending(world: World) -> Sending:
    return Sending(world)


@pytest.fixture
def statuses(sending: Sending) -> DestinationStatuses:
    return DestinationStatuses(sending.world.database, sending.destinations, sending.sender, Groups())


@pytest.fixture
def room_id(sending: Sending) -> RoomID:
    """Alice's room with Fay and Ned; Fay's server does not answer."""
    room_id = sending.world.create_room(ALICE, preset="public_chat")
    for user_id in (FAY, NED):
        join_remotely(sending.world, user_id, room_id)
    sending.client.peer(FAR).error = Unreachable("it does not answer")
    sending.settle()
    return room_id


def say(sending: Sending, room_id: RoomID, count: int) -> None:
    for number in range(count):
        sending.world.send(ALICE, room_id, str(number))
        sending.settle()
    sending.flush()


def test_a_server_that_has_all_is_told_of(sending: Sending, statuses: DestinationStatuses, room_id: RoomID) -> None:
    arrived_ms = sending.world.clock.now_ms()
    say(sending, room_id, 3)

    assert now(statuses.of(NEAR)) == DestinationStatus(
        destination=NEAR,
        is_blocked=False,
        last_success_ms=arrived_ms,
        failing_since_ms=None,
        last_attempt_ms=None,
        next_attempt_ms=None,
        failures=0,
        positions=0,
        rooms=0,
        messages=0,
        has_transaction=False,
        tls_group="X25519MLKEM768",
    )


def test_a_server_that_does_not_answer_is_told_of_with_what_waits_for_it(
    sending: Sending, statuses: DestinationStatuses, room_id: RoomID
) -> None:
    since_ms = sending.world.clock.now_ms()
    say(sending, room_id, 3)
    now(sending.world.to_device.send(ALICE, PHONE, "m.test", "1", {FAY: {"*": {}}}))

    status = now(statuses.of(FAR))

    assert (status.positions, status.rooms, status.messages) == (3, 1, 1)
    assert (status.failing_since_ms, status.failures, status.last_success_ms) == (since_ms, 1, None)
    assert status.next_attempt_ms is not None
    assert status.next_attempt_ms > since_ms
    assert status.has_transaction


def test_servers_of_which_nothing_is_known_are_not_found(statuses: DestinationStatuses, sending: Sending) -> None:
    with pytest.raises(NotFound):
        now(statuses.of(DOWN))

    now(sending.destinations.set_rule(DOWN, is_blocked=True))
    assert now(statuses.of(DOWN)).is_blocked


def test_all_servers_come_page_by_page_those_that_only_fail_among_them(
    sending: Sending, statuses: DestinationStatuses, room_id: RoomID
) -> None:
    say(sending, room_id, 1)
    sending.destinations.failed(DOWN)

    pages = [now(statuses.page(after)) for after in ("", DOWN, FAR, NEAR)]

    assert [[status.destination for status in page] for page in pages] == [[DOWN, FAR, NEAR], [FAR, NEAR], [NEAR], []]


def test_a_page_has_no_more_servers_than_it_may(sending: Sending, statuses: DestinationStatuses) -> None:
    servers = [ServerName(f"s{number:03}.example") for number in range(destination_status.SERVERS_PER_PAGE + 5)]
    for server in servers:
        sending.destinations.failed(server)

    first = now(statuses.page(""))
    second = now(statuses.page(first[-1].destination))

    assert [status.destination for status in (*first, *second)] == servers
    assert len(second) == 5


def test_a_server_that_is_to_be_asked_now_is_asked_now(
    sending: Sending, statuses: DestinationStatuses, room_id: RoomID
) -> None:
    say(sending, room_id, 1)
    sending.client.peer(FAR).error = None

    now(statuses.retry(FAR))
    sending.settle()

    assert sending.client.said_to(FAR) == ["0"]
    now(sending.destinations.flush())
    assert sending.world.sync_database.read(failing_destinations) == []
