"""What of a stored event can be told from its bytes alone. How events are audited in their room is tested with it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.event_audit import Unsound, is_merged, read_stored
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.core.state_map import EMPTY_ROOT
from tests.core.rooms import DAVE, VERSIONS, in_every_version, numbered_event_id

KEY = SigningKey("test", bytes(32))


def message(version: RoomVersion, text: str = "hello") -> EncodedEvent:
    hashes = version.room_id_is_create_hash
    template = EventTemplate(
        room_id=RoomID("!" + "0" * 43 if hashes else "!room:one.example"),
        type="m.room.message",
        sender=DAVE,
        content={"body": text},
        prev_events=((numbered_event_id(version, 1), bytes(32)),),
        auth_events=(),
        depth=3,
        origin_server_ts=4,
    )
    assigned = None if version.event_ids_are_hashes else EventID("$own:one.example")
    return build_event(template, version, DAVE.partition(":")[2], KEY, assigned)  # type: ignore[arg-type]


def is_sound(version: RoomVersion, encoded: EncodedEvent, pdu: bytes, *, is_whole: bool = True) -> bool:
    event = encoded.event
    try:
        read_stored(pdu, version, event_id=event.event_id, room_id=event.room_id, is_whole=is_whole)
    except Unsound:
        return False
    return True


@in_every_version
def test_an_event_is_sound_whole_and_redacted_and_nothing_between(version: RoomVersion) -> None:
    encoded = message(version)
    redacted = encode_for(version, redact(encoded.event.pdu, version))

    assert is_sound(version, encoded, encoded.pdu_json)
    assert is_sound(version, encoded, redacted, is_whole=False)
    assert not is_sound(version, encoded, redacted)
    assert not is_sound(version, encoded, encoded.pdu_json, is_whole=False)


@given(st.sampled_from(VERSIONS), st.integers(min_value=0), st.integers(1, 255))
def test_no_other_byte_outside_the_signatures_is_sound(version: RoomVersion, at: int, change: int) -> None:
    encoded = message(version)
    pdu = bytearray(encoded.pdu_json)
    begin, end = pdu.index(b'"signatures":') + 12, pdu.index(b'"type"')
    places = [*range(begin), *range(end, len(pdu))]

    pdu[places[at % len(places)]] ^= change

    assert not is_sound(version, encoded, bytes(pdu))


@given(st.sampled_from(VERSIONS), st.binary(max_size=200))
def test_other_bytes_are_not_sound_whatever_they_are(version: RoomVersion, pdu: bytes) -> None:
    assert not is_sound(version, message(version), pdu)


@pytest.mark.parametrize("spelling", [b'{"body": "hello"}', b'{"body":"hell\\u006f"}'])
def test_json_that_is_not_canonical_is_not_sound(spelling: bytes) -> None:
    version = VERSIONS[-1]
    encoded = message(version)

    assert not is_sound(version, encoded, encoded.pdu_json.replace(b'{"body":"hello"}', spelling))


def test_equal_states_need_no_merging() -> None:
    assert is_merged(b"a", [b"a", b"a"], lambda _: [])
    assert not is_merged(b"b", [b"a"], lambda _: [b"b"])
    assert is_merged(EMPTY_ROOT, [], lambda _: [])


def test_a_merged_state_is_any_of_those_that_may_have_come_out() -> None:
    def merge(roots: Sequence[bytes]) -> list[bytes]:
        return [b"+".join(roots), b"other"]

    assert is_merged(b"a+b", [b"a", b"b", b"a"], merge)
    assert is_merged(b"other", [b"a", b"b"], merge)
    assert not is_merged(b"a", [b"a", b"b"], merge)
