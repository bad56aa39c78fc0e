"""Devices: listed, renamed, removed with all that is theirs."""

from dataclasses import replace

import pytest

from homeserver.core.errors import KeyIDInUse
from homeserver.core.identifiers import DeviceID
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.errors import NotFound, TooLarge, UserInteractionRequired
from homeserver.services.events.news import DeviceListWritten
from homeserver.storage.device_lists import changed_device_lists
from tests.services.accounts.people import PASSWORD, register, whose
from tests.services.accounts.test_interactive_auth import password
from tests.services.e2ee.signed_keys import public, publish_identity
from tests.services.world import ALICE, BOB, PHONE, World, now

TABLET = DeviceID("TABLET")
OPERATION = "DELETE /devices/TABLET"
CONFIRMED = Attempt(OPERATION, b"{}", password())


@pytest.fixture
def alice(world: World) -> Requester:
    """Alice on her phone; she has a tablet too."""
    session = register(world, "alice", device=DeviceWish(PHONE, "phone"))
    now(world.login.with_password("alice", PASSWORD, DeviceWish(TABLET, "tablet")))
    requester = whose(world, session.tokens.access_token)
    assert requester is not None
    return requester


def device_ids(world: World) -> list[str]:
    return [device.device_id for device in now(world.devices.of_user(ALICE))]


def test_a_user_sees_their_own_devices(world: World, alice: Requester) -> None:
    register(world, "bob", device=DeviceWish(DeviceID("BOBS")))

    assert sorted(device_ids(world)) == ["PHONE", "TABLET"]
    assert now(world.devices.device(ALICE, TABLET)).display_name == "tablet"
    with pytest.raises(NotFound):
        now(world.devices.device(ALICE, DeviceID("BOBS")))


def test_a_device_is_renamed_and_others_are_told(world: World, alice: Requester) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    register(world, "bob")
    world.join(BOB, room_id)
    before = world.database.position
    world.news.follow(BOB, before)

    is_new = now(world.devices.rename(alice, TABLET, "big phone"))

    assert not is_new
    assert now(world.devices.device(ALICE, TABLET)).display_name == "big phone"
    assert [type(change) for change in world.news.since(BOB, before) or ()] == [DeviceListWritten]


def test_a_name_left_out_stays(world: World, alice: Requester) -> None:
    now(world.devices.rename(alice, TABLET, None))

    assert now(world.devices.device(ALICE, TABLET)).display_name == "tablet"


def test_only_an_application_service_makes_a_device_by_naming_it(world: World, alice: Requester) -> None:
    with pytest.raises(NotFound):
        now(world.devices.rename(alice, DeviceID("NEW"), "new"))

    assert now(world.devices.rename(replace(alice, appservice_id="bridge"), DeviceID("NEW"), "new"))
    assert now(world.devices.device(ALICE, DeviceID("NEW"))).display_name == "new"


def test_a_name_has_an_end(world: World, alice: Requester) -> None:
    with pytest.raises(TooLarge):
        now(world.devices.rename(alice, TABLET, "x" * 257))


def test_removing_a_device_takes_the_password(world: World, alice: Requester) -> None:
    with pytest.raises(UserInteractionRequired):
        now(world.devices.remove(alice, [TABLET], Attempt(OPERATION, b"{}", None)))
    with pytest.raises(UserInteractionRequired):
        now(world.devices.remove(alice, [TABLET], Attempt(OPERATION, b"{}", password(secret="wrong"))))
    assert len(device_ids(world)) == 2

    now(world.devices.remove(alice, [TABLET], CONFIRMED))

    assert device_ids(world) == ["PHONE"]


def test_an_application_service_removes_devices_without_a_password(world: World, alice: Requester) -> None:
    requester = replace(alice, appservice_id="bridge")

    now(world.devices.remove(requester, [TABLET], Attempt(OPERATION, b"{}", None)))

    assert device_ids(world) == ["PHONE"]


def test_removing_what_is_gone_is_no_error_and_tells_nobody(world: World, alice: Requester) -> None:
    now(world.devices.remove(alice, [TABLET, TABLET], CONFIRMED))
    before = world.database.position

    now(world.devices.remove(alice, [TABLET, DeviceID("NEVER")], CONFIRMED))

    assert world.database.position == before


def test_a_removed_device_changes_the_users_device_list(world: World, alice: Requester) -> None:
    before = world.database.position

    now(world.devices.remove(alice, [TABLET], CONFIRMED))

    changed = world.sync_database.read(changed_device_lists, after=before, upto=world.database.position)
    assert changed == {ALICE}


def test_not_too_many_devices_go_at_once(world: World, alice: Requester) -> None:
    with pytest.raises(TooLarge):
        now(world.devices.remove(alice, [DeviceID(str(number)) for number in range(1001)], CONFIRMED))


def test_a_device_cannot_be_made_that_is_called_like_a_cross_signing_key(world: World, alice: Requester) -> None:
    publish_identity(world, ALICE)
    requester = replace(alice, appservice_id="bridge")

    for usage in ("master", "self_signing", "user_signing"):
        with pytest.raises(KeyIDInUse):
            now(world.devices.rename(requester, DeviceID(public(f"{ALICE} {usage}")), "false"))

    assert sorted(device_ids(world)) == ["PHONE", "TABLET"]
