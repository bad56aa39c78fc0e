"""EDUs as the specification has them."""

from typing import Any

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.cross_signing import CrossSigningKey, KeyUsage
from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID
from homeserver.services.federation.outgoing_edus import device_edu, receipt_edus, signatures_of, typing_edu
from homeserver.storage.cross_signing import PublishedDevice, PublishedKeys, StoredSignature
from homeserver.storage.device_lists import CROSS_SIGNING, DeviceUpdate
from homeserver.storage.receipts import Receipt

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
NOTHING = signatures_of(PublishedKeys([], [], []))


def receipt(
    user_id: UserID = ALICE, event: str = "$e", room_id: RoomID = ROOM, thread: str | None = None, at: int = 1
) -> Receipt:
    return Receipt(room_id, user_id, "m.read", thread, EventID(event), at, 1000 + at, at)


def read(edu: bytes) -> Any:
    """An EDU, which must be canonical JSON."""
    value = orjson.loads(edu)
    assert encode_canonical(value) == edu
    return value


def test_typing() -> None:
    assert read(typing_edu(ROOM, ALICE, is_typing=True)) == {
        "edu_type": "m.typing",
        "content": {"room_id": ROOM, "user_id": ALICE, "typing": True},
    }


def test_receipts_of_rooms_and_users_share_an_edu() -> None:
    edus = receipt_edus([receipt(), receipt(BOB, "$f"), receipt(room_id=OTHER, at=3)])

    assert [read(edu) for edu in edus] == [
        {
            "edu_type": "m.receipt",
            "content": {
                ROOM: {
                    "m.read": {
                        ALICE: {"data": {"ts": 1001}, "event_ids": ["$e"]},
                        BOB: {"data": {"ts": 1001}, "event_ids": ["$f"]},
                    }
                },
                OTHER: {"m.read": {ALICE: {"data": {"ts": 1003}, "event_ids": ["$e"]}}},
            },
        }
    ]


def test_of_a_user_in_a_room_the_newest_receipt_counts() -> None:
    edus = receipt_edus([receipt(event=f"${number}", at=number) for number in range(5)])

    (edu,) = map(read, edus)
    assert edu["content"][ROOM]["m.read"][ALICE] == {"data": {"ts": 1004}, "event_ids": ["$4"]}


def test_receipts_for_threads_have_edus_of_their_own_and_say_which_thread() -> None:
    edus = receipt_edus([receipt(), receipt(thread="main", event="$f"), receipt(BOB, thread="$root"), receipt(at=2)])

    first, second = map(read, edus)
    assert first["content"][ROOM]["m.read"] == {
        ALICE: {"data": {"ts": 1002}, "event_ids": ["$e"]},
        BOB: {"data": {"ts": 1001, "thread_id": "$root"}, "event_ids": ["$e"]},
    }
    assert second["content"][ROOM]["m.read"] == {
        ALICE: {"data": {"ts": 1001, "thread_id": "main"}, "event_ids": ["$f"]}
    }


def test_a_device_is_shown_with_its_keys_and_the_signatures_of_its_owner() -> None:
    keys = {"user_id": ALICE, "device_id": "PHONE", "signatures": {ALICE: {"ed25519:PHONE": "own"}}}
    published = PublishedKeys(
        [PublishedDevice(ALICE, DeviceID("PHONE"), "Phone", orjson.dumps(keys))],
        [],
        [StoredSignature(ALICE, "PHONE", ALICE, "ed25519:self", "by the self-signing key")],
    )
    update = DeviceUpdate(ALICE, "PHONE", 7, 5, is_gone=False, name="Phone", keys=orjson.dumps(keys))

    edu = read(device_edu(update, signatures_of(published)))

    assert edu["edu_type"] == "m.device_list_update"
    assert edu["content"] == {
        "user_id": ALICE,
        "device_id": "PHONE",
        "stream_id": 7,
        "prev_id": [5],
        "device_display_name": "Phone",
        "keys": {
            **keys,
            "signatures": {ALICE: {"ed25519:PHONE": "own", "ed25519:self": "by the self-signing key"}},
        },
    }


def test_a_device_that_is_gone_is_said_to_be() -> None:
    update = DeviceUpdate(ALICE, "PHONE", 7, None, is_gone=True, name=None, keys=None)

    edu = read(device_edu(update, NOTHING))

    assert edu["content"] == {"user_id": ALICE, "device_id": "PHONE", "stream_id": 7, "prev_id": [], "deleted": True}


def test_cross_signing_keys_are_shown_but_for_the_one_that_is_the_users_own() -> None:
    keys = [
        CrossSigningKey(ALICE, usage, f"key of {usage.value}", {"user_id": ALICE, "usage": [usage.value]})
        for usage in KeyUsage
    ]
    signature = StoredSignature(ALICE, "key of master", ALICE, "ed25519:PHONE", "by the phone")
    update = DeviceUpdate(ALICE, CROSS_SIGNING, 7, 5, is_gone=True, name=None, keys=None)

    edu = read(device_edu(update, signatures_of(PublishedKeys([], keys, [signature]))))

    assert edu == {
        "edu_type": "m.signing_key_update",
        "content": {
            "user_id": ALICE,
            "master_key": {
                "user_id": ALICE,
                "usage": ["master"],
                "signatures": {ALICE: {"ed25519:PHONE": "by the phone"}},
            },
            "self_signing_key": {"user_id": ALICE, "usage": ["self_signing"]},
        },
    }
