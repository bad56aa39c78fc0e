"""A server that was put back to a backup: which tokens count, and what becomes of those of the lost time."""

from dataclasses import replace

from homeserver.core.identifiers import UserID
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.storage.remote_users import RemoteDeviceList, find_list, store_list
from tests.services.e2ee.signed_keys import LAPTOP, add_device, one_time_key, publish_device
from tests.services.sync.asking import bodies, sync
from tests.services.world import ALICE, BOB, PHONE, World, now

FAY = UserID("@fay:far.example")
KEYS = {f"signed_curve25519:{name}": one_time_key(ALICE) for name in "AB"}


def lost(token: str) -> str:
    """A token of later, which was given by the database of which this one is an older copy."""
    given = parse_sync_token(token)
    return str(replace(given, position=given.position + 5, to_device=given.to_device + 5))


def test_a_client_that_has_lived_through_the_forgotten_time_begins_anew(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    token = sync(world, ALICE)["next_batch"]
    now(world.lost_time.start())
    for number in range(10):
        world.send(ALICE, room_id, str(number))

    body = sync(world, ALICE, lost(token))

    assert "m.room.create" in [event["type"] for event in body["rooms"]["join"][room_id]["state"]["events"]]
    assert bodies(body["rooms"]["join"][room_id])[-1:] == ["9"]
    assert "rooms" not in sync(world, ALICE, body["next_batch"])


def test_a_client_with_a_token_of_the_last_run_goes_on(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    token = sync(world, ALICE)["next_batch"]
    now(world.lost_time.start())
    world.send(ALICE, room_id, "new")

    body = sync(world, ALICE, token)

    assert bodies(body["rooms"]["join"][room_id]) == ["new"]
    assert "state" not in body["rooms"]["join"][room_id] or not body["rooms"]["join"][room_id]["state"]["events"]


def test_one_time_keys_that_may_have_been_claimed_in_that_time_are_not_handed_out(world: World) -> None:
    for device_id in (PHONE, LAPTOP):
        add_device(world, ALICE, device_id)
        publish_device(world, ALICE, device_id)
        now(world.device_keys.upload(ALICE, device_id, one_time_keys=KEYS))
    token = sync(world, ALICE)["next_batch"]
    now(world.lost_time.start())

    body = sync(world, ALICE, lost(token))

    assert body["device_one_time_keys_count"] == {"signed_curve25519": 0}
    wanted = {ALICE: {PHONE: "signed_curve25519", LAPTOP: "signed_curve25519"}}
    assert now(world.device_keys.claim(wanted)).keys[ALICE].keys() == {LAPTOP}  # which has not come back yet


def test_messages_that_wait_for_a_device_come_to_it_when_it_begins_anew(world: World) -> None:
    add_device(world, ALICE, PHONE)
    token = sync(world, ALICE)["next_batch"]
    now(world.lost_time.start())
    now(world.to_device.send(BOB, None, "org.example", "t1", {ALICE: {PHONE: {"number": 1}}}))

    body = sync(world, ALICE, lost(token))

    assert [event["content"] for event in body["to_device"]["events"]] == [{"number": 1}]


def test_whoever_asks_for_changes_of_devices_since_that_time_hears_that_all_may_have_changed(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    position = parse_sync_token(lost(sync(world, ALICE)["next_batch"])).position
    now(world.lost_time.start())

    changed, left = now(world.device_lists.changes_since(ALICE, position))

    assert changed == {ALICE, BOB}
    assert left == set()


def test_the_first_client_that_comes_from_that_time_shows_that_lists_of_devices_may_be_old(world: World) -> None:
    world.create_room(ALICE, preset="public_chat")
    token = sync(world, ALICE)["next_batch"]
    fresh = RemoteDeviceList(FAY, 7, 0, is_stale=False, marks=0, failures=0, next_attempt_ms=0)
    now(world.lost_time.start())
    doubted: list[bool] = []

    for since in (token, lost(token), lost(token)):
        world.sync_database.write(store_list, fresh, now_ms=world.clock.now_ms())
        sync(world, ALICE, since)
        kept = world.sync_database.read(find_list, FAY)
        doubted.append(kept is not None and kept.is_stale)

    assert doubted == [False, True, False]
