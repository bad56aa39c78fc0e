"""When devices were last seen."""

import pytest

from homeserver.services.accounts.requester import Requester
from homeserver.storage.devices import Device, find_device
from tests.services.accounts.people import register
from tests.services.world import ALICE, PHONE, World, now

REQUESTER = Requester(ALICE, PHONE, 1)


def no_headers(_: str) -> str | None:
    return None


def phone(world: World) -> Device:
    device = world.sync_database.read(find_device, ALICE, PHONE)
    assert device is not None
    return device


@pytest.fixture
def _alice(world: World) -> None:
    register(world, "alice")


@pytest.mark.usefixtures("_alice")
def test_a_request_is_noted_in_memory_and_written_later(world: World) -> None:
    world.device_activity.note(REQUESTER, "192.0.2.1", lambda _: "Browser\0" + "x" * 1000)
    assert phone(world).last_seen_ms is None

    now(world.device_activity.flush())

    seen = phone(world)
    assert (seen.last_seen_ms, seen.last_seen_ip) == (world.clock.now_ms(), "192.0.2.1")
    assert seen.last_seen_user_agent is not None
    assert len(seen.last_seen_user_agent) == 512


@pytest.mark.usefixtures("_alice")
def test_a_busy_device_is_written_once_in_some_minutes(world: World) -> None:
    for second in range(299):
        world.device_activity.note(REQUESTER, f"192.0.2.{second % 250}", no_headers)
        world.clock.advance(1)
    writes = world.database.counts.writes

    now(world.device_activity.flush())
    now(world.device_activity.flush())

    assert world.database.counts.writes == writes + 1
    assert phone(world).last_seen_ip == "192.0.2.0"
    world.clock.advance(1)
    world.device_activity.note(REQUESTER, "192.0.2.9", no_headers)
    now(world.device_activity.flush())
    assert phone(world).last_seen_ip == "192.0.2.9"


def test_many_devices_are_written_together(world: World) -> None:
    users = [register(world, f"user{number}") for number in range(5)]
    for user in users:
        world.device_activity.note(Requester(user.user_id, PHONE, 1), "192.0.2.1", no_headers)
    writes = world.database.counts.writes

    now(world.device_activity.flush())

    assert world.database.counts.writes == writes + 1


@pytest.mark.usefixtures("_alice")
def test_who_has_no_device_or_no_more_leaves_no_trace(world: World) -> None:
    world.device_activity.note(Requester(ALICE, None, 0, appservice_id="bridge"), "192.0.2.1", no_headers)
    world.device_activity.note(REQUESTER, "192.0.2.1", no_headers)
    now(world.sessions.log_out_all(ALICE))

    now(world.device_activity.flush())

    assert world.sync_database.read(find_device, ALICE, PHONE) is None
