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


def test_given_a_database_behind_what_stands_outside_then_keys_of_before_are_not_handed_out(world: World) -> None:
    publish_device(world, ALICE)
    fallback = {"signed_curve25519:F": one_time_key(ALICE, "fallback")}
    now(world.lost_time.start())
    now(world.device_keys.upload(ALICE, PHONE, one_time_keys=KEYS, fallback_keys=fallback))
    world.kept_outside.note_reached(world.database.position + 5)

    now(world.lost_time.start())

    body = sync(world, ALICE)
    assert world.kept_outside.reached() == world.database.position
    assert body["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert body["device_unused_fallback_key_types"] == []
    assert claimed(world) == ["signed_curve25519:F"]


def test_given_a_copy_of_all_that_the_server_has_then_keys_of_before_are_not_handed_out(world: World) -> None:
    publish_device(world, ALICE)
    now(world.lost_time.start())
    now(world.device_keys.upload(ALICE, PHONE, one_time_keys=KEYS))
    world.kept_outside.copy()

    now(world.lost_time.start())
    other = {"signed_curve25519:C": one_time_key(ALICE, "C")}
    now(
        world.device_keys.upload(ALICE, PHONE, one_time_keys={**KEYS, **other})
    )  # the upload of A and B was tried again

    assert claimed(world) == ["signed_curve25519:C"]
    assert claimed(world) == []


def test_given_the_same_database_when_the_server_starts_again_then_its_keys_are_handed_out(world: World) -> None:
    publish_device(world, ALICE)
    now(world.lost_time.start())  # the first time, as after an update: there is nothing to compare with
    now(world.device_keys.upload(ALICE, PHONE, one_time_keys=KEYS))
    now(world.lost_time.note_reached())

    for _ in range(3):
        now(world.lost_time.start())

    assert len(claimed(world)) == 1


def test_a_database_that_was_put_back_goes_on_beyond_all_that_was_given_though_the_clock_is_behind(
    world: World,
) -> None:
    now(world.lost_time.start())
    world.create_room(ALICE)
    token = sync(world, ALICE)["next_batch"]
    reached = world.clock.now_ms() + 1_000_000
    world.kept_outside.note_reached(reached)

    now(world.lost_time.start())

    assert parse_sync_token(sync(world, ALICE)["next_batch"]).position > reached
    assert world.lost_time.holds(reached)
    assert not world.lost_time.holds(parse_sync_token(token).position)


def test_a_server_that_was_put_back_doubts_what_it_knows_of_devices_elsewhere(world: World) -> None:
    now(world.lost_time.start())
    fresh = RemoteDeviceList(FAY, 7, 0, is_stale=False, marks=0, failures=0, next_attempt_ms=0)
    world.sync_database.write(store_list, fresh, now_ms=world.clock.now_ms())
    world.kept_outside.copy()

    now(world.lost_time.start())

    kept = world.sync_database.read(find_list, FAY)
    assert kept is not None
    assert kept.is_stale


def claimed(world: World) -> list[str]:
    """A one-time key of Alice's phone, or its fallback key."""
    return sorted(
        now(world.device_keys.claim({ALICE: {PHONE: "signed_curve25519"}})).keys.get(ALICE, {}).get(PHONE, {})
    )
