"""Administrators who look after the devices of users."""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.devices import MOST_AT_ONCE
from homeserver.services.accounts.moderation import AccountModeration
from homeserver.services.admin.user_devices import LOGIN_NAME, UserDevices
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, TooLarge
from tests.services.accounts.people import register, whose
from tests.services.world import ALICE, PHONE, SERVER, World, now

ROOT = UserID(f"@root:{SERVER}")
TABLET = DeviceID("TABLET")


@pytest.fixture
def devices(world: World) -> UserDevices:
    return UserDevices(
        world.database,
        DeviceRemoval(world.tokens, world.device_lists),
        world.sessions,
        world.device_lists,
        world.clock,
        SERVER,
    )


def test_devices_are_made_renamed_and_removed(world: World, devices: UserDevices) -> None:
    token = register(world, "alice").tokens.access_token

    now(devices.create(ALICE, TABLET))
    now(devices.create(ALICE, TABLET))
    now(devices.rename(ALICE, TABLET, "A tablet"))
    now(devices.rename(ALICE, TABLET, None))
    shown = {one.device.device_id: one.device.display_name for one in now(devices.of_user(ALICE))}
    now(devices.remove(ALICE, [PHONE, TABLET, TABLET, DeviceID("GHOST")]))

    assert shown[TABLET] == "A tablet"
    assert set(shown) == {PHONE, TABLET}
    assert now(devices.of_user(ALICE)) == []
    assert whose(world, token) is None


def test_what_is_not_there_or_too_much_is_refused(world: World, devices: UserDevices) -> None:
    register(world, "alice")

    with pytest.raises(NotFound):
        now(devices.rename(ALICE, TABLET, "x"))
    with pytest.raises(NotFound):
        now(devices.device(ALICE, TABLET))
    with pytest.raises(TooLarge):
        now(devices.rename(ALICE, PHONE, "x" * 1_000))
    with pytest.raises(TooLarge):
        now(devices.remove(ALICE, [DeviceID(str(number)) for number in range(MOST_AT_ONCE + 1)]))
    with pytest.raises(NotFound):
        now(devices.of_user(ROOT))
    with pytest.raises(InvalidParameter):
        now(devices.of_user(UserID("@eve:elsewhere.example")))


def test_a_login_as_somebody_else_is_a_device_that_the_user_sees_and_it_ends_in_time(
    world: World, devices: UserDevices
) -> None:
    register(world, "alice")
    until_ms = world.clock.now_ms() + 60_000

    token = now(devices.log_in_as(ALICE, by=ROOT, until_ms=until_ms))
    lasting = now(devices.log_in_as(ALICE, by=None, until_ms=None))

    before, names = whose(world, token), [one.device.display_name for one in now(devices.of_user(ALICE))]
    world.clock.advance(61)
    after, still = whose(world, token), whose(world, lasting)
    assert before is not None
    assert after is not None
    assert still is not None
    assert (before.user_id, before.is_soft_logged_out, after.is_soft_logged_out) == (ALICE, False, True)
    assert not still.is_soft_logged_out
    assert names.count(LOGIN_NAME) == 2


def test_nobody_logs_in_as_themselves_or_to_what_is_locked_closed_or_in_the_past(
    world: World, devices: UserDevices
) -> None:
    register(world, "alice")

    with pytest.raises(Forbidden):
        now(devices.log_in_as(ALICE, by=ALICE, until_ms=None))
    with pytest.raises(InvalidParameter):
        now(devices.log_in_as(ALICE, by=ROOT, until_ms=world.clock.now_ms()))
    now(AccountModeration(world.database, world.tokens, SERVER).set_locked(ALICE, is_locked=True))
    with pytest.raises(Forbidden):
        now(devices.log_in_as(ALICE, by=ROOT, until_ms=None))
    now(world.deactivation.deactivate(ALICE, erase=False))
    with pytest.raises(NotFound):
        now(devices.log_in_as(ALICE, by=ROOT, until_ms=None))
