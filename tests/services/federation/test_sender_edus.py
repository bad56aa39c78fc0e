"""What is sent to other servers beside events: messages for devices, changed devices, receipts, who types."""

from typing import Any

import pytest

from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID
from homeserver.core.presence import PresenceWord
from homeserver.outbound.errors import RemoteError, RemoteRefused, Unreachable
from homeserver.services.accounts.requester import Requester
from homeserver.services.federation import catch_up
from homeserver.services.federation.outgoing_typing import REPEATED_S
from homeserver.services.federation.sender import PATIENCE_S
from homeserver.services.federation.transactions import MOST_EDUS
from homeserver.services.rooms.receipts import READ, READ_PRIVATE, Marker
from homeserver.services.rooms.typing import LONGEST_TIMEOUT_MS
from homeserver.storage.to_device_outbox import first_messages
from tests.services.e2ee.signed_keys import (
    LAPTOP,
    PHONE,
    cross_signing_key,
    device_keys,
    public,
    publish_device,
    publish_identity,
    signed,
)
from tests.services.federation.others import FAR, FAY, NEAR, NED, Sending, join_remotely, leave_remotely
from tests.services.world import ALICE, BOB, World, now

# Any: JSON, throughout.

SILENT = Unreachable("it does not answer")
REQUESTER = Requester(ALICE, PHONE, session_id=1)
MESSAGES, DEVICES, KEYS, RECEIPTS, TYPING = (
    "m.direct_to_device",
    "m.device_list_update",
    "m.signing_key_update",
    "m.receipt",
    "m.typing",
)
PRESENCE = "m.presence"


@pytest.fixture
def sending(world: World) -> Sending:
    return Sending(world)


@pytest.fixture
def room_id(world: World, sending: Sending) -> RoomID:
    """Alice's public room, with Fay and Ned of other servers."""
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    join_remotely(world, NED, room_id)
    sending.settle()
    return room_id


def post(sending: Sending, transaction_id: str, messages: Any, sender: UserID = ALICE) -> None:
    """Send messages to devices, and let what follows from it happen."""
    now(sending.world.to_device.send(sender, PHONE, "m.test", transaction_id, messages))
    sending.settle()


def contents_to(sending: Sending, server: Any = FAR) -> list[Any]:
    """What Fay's phone was sent."""
    return [edu["messages"][FAY]["PHONE"] for edu in sending.client.edus_to(server, MESSAGES)]


# Messages for devices


def test_messages_for_devices_go_to_the_servers_of_their_users(sending: Sending) -> None:
    publish_device(sending.world, BOB)
    message = {"secret": [1, 0.5, None, 10**17]}

    post(sending, "1", {FAY: {"PHONE": message, "*": {}}, NED: {"PHONE": {}}, BOB: {"PHONE": {}}})

    (to_far,) = sending.client.edus_to(FAR)
    (to_near,) = sending.client.edus_to(NEAR)
    assert (to_far["sender"], to_far["type"]) == (ALICE, "m.test")
    assert to_far["messages"] == {FAY: {"PHONE": message, "*": {}}}
    assert to_near["messages"] == {NED: {"PHONE": {}}}
    assert 0 < len(to_far["message_id"]) <= 32
    assert len(sending.client.attempts) == 2


def test_each_message_has_its_own_id_and_goes_once(sending: Sending) -> None:
    for number in range(5):
        post(sending, str(number), {FAY: {"PHONE": {"number": number}}})
    post(sending, "4", {FAY: {"PHONE": {"number": 4}}})
    sending.flush()

    assert contents_to(sending) == [{"number": number} for number in range(5)]
    assert len({edu["message_id"] for edu in sending.client.edus_to(FAR)}) == 5
    assert sending.world.sync_database.read(first_messages, [FAR], limit=10) == {}


def test_messages_outlive_a_crash_under_the_same_ids(sending: Sending) -> None:
    sending.client.peer(FAR).is_held = True
    post(sending, "1", {FAY: {"PHONE": {"number": 1}}})
    post(sending, "2", {FAY: {"PHONE": {"number": 2}}})
    (lost,) = sending.client.attempts

    after = sending.crash()
    after.settle()

    assert after.client.taken[0].transaction_id == lost.transaction_id
    assert after.client.taken[0].content == lost.content
    assert contents_to(after) == [{"number": 1}, {"number": 2}]
    after.flush()
    assert sending.world.sync_database.read(first_messages, [FAR], limit=10) == {}


def test_messages_wait_for_a_server_that_does_not_answer(sending: Sending) -> None:
    sending.client.peer(FAR).error = SILENT
    for number in range(3):
        post(sending, str(number), {FAY: {"PHONE": {"number": number}}})
    after = sending.crash()
    after.settle()

    after.wait(FAR)

    assert contents_to(after) == [{"number": number} for number in range(3)]


def test_many_messages_go_in_order_in_transactions_of_bounded_size(sending: Sending) -> None:
    sending.client.peer(FAR).is_held = True
    count = 2 * MOST_EDUS + 5
    for number in range(count):
        now(sending.world.to_device.send(ALICE, PHONE, "m.test", str(number), {FAY: {"PHONE": {"number": number}}}))
    sending.settle()

    sending.client.release(FAR)
    sending.settle()

    assert contents_to(sending) == [{"number": number} for number in range(count)]
    assert [len(sent.body["edus"]) for sent in sending.client.taken] == [MOST_EDUS, MOST_EDUS, 5]


def test_large_messages_are_not_put_into_one_edu(sending: Sending) -> None:
    devices = {f"D{number}": {"text": "x" * 30_000} for number in range(5)}

    post(sending, "1", {FAY: devices})

    edus = sending.client.edus_to(FAR)
    assert {device for edu in edus for device in edu["messages"][FAY]} == set(devices)
    assert [len(edu["messages"][FAY]) for edu in edus] == [2, 2, 1]
    assert len({edu["message_id"] for edu in edus}) == 3


def test_a_message_that_is_refused_is_left_out(sending: Sending) -> None:
    def judge(body: Any) -> RemoteError | None:
        bad = any("bad" in edu["content"]["messages"][FAY]["PHONE"] for edu in body["edus"])
        return RemoteRefused(400, "M_BAD_JSON", "never") if bad else None

    sending.client.peer(FAR).judge = judge
    for number in range(7):
        content = {"bad": True} if number == 3 else {"number": number}
        now(sending.world.to_device.send(ALICE, PHONE, "m.test", str(number), {FAY: {"PHONE": content}}))
    sending.settle()

    assert [message["number"] for message in contents_to(sending)] == [0, 1, 2, 4, 5, 6]
    assert sending.sender.delivery.counts.left_out == 1
    sending.flush()
    assert sending.world.sync_database.read(first_messages, [FAR], limit=10) == {}


# Devices


def updates_to(sending: Sending, server: Any = FAR) -> list[tuple[str, int, list[int]]]:
    """Device, ID and previous IDs of the updates that a server was sent."""
    edus = sending.client.edus_to(server, DEVICES)
    return [(edu["device_id"], edu["stream_id"], edu["prev_id"]) for edu in edus]


def test_changed_devices_are_told_to_the_servers_that_share_a_room_in_one_chain(
    sending: Sending, room_id: RoomID
) -> None:
    world = sending.world
    publish_device(world, ALICE, PHONE, "Phone")
    sending.settle()
    publish_device(world, ALICE, LAPTOP)
    publish_device(world, BOB, PHONE)  # shares no room with them
    sending.settle()
    now(world.devices.rename(REQUESTER, PHONE, "New phone"))
    sending.settle()

    (phone, first, none), (laptop, second, after_first), (again, third, after_second) = updates_to(sending)
    assert (phone, laptop, again) == (PHONE, LAPTOP, PHONE)
    assert (none, after_first, after_second) == ([], [first], [second])
    assert first < second < third
    newest = sending.client.edus_to(FAR, DEVICES)[-1]
    assert newest["device_display_name"] == "New phone"
    assert newest["keys"] == device_keys(ALICE, PHONE)
    assert updates_to(sending, NEAR) == updates_to(sending)
    assert world.sync_database.read(lambda tx: tx.all("SELECT COUNT(*) FROM device_updates"))[0][0] == 3


def test_each_device_that_is_removed_is_told(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    for device_id in (PHONE, LAPTOP):
        publish_device(world, ALICE, device_id)
    sending.settle()
    known = len(updates_to(sending))

    world.sync_database.write(world.device_removal.remove, ALICE, [PHONE, LAPTOP])
    sending.settle()

    edus = sending.client.edus_to(FAR, DEVICES)[known:]
    assert [(edu["device_id"], edu["deleted"]) for edu in edus] == [(PHONE, True), (LAPTOP, True)]
    assert edus[1]["prev_id"] == [edus[0]["stream_id"]]
    assert all("keys" not in edu for edu in edus)


def test_cross_signing_keys_and_signatures_by_them_are_told(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    keys = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    sending.settle()
    known = len(updates_to(sending))

    by_owner = signed(keys, ALICE, f"{ALICE} self_signing")
    assert now(world.cross_signing.upload_signatures(ALICE, {ALICE: {PHONE: by_owner}})) == {}
    sending.settle()

    (keys_told,) = sending.client.edus_to(FAR, KEYS)
    assert set(keys_told) == {"user_id", "master_key", "self_signing_key"}
    assert keys_told["master_key"]["keys"] == cross_signing_key(ALICE, "master")["keys"]
    (update,) = sending.client.edus_to(FAR, DEVICES)[known:]
    assert f"ed25519:{public(f'{ALICE} self_signing')}" in update["keys"]["signatures"][ALICE]


def test_a_server_that_missed_changes_gets_the_newest_of_each_device(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    publish_device(world, ALICE)
    sending.settle()
    sending.client.peer(FAR).error = SILENT
    for number in range(5):
        now(world.devices.rename(REQUESTER, PHONE, f"Phone {number}"))
        sending.settle()

    after = sending.crash()
    after.settle()
    after.wait(FAR)

    told = after.client.edus_to(FAR, DEVICES)
    assert [edu["device_display_name"] for edu in told] == ["Phone 0", "Phone 4"]
    assert told[1]["prev_id"] != [told[0]["stream_id"]]  # it must ask for what it lacks


def test_a_server_that_missed_very_much_learns_of_devices_and_of_signing_keys(
    sending: Sending, room_id: RoomID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told of signing keys has no ID: it does not show that something of devices came before it."""
    monkeypatch.setattr(catch_up, "MOST_IN_FULL", 2)
    world = sending.world
    for device_id in (PHONE, LAPTOP):
        publish_device(world, ALICE, device_id)
    sending.settle()
    sending.client.peer(FAR).error = SILENT
    world.send(ALICE, room_id, "tried in vain")
    sending.settle()
    world.sync_database.write(world.device_removal.remove, ALICE, [LAPTOP])
    publish_identity(world, ALICE)
    for text in ("one", "two"):
        world.send(ALICE, room_id, text)
    sending.settle()

    after = sending.crash()
    after.settle()
    after.wait(FAR)

    assert after.client.edus_to(FAR, DEVICES)[-1]["deleted"] is True
    assert len(after.client.edus_to(FAR, KEYS)) == 1


def test_a_user_who_meets_new_servers_is_announced(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    publish_device(world, BOB)
    publish_device(world, ALICE)
    sending.settle()
    assert {edu["user_id"] for edu in sending.client.edus_to(FAR, DEVICES)} == {ALICE}

    world.join(BOB, room_id)
    sending.settle()
    other = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, other)
    world.join(BOB, other)
    sending.settle()

    told = [edu for edu in sending.client.edus_to(FAR, DEVICES) if edu["user_id"] == BOB]
    assert [edu["device_id"] for edu in told] == [PHONE]
    assert len(sending.client.edus_to(NEAR, DEVICES)) == len(sending.client.edus_to(FAR, DEVICES))


# Receipts


def mark(sending: Sending, user_id: UserID, room_id: RoomID, *markers: Marker) -> None:
    now(sending.world.receipts.mark(user_id, room_id, markers))
    sending.settle()


def test_public_receipts_of_local_users_are_sent_together_after_a_while(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    world.join(BOB, room_id)
    first, second = world.send(ALICE, room_id, "one"), world.send(ALICE, room_id, "two")
    sending.settle()
    for event_id in (first, second):
        mark(sending, BOB, room_id, Marker(READ, event_id), Marker(READ_PRIVATE, event_id))
    mark(sending, ALICE, room_id, Marker(READ, first))
    assert sending.client.edus_to(FAR, RECEIPTS) == []

    world.clock.advance(PATIENCE_S)

    (receipts,) = sending.client.edus_to(FAR, RECEIPTS)
    users = receipts[room_id]["m.read"]
    assert {user: said["event_ids"] for user, said in users.items()} == {BOB: [second], ALICE: [first]}
    assert set(receipts[room_id]) == {"m.read"}
    assert len(sending.client.edus_to(NEAR, RECEIPTS)) == 1


def test_receipts_leave_with_an_event(sending: Sending, room_id: RoomID) -> None:
    event_id = sending.world.send(ALICE, room_id, "one")
    sending.settle()
    mark(sending, ALICE, room_id, Marker(READ, event_id))

    sending.world.send(ALICE, room_id, "two")
    sending.settle()

    newest = sending.client.taken_by(FAR)[-1]
    assert newest.bodies == ["two"]
    assert [edu["edu_type"] for edu in newest.body["edus"]] == [RECEIPTS]


def test_receipts_of_private_rooms_and_other_servers_users_go_nowhere(sending: Sending) -> None:
    world = sending.world
    local = world.create_room(ALICE, preset="public_chat")
    event_id = world.send(ALICE, local)
    sending.settle()
    reads = world.database.counts.reads

    mark(sending, ALICE, local, Marker(READ, event_id))
    world.clock.advance(PATIENCE_S)

    assert world.database.counts.reads == reads
    assert sending.client.attempts == []


# Typing


def set_typing(sending: Sending, room_id: RoomID, *, is_typing: bool, user_id: UserID = ALICE) -> None:
    now(
        sending.world.typing.set_typing(
            user_id, user_id, room_id, is_typing=is_typing, timeout_ms=LONGEST_TIMEOUT_MS if is_typing else None
        )
    )
    sending.settle()


def test_who_types_is_told_when_it_begins_and_when_it_ends(sending: Sending, room_id: RoomID) -> None:
    writes = sending.world.database.counts.writes
    set_typing(sending, room_id, is_typing=True)
    set_typing(sending, room_id, is_typing=True)
    set_typing(sending, room_id, is_typing=False)
    set_typing(sending, room_id, is_typing=False)

    said = {"room_id": room_id, "user_id": ALICE}
    for server in (FAR, NEAR):
        assert sending.client.edus_to(server, TYPING) == [{**said, "typing": True}, {**said, "typing": False}]
    assert sending.world.database.counts.writes == writes


def test_a_user_who_types_for_long_is_told_of_again(sending: Sending, room_id: RoomID) -> None:
    set_typing(sending, room_id, is_typing=True)
    sending.world.clock.advance(REPEATED_S)

    set_typing(sending, room_id, is_typing=True)

    assert [edu["typing"] for edu in sending.client.edus_to(FAR, TYPING)] == [True, True]


def test_a_server_that_is_slow_gets_the_newest_of_who_types(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    sending.client.peer(FAR).is_held = True
    world.send(ALICE, room_id, "one")
    sending.settle()
    for is_typing in (True, False, True, False):
        set_typing(sending, room_id, is_typing=is_typing)

    sending.client.release(FAR)
    sending.settle()

    assert [edu["typing"] for edu in sending.client.edus_to(FAR, TYPING)] == [False]
    assert [edu["typing"] for edu in sending.client.edus_to(NEAR, TYPING)] == [True, False, True, False]


def test_a_server_that_does_not_answer_never_hears_who_typed(sending: Sending, room_id: RoomID) -> None:
    sending.client.peer(FAR).error = SILENT
    set_typing(sending, room_id, is_typing=True)
    set_typing(sending, room_id, is_typing=False)
    sending.client.peer(FAR).error = None

    sending.wait(FAR)
    sending.world.send(ALICE, room_id, "hello")
    sending.settle()

    assert sending.client.said_to(FAR) == ["hello"]
    assert sending.client.edus_to(FAR) == []
    assert len(sending.sender.outboxes) > 0
    sending.flush()
    assert len(sending.sender.outboxes) == 0


# Presence


def says(sending: Sending, presence: PresenceWord, status_msg: str | None = None) -> None:
    """Let Alice say how present she is, and whoever it concerns be told."""
    sending.world.presence.set_status(ALICE, PHONE, ALICE, presence, status_msg)
    now(sending.world.presence.tell())
    sending.settle()


def test_who_comes_and_goes_is_told_and_never_written_down(sending: Sending, room_id: RoomID) -> None:
    writes = sending.world.database.counts.writes

    says(sending, "online", "here")
    says(sending, "unavailable")

    for server in (FAR, NEAR):
        first, second = sending.client.edus_to(server, PRESENCE)
        told = {"user_id": ALICE, "last_active_ago": 0}
        assert first == {"push": [{**told, "presence": "online", "status_msg": "here", "currently_active": True}]}
        assert second == {"push": [{**told, "presence": "unavailable", "currently_active": False}]}
    assert sending.world.database.counts.writes == writes


def test_a_server_that_is_slow_gets_the_newest_of_presence_and_one_that_is_silent_nothing(
    sending: Sending, room_id: RoomID
) -> None:
    sending.client.peer(FAR).is_held = True
    sending.client.peer(NEAR).error = SILENT
    sending.world.send(ALICE, room_id, "one")
    sending.settle()
    for words in ("two", "three"):
        says(sending, "online", words)
    sending.client.peer(NEAR).error = None

    sending.client.release(FAR)
    sending.wait(NEAR)
    sending.settle()

    assert [edu["push"][0]["status_msg"] for edu in sending.client.edus_to(FAR, PRESENCE)] == ["three"]
    assert sending.client.said_to(NEAR) == ["one"]
    assert sending.client.edus_to(NEAR, PRESENCE) == []


def test_a_server_that_left_hears_nothing_more(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    event_id: EventID = world.send(ALICE, room_id, "one")
    sending.settle()
    leave_remotely(world, FAY, room_id)
    set_typing(sending, room_id, is_typing=True)
    mark(sending, ALICE, room_id, Marker(READ, event_id))
    publish_device(world, ALICE, DeviceID("NEW"))
    sending.settle()
    world.clock.advance(PATIENCE_S)

    assert sending.client.edus_to(FAR) == []
    assert len(sending.client.edus_to(NEAR)) == 3


def test_who_types_where_no_other_server_is_costs_nothing(sending: Sending) -> None:
    world = sending.world
    local = world.create_room(ALICE, preset="public_chat")
    set_typing(sending, local, is_typing=True)
    set_typing(sending, local, is_typing=False)
    reads = world.database.counts.reads
    set_typing(sending, local, is_typing=True)
    assert world.database.counts.reads == reads

    join_remotely(world, FAY, local)
    set_typing(sending, local, is_typing=False)

    assert [edu["typing"] for edu in sending.client.edus_to(FAR, TYPING)] == []
    set_typing(sending, local, is_typing=True)
    assert [edu["typing"] for edu in sending.client.edus_to(FAR, TYPING)] == [True]
