"""Messages from device to device: addressed, once per transaction, bounded."""

from typing import Any

import orjson
import pytest

from homeserver.core.errors import BadJson
from homeserver.core.identifiers import DeviceID, UserID, server_name_of_user
from homeserver.services.e2ee.to_device import MESSAGE_LIMIT_BYTES, TO_ONE_USER
from homeserver.services.errors import LimitExceeded, TooLarge
from homeserver.services.events.news import DEVICES_PER_NEWS, ToDeviceWritten
from homeserver.storage.to_device import MESSAGES_PER_DEVICE, insert_messages, messages_for_device
from tests.services.e2ee.signed_keys import LAPTOP, PHONE, Listener, add_device
from tests.services.world import ALICE, BOB, CAROL, World, now


def send(world: World, messages: Any, transaction_id: str = "1", **more: Any) -> None:
    sender, device_id = more.get("sender", ALICE), more.get("device_id", PHONE)
    now(world.to_device.send(sender, device_id, more.get("type", "m.test"), transaction_id, messages))


def inbox(world: World, user_id: UserID = BOB, device_id: DeviceID = PHONE) -> list[dict[str, Any]]:
    messages = world.sync_database.read(
        messages_for_device, user_id, device_id, after=0, upto=2**62, limit=MESSAGES_PER_DEVICE + 1
    )
    return [orjson.loads(message.message) for message in messages]


def contents(world: World, user_id: UserID = BOB, device_id: DeviceID = PHONE) -> list[Any]:
    return [message["content"] for message in inbox(world, user_id, device_id)]


def test_a_message_reaches_the_device_that_it_is_for(world: World) -> None:
    for device_id in (PHONE, LAPTOP):
        add_device(world, BOB, device_id)

    send(world, {BOB: {PHONE: {"secret": [1, 0.5, None]}}})

    assert inbox(world) == [{"sender": ALICE, "type": "m.test", "content": {"secret": [1, 0.5, None]}}]
    assert inbox(world, BOB, LAPTOP) == []


def test_devices_get_their_messages_in_the_order_of_their_arrival(world: World) -> None:
    add_device(world, BOB)

    for number in range(5):
        send(world, {BOB: {PHONE: {"number": number}}}, str(number))

    assert contents(world) == [{"number": number} for number in range(5)]


def test_an_asterisk_means_every_device_that_is_not_named(world: World) -> None:
    add_device(world, BOB, PHONE)
    add_device(world, BOB, LAPTOP)
    add_device(world, ALICE, PHONE)

    send(world, {BOB: {"*": {"for": "all"}, LAPTOP: {"for": "laptop"}}, ALICE: {"*": {"for": "me"}}})

    assert contents(world, BOB, PHONE) == [{"for": "all"}]
    assert contents(world, BOB, LAPTOP) == [{"for": "laptop"}]
    assert contents(world, ALICE, PHONE) == [{"for": "me"}]


def test_devices_and_users_that_do_not_exist_are_passed_over(world: World) -> None:
    add_device(world, BOB)

    send(world, {BOB: {PHONE: {}, "GONE": {}}, CAROL: {"*": {}, PHONE: {}}, "@eve:elsewhere.example": {"*": {}}})

    assert contents(world) == [{}]
    assert contents(world, BOB, DeviceID("GONE")) == []
    assert contents(world, CAROL) == []


def test_a_transaction_id_sends_once_for_each_device_and_type(world: World) -> None:
    add_device(world, BOB)

    others: list[dict[str, Any]] = [
        {},
        {},
        {"device_id": LAPTOP},
        {"type": "m.other"},
        {"sender": CAROL},
        {"device_id": None},
    ]
    for number, more in enumerate(others):
        send(world, {BOB: {PHONE: {"number": number}}}, **more)

    assert contents(world) == [{"number": number} for number in (0, 2, 3, 4, 5)]


def test_whose_devices_get_messages_is_told(world: World) -> None:
    for user_id in (ALICE, BOB):
        add_device(world, user_id)
    add_device(world, BOB, LAPTOP)
    alice, bob, carol = (Listener(world, user_id) for user_id in (ALICE, BOB, CAROL))

    send(world, {BOB: {"*": {}}, ALICE: {PHONE: {}}, CAROL: {"*": {}}})

    devices = frozenset({(BOB, PHONE), (BOB, LAPTOP), (ALICE, PHONE)})
    written = ToDeviceWritten(world.database.position, devices)
    assert alice.heard() == bob.heard() == [written]
    assert carol.heard() == []


def test_what_is_told_of_the_devices_of_many_is_bounded(world: World) -> None:
    for number in range(DEVICES_PER_NEWS):
        add_device(world, BOB, DeviceID(f"BOB{number}"))
    add_device(world, CAROL)
    listeners = [Listener(world, user_id) for user_id in (BOB, CAROL)]

    send(world, {BOB: {"*": {}}, CAROL: {"*": {}}})

    heard = [change for listener in listeners for change in listener.heard()]
    assert [len(change.devices) for change in heard if isinstance(change, ToDeviceWritten)] == [DEVICES_PER_NEWS, 1]


def test_a_message_to_nobody_changes_nothing(world: World) -> None:
    before = world.database.position

    send(world, {CAROL: {"*": {}}})
    send(world, {}, "2")

    assert world.database.position == before


def test_sending_to_a_hundred_devices_is_one_write(world: World) -> None:
    devices = [DeviceID(f"DEVICE{number}") for number in range(100)]
    for device_id in devices:
        add_device(world, BOB, device_id)
    before = world.database.counts.writes, world.database.counts.reads

    send(world, {BOB: {device_id: {"for": device_id} for device_id in devices}})

    assert (world.database.counts.writes, world.database.counts.reads) == (before[0] + 1, before[1])
    assert [contents(world, BOB, device_id) for device_id in devices] == [[{"for": device_id}] for device_id in devices]


def test_a_message_that_is_too_large_is_refused_with_all_others(world: World) -> None:
    add_device(world, BOB)
    add_device(world, CAROL)

    with pytest.raises(TooLarge):
        send(world, {BOB: {PHONE: {}}, CAROL: {PHONE: {"x": "y" * MESSAGE_LIMIT_BYTES}}})

    assert contents(world) == []
    send(world, {BOB: {PHONE: {}}})
    assert contents(world) == [{}]


def test_a_full_inbox_loses_its_oldest_messages(world: World) -> None:
    add_device(world, BOB)
    add_device(world, CAROL)
    for position in range(MESSAGES_PER_DEVICE):
        # Behind those that will be given, so that they are the oldest.
        world.sync_database.write(
            insert_messages,
            {(BOB, PHONE): b'{"content":%d}' % position, (CAROL, PHONE): b"{}"},
            log_position=position - MESSAGES_PER_DEVICE,
        )

    send(world, {BOB: {PHONE: {"newest": True}}})

    kept = world.sync_database.read(messages_for_device, BOB, PHONE, after=-(10**9), upto=2**62, limit=10**6)
    others = world.sync_database.read(messages_for_device, CAROL, PHONE, after=-(10**9), upto=2**62, limit=10**6)
    assert len(kept) == len(others) == MESSAGES_PER_DEVICE
    assert kept[0].message == b'{"content":1}'
    assert b"newest" in kept[-1].message


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "x",
        {"bob": {PHONE: {}}},
        {BOB: []},
        {BOB: {PHONE: "content"}},
        {BOB: {PHONE: None}},
        {BOB: {"": {}}},
        {BOB: {"x" * 600: {}}},
        {BOB: {"\x00": {}}},
        {BOB: {str(number): {} for number in range(10_001)}},
    ],
)
def test_hostile_messages_are_refused(world: World, messages: object) -> None:
    add_device(world, BOB)

    with pytest.raises(BadJson):
        send(world, messages)

    assert contents(world) == []


def test_nobody_alone_pushes_what_others_sent_out_of_an_inbox(world: World) -> None:
    add_device(world, BOB, PHONE)
    send(world, {BOB: {PHONE: {"from": "carol"}}}, sender=CAROL)
    many: dict[str, Any] = {f"GHOST{number}": {} for number in range(int(TO_ONE_USER.burst) - 1)}
    send(world, {BOB: many}, "1")
    send(world, {BOB: {PHONE: {"from": "alice"}}}, "2")

    with pytest.raises(LimitExceeded):
        send(world, {BOB: {PHONE: {"from": "alice"}}}, "3")

    send(world, {BOB: {PHONE: {"from": "carol"}}}, "2", sender=CAROL)
    world.clock.advance(1)
    send(world, {BOB: {PHONE: {"from": "alice"}}}, "3")
    assert [content["from"] for content in contents(world)] == ["carol", "alice", "carol", "alice"]


def test_nobody_fills_the_disk_with_messages_to_many(world: World) -> None:
    users = [f"@user{number}:{server_name_of_user(ALICE)}" for number in range(64)]
    large = {user: {"*": {"x": "x" * 64_000}} for user in users}
    for number in range(16):
        send(world, large, f"{number}")

    with pytest.raises(LimitExceeded):
        send(world, large, "too much")
