"""The own document of keys: believed by others, for long enough, and signed by the key in use."""

import orjson

from homeserver.core.key_validity import PublishedKey, parse_published_keys
from homeserver.core.signing import SigningKey
from homeserver.runtime.clock import ManualClock
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.federation.key_document import RENEWED_BEFORE_MS, VALIDITY_MS, OwnKeyDocument
from tests.services.world import SERVER

FIRST, SECOND = SigningKey("a", b"\x01" * 32), SigningKey("b", b"\x02" * 32)


def made() -> tuple[ManualClock, OwnSigningKeys, OwnKeyDocument]:
    clock = ManualClock()
    keys = OwnSigningKeys(FIRST)
    return clock, keys, OwnKeyDocument(keys, SERVER, clock)


def published(document: OwnKeyDocument, clock: ManualClock) -> list[PublishedKey]:
    return parse_published_keys(orjson.loads(document.encoded()), SERVER, fetched_ms=clock.now_ms())


def test_the_key_in_use_is_published_for_a_day() -> None:
    clock, _, document = made()

    assert published(document, clock) == [PublishedKey(FIRST.verify_key, clock.now_ms() + VALIDITY_MS)]
    assert document.content() == orjson.loads(document.encoded())


def test_the_same_bytes_are_given_until_half_of_their_time_is_over() -> None:
    clock, _, document = made()
    first = document.encoded()

    clock.advance((VALIDITY_MS - RENEWED_BEFORE_MS) / 1000 - 1)
    still = document.encoded()
    clock.advance(1)
    later = document.encoded()

    assert still is first
    assert later != first
    assert published(document, clock)[0].valid_until_ms == clock.now_ms() + VALIDITY_MS


def test_a_new_key_is_published_at_once_and_the_old_one_beside_it() -> None:
    clock, keys, document = made()
    document.encoded()
    clock.advance(5)
    replaced_ms = clock.now_ms()

    keys.use(SECOND, clock)

    assert published(document, clock) == [
        PublishedKey(SECOND.verify_key, replaced_ms + VALIDITY_MS),
        PublishedKey(FIRST.verify_key, replaced_ms, replaced_ms),
    ]
    assert list(document.content()["signatures"][SERVER]) == [SECOND.key_id]


def test_old_keys_are_an_object_even_when_there_are_none() -> None:
    _, _, document = made()

    assert document.content()["old_verify_keys"] == {}


def test_a_clock_that_was_put_right_leaves_no_document_from_the_future() -> None:
    clock, _, document = made()
    document.encoded()
    clock._started_ms -= VALIDITY_MS * 300

    assert published(document, clock)[0].valid_until_ms == clock.now_ms() + VALIDITY_MS
