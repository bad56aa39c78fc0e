"""Tests of receipt: what is let through to a room, in which form, and what is dropped before it gets there."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest

from homeserver.core.canonical_json import decode_for
from homeserver.core.hashing import content_hash, has_valid_content_hash
from homeserver.core.identifiers import EventID, KeyID, ServerName
from homeserver.core.key_validity import COMPROMISED_KEYS, PublishedKey
from homeserver.core.redaction import redact
from homeserver.core.room_versions import V1, V5, V6, V8, V10, V11, V12, RoomVersion
from homeserver.core.signing import SigningKey, VerifyKey, sign_event
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.services.events.keyring import GivenKeys, KeyRing, OwnKeysAnd
from homeserver.services.events.receipt import FEW, Receipt, Received, Refused
from homeserver.storage.events import Form
from tests.core.rooms import in_every_version, in_versions_where, numbered_event_id
from tests.services.world import now

# PDUs are JSON objects, so their values are `Any`.

T = TypeVar("T")

ONE = ServerName("one.example")
TWO = ServerName("two.example")
KEY_OF_ONE = SigningKey("a", b"\x01" * 32)
KEY_OF_TWO = SigningKey("a", b"\x02" * 32)  # of the same key ID
NEXT_KEY_OF_ONE = SigningKey("b", b"\x03" * 32)
ALICE = f"@alice:{ONE}"
BOB = f"@bob:{TWO}"
TIME_MS = 1_700_000_000_000
KEYS = {
    ONE: [PublishedKey(KEY_OF_ONE.verify_key, TIME_MS)],
    TWO: [PublishedKey(KEY_OF_TWO.verify_key, TIME_MS)],
}


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """What a thread would do."""
    return function(*arguments)


def receipt(keyring: KeyRing | None = None) -> Receipt:
    """Receipt with the keys of both servers, or of a key ring."""
    return Receipt(keyring or GivenKeys(KEYS), in_thread)


def draft(version: RoomVersion, **changes: object) -> dict[str, Any]:
    """A PDU of Alice's without hashes and signatures."""
    pdu: dict[str, Any] = {
        "type": "m.room.message",
        "sender": ALICE,
        "room_id": "!" + "r" * 43 if version.room_id_is_create_hash else f"!room:{ONE}",
        "content": {"body": "hello"},
        "depth": 7,
        "origin_server_ts": TIME_MS,
        "prev_events": [],
        "auth_events": [],
    }
    if not version.event_ids_are_hashes:
        pdu["event_id"] = f"$1:{ONE}"
    return pdu | changes


def hashed(pdu: Mapping[str, Any], version: RoomVersion) -> dict[str, Any]:
    """The PDU with its right hash and no signature."""
    return {**pdu, "hashes": {"sha256": encode_base64(content_hash(pdu, version))}, "signatures": {}}


def signed(version: RoomVersion, *, server: ServerName = ONE, key: SigningKey = KEY_OF_ONE, **changes: object) -> Any:
    """A PDU of Alice's, hashed and signed."""
    return sign_event(hashed(draft(version, **changes), version), version, server, key)


def check(pdu: object, version: RoomVersion, keyring: KeyRing | None = None) -> Received | Refused:
    """The judgement on one PDU."""
    (judged,) = now(receipt(keyring).check([pdu], version))
    return judged


def keys(*published: PublishedKey) -> KeyRing:
    """A key ring with these keys of server one."""
    return GivenKeys({ONE: published})


def restricted_join(authorised_by: object) -> dict[str, Any]:
    """What makes a PDU Alice's join by somebody's leave."""
    content = {"membership": "join", "join_authorised_via_users_server": authorised_by}
    return {"type": "m.room.member", "state_key": ALICE, "content": content}


class AskedKeys:
    """A key ring that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[ServerName, set[KeyID]]] = []

    async def keys_of(self, wanted: Mapping[ServerName, Any]) -> Mapping[ServerName, Sequence[PublishedKey]]:
        """The known keys."""
        self.asked.append({server: set(key_ids) for server, key_ids in wanted.items()})
        return KEYS


@in_every_version
def test_an_event_that_its_server_has_signed_is_received_in_full(version: RoomVersion) -> None:
    pdu = signed(version)

    judged = check(pdu | {"unsigned": {"age": 1}}, version)

    assert isinstance(judged, Received)
    assert judged.form is Form.FULL
    assert judged.encoded.event.pdu == decode_for(version, judged.encoded.pdu_json) == pdu


@in_every_version
def test_an_event_with_other_content_than_the_signed_is_received_redacted(version: RoomVersion) -> None:
    pdu = signed(version)
    event = check(pdu, version)

    judged = check(pdu | {"content": {"body": "forged"}, "more": 1}, version)

    assert isinstance(judged, Received)
    assert isinstance(event, Received)
    assert judged.form is Form.WRONG_HASH
    assert judged.encoded.event.event_id == event.encoded.event.event_id
    assert judged.encoded.event.pdu == decode_for(version, judged.encoded.pdu_json) == redact(pdu, version)
    assert not has_valid_content_hash(judged.encoded.event.pdu, version)


@in_every_version
def test_an_event_that_came_redacted_is_received_redacted(version: RoomVersion) -> None:
    judged = check(redact(signed(version), version), version)

    assert isinstance(judged, Received)
    assert judged.form is Form.WRONG_HASH


@in_every_version
@pytest.mark.parametrize(
    "changes",
    [
        {"type": "m.room.topic"},
        {"sender": f"@admin:{ONE}"},
        {"room_id": "another room"},
        {"state_key": ""},
        {"depth": 8},
        {"origin_server_ts": TIME_MS - 1},
        {"hashes": {"sha256": "A" * 43}},
        {"prev_events": "another event"},
        {"auth_events": "another event"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_event_changed_where_redaction_does_not_reach_is_refused(
    changes: dict[str, Any], version: RoomVersion
) -> None:
    reference: object = numbered_event_id(version, 9)
    if not version.event_ids_are_hashes:
        reference = [reference, {"sha256": "A" * 43}]
    put = {
        "another room": "!" + "s" * 43 if version.room_id_is_create_hash else f"!other:{ONE}",
        "another event": [reference],
    }

    judged = check(
        signed(version) | {k: put.get(v, v) if isinstance(v, str) else v for k, v in changes.items()}, version
    )

    assert isinstance(judged, Refused)
    assert judged.event_id is not None


@in_every_version
def test_an_event_signed_by_another_server_alone_is_refused(version: RoomVersion) -> None:
    for pdu in (
        signed(version, server=TWO, key=KEY_OF_TWO),
        signed(version, server=ONE, key=KEY_OF_TWO),
        hashed(draft(version), version),
    ):
        assert isinstance(check(pdu, version), Refused)


@in_every_version
def test_a_signature_moved_from_another_event_is_refused(version: RoomVersion) -> None:
    pdu = hashed(draft(version, depth=9), version) | {"signatures": signed(version)["signatures"]}

    assert isinstance(check(pdu, version), Refused)


def test_the_signatures_of_other_servers_are_not_looked_at() -> None:
    pdu = signed(V11)
    pdu["signatures"]["policy.example"] = {"ed25519:policy_server": "nonsense"}

    assert isinstance(check(pdu, V11), Received)


def test_signatures_by_unknown_keys_are_not_looked_at() -> None:
    pdu = signed(V11)
    pdu["signatures"][ONE] |= {"ed25519:unknown": "nonsense", "other:a": "nonsense", "ed25519:": "nonsense"}

    assert isinstance(check(pdu, V11), Received)


def test_one_right_signature_does_not_excuse_a_wrong_one_by_a_known_key() -> None:
    pdu = signed(V11)
    pdu["signatures"][ONE][NEXT_KEY_OF_ONE.key_id] = pdu["signatures"][ONE][KEY_OF_ONE.key_id]
    known = keys(*KEYS[ONE], PublishedKey(NEXT_KEY_OF_ONE.verify_key, TIME_MS))

    assert isinstance(check(pdu, V11, known), Refused)


def test_the_signature_by_either_of_two_keys_of_one_id_will_do() -> None:
    known = keys(PublishedKey(KEY_OF_TWO.verify_key, TIME_MS), *KEYS[ONE])

    assert isinstance(check(signed(V11), V11, known), Received)


@in_versions_where("enforces_key_validity")
def test_a_key_whose_validity_had_run_out_is_refused_from_version_5_on(version: RoomVersion) -> None:
    judged = check(signed(version), version, keys(PublishedKey(KEY_OF_ONE.verify_key, TIME_MS - 1)))

    assert isinstance(judged, Refused)


@in_versions_where("enforces_key_validity", holds=False)
def test_a_key_whose_validity_had_run_out_will_do_before_version_5(version: RoomVersion) -> None:
    judged = check(signed(version), version, keys(PublishedKey(KEY_OF_ONE.verify_key, TIME_MS - 1)))

    assert isinstance(judged, Received)


@in_every_version
def test_a_key_that_had_been_given_up_is_refused(version: RoomVersion) -> None:
    judged = check(signed(version), version, keys(PublishedKey(KEY_OF_ONE.verify_key, TIME_MS, TIME_MS - 1)))

    assert isinstance(judged, Refused)


@pytest.mark.parametrize(
    "public",
    [
        VerifyKey.from_base64(KEY_OF_ONE.key_id, min(COMPROMISED_KEYS)).public,
        bytes(32),
        b"\x01" + bytes(31),
        b"\xff" * 32,
    ],
    ids=["compromised", "of order 4", "neutral", "no point"],
)
def test_a_key_that_anybody_could_sign_for_is_refused(public: bytes) -> None:
    pdu = signed(V11)
    pdu["signatures"][ONE][KEY_OF_ONE.key_id] = encode_base64(b"\x01" + bytes(63))

    judged = check(pdu, V11, keys(PublishedKey(VerifyKey(KEY_OF_ONE.key_id, public), TIME_MS)))

    assert isinstance(judged, Refused)


@in_versions_where("restricted_joins")
def test_a_restricted_join_needs_the_signature_of_the_authorising_server(version: RoomVersion) -> None:
    alone = signed(version, **restricted_join(BOB))
    together = sign_event(alone, version, TWO, KEY_OF_TWO)

    assert isinstance(check(alone, version), Refused)
    assert isinstance(check(together, version), Received)


@in_versions_where("restricted_joins")
@pytest.mark.parametrize("authorised_by", ["", "bob", 1, None, [BOB], {}], ids=repr)
def test_a_restricted_join_authorised_by_nobody_is_refused(authorised_by: object, version: RoomVersion) -> None:
    assert isinstance(check(signed(version, **restricted_join(authorised_by)), version), Refused)


@in_versions_where("restricted_joins", holds=False)
def test_no_authorising_server_is_asked_for_where_there_are_no_restricted_joins(version: RoomVersion) -> None:
    assert isinstance(check(signed(version, **restricted_join(BOB)), version), Received)


@in_versions_where("event_ids_are_hashes", holds=False)
def test_the_server_that_an_event_id_names_must_have_signed(version: RoomVersion) -> None:
    alone = signed(version, event_id=f"$1:{TWO}")
    together = sign_event(alone, version, TWO, KEY_OF_TWO)

    assert isinstance(check(alone, version), Refused)
    assert isinstance(check(together, version), Received)


@in_every_version
@pytest.mark.parametrize("invite", [{}, {"signed": {}}, None, "x"], ids=repr)
def test_a_third_party_invite_put_into_an_invite_does_not_excuse_its_missing_signature(
    invite: object, version: RoomVersion
) -> None:
    plain = draft(version, type="m.room.member", state_key=BOB, content={"membership": "invite"})
    forged = hashed(plain, version) | {"content": {"membership": "invite", "third_party_invite": invite}}

    judged = check(forged, version)

    # Where redaction keeps a third-party invite the authorisation rules still see it, and ask for its own signature.
    if isinstance(judged, Received):
        assert version.updated_redaction
        assert "third_party_invite" in judged.encoded.event.content


@in_versions_where("event_ids_are_hashes")
def test_a_third_party_invite_may_be_sent_on_by_anybody(version: RoomVersion) -> None:
    content = {"membership": "invite", "third_party_invite": {"signed": {}}}
    pdu = hashed(draft(version, type="m.room.member", state_key=BOB, content=content), version)

    assert isinstance(check(pdu, version), Received)


def nested(depth: int) -> object:
    """Lists within lists."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@in_every_version
@pytest.mark.parametrize(
    "changes",
    [
        {"content": {"body": "x" * 65536}},
        {"content": nested(5000)},
        {"content": {"deep": nested(5000)}},
        {"content": {"number": float("nan")}},
        {"content": {"number": float("inf")}},
        {"content": {"text": "\ud800"}},
        {"content": []},
        {"depth": 2**63},
        {"depth": -1},
        {"depth": 1.5},
        {"depth": True},
        {"depth": "1"},
        {"origin_server_ts": "1"},
        {"origin_server_ts": 2**64},
        {"type": None},
        {"type": "x" * 256},
        {"state_key": 1},
        {"state_key": "ä" * 128},
        {"sender": "alice"},
        {"sender": f"@{'a' * 255}:{ONE}"},
        {"room_id": None},
        {"room_id": "room"},
        {"room_id": f"#room:{ONE}"},
        {"event_id": 1},
        {"hashes": {}},
        {"hashes": {"sha256": 1}},
        {"signatures": []},
        {"signatures": {ONE: "x"}},
        {"signatures": {ONE: {KEY_OF_ONE.key_id: 1}}},
        {"prev_events": {}},
        {"prev_events": [1]},
        {"prev_events": [[]]},
        {"prev_events": ["$"] * 21},
        {"auth_events": ["$"] * 11},
        {"auth_events": ["not an event"]},
    ],
)
def test_a_malformed_event_is_refused(changes: dict[str, Any], version: RoomVersion) -> None:
    judged = check(signed(version) | changes, version)

    assert isinstance(judged, Refused)
    assert judged.event_id is None  # the signatures were not even looked at


@pytest.mark.parametrize("pdu", [None, [], "event", 1, {}, {"type": "m.room.message"}], ids=repr)
def test_what_is_no_event_is_refused_without_an_id(pdu: object) -> None:
    judged = check(pdu, V11)

    assert isinstance(judged, Refused)
    assert judged.event_id is None


@pytest.mark.parametrize("number", [0.5, 1e300, 2**53, -(2**53)])
def test_numbers_beyond_canonical_json_are_refused_from_version_6_on(number: float) -> None:
    assert isinstance(check(signed(V5, content={"n": number}), V5), Received)
    assert getattr(check(signed(V5, content={"n": number}), V6), "event_id", "received") is None


@pytest.mark.parametrize("version", [V6, V11, V12], ids=lambda version: f"v{version.name}")
def test_a_depth_beyond_canonical_json_is_refused_from_version_6_on(version: RoomVersion) -> None:
    assert isinstance(check(signed(version) | {"depth": 2**53}, version), Refused)


def test_of_a_key_that_stands_twice_the_signed_value_is_the_one_that_counts() -> None:
    text = json.dumps(signed(V11))
    twice = json.loads(text[:-1] + ', "content": {"body": "forged"}}')

    judged = check(twice, V11)

    assert isinstance(judged, Received)
    assert judged.form is Form.WRONG_HASH
    assert judged.encoded.event.content == {}


@pytest.mark.parametrize("version", [V8, V10, V12], ids=lambda version: f"v{version.name}")
def test_an_event_that_brings_an_id_of_its_own_is_refused_where_ids_are_hashes(version: RoomVersion) -> None:
    assert isinstance(check(signed(version) | {"event_id": EventID("$" + "e" * 43)}, version), Refused)


def test_each_event_of_a_batch_is_judged_by_itself_and_in_its_place() -> None:
    good = [signed(V11, depth=depth) for depth in range(FEW + 2)]
    pdus = [good[0], {}, *good[1:], hashed(draft(V11), V11), good[0] | {"depth": 99}]

    judged = now(receipt().check(pdus, V11))

    assert [type(each) for each in judged] == [Received, Refused, *[Received] * (FEW + 1), Refused, Refused]
    assert [each.encoded.event.depth for each in judged if isinstance(each, Received)] == list(range(FEW + 2))


def test_the_keys_of_a_batch_are_asked_for_once() -> None:
    asked = AskedKeys()
    pdus = [signed(V11), signed(V11, depth=8), signed(V11, sender=BOB, server=TWO, key=KEY_OF_TWO), {}]

    now(receipt(asked).check(pdus, V11))

    assert asked.asked == [{ONE: {KEY_OF_ONE.key_id}, TWO: {KEY_OF_TWO.key_id}}]


def test_no_keys_are_asked_for_when_no_event_needs_any() -> None:
    asked = AskedKeys()

    judged = now(receipt(asked).check([{}, hashed(draft(V1), V1)], V1))

    assert not asked.asked
    assert [type(each) for each in judged] == [Refused, Refused]


def test_this_servers_own_keys_never_expire_and_are_asked_of_nobody() -> None:
    asked = AskedKeys()
    own = OwnKeysAnd(ONE, [KEY_OF_ONE.verify_key], asked)

    assert isinstance(check(signed(V11, origin_server_ts=TIME_MS * 2), V11, own), Received)
    assert not asked.asked
    assert isinstance(check(signed(V11, sender=BOB, server=TWO, key=KEY_OF_TWO), V11, own), Received)
    assert asked.asked == [{TWO: {KEY_OF_TWO.key_id}}]
