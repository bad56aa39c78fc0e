"""This server as a notary: it tells what servers have signed, adds its signature, and cannot be made to run about."""

from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import PublishedKey, parse_published_keys
from homeserver.core.rate_limits import RateLimit
from homeserver.core.signing import SigningKey, verify_json
from homeserver.runtime.caches import CacheBudget
from homeserver.services.errors import InvalidParameter
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.events.remote_keys import _BOUNDS, ASKING, Purpose, RemoteKeys
from homeserver.services.federation.key_document import OwnKeyDocument
from homeserver.services.federation.key_notary import MOST_SERVERS, KeyNotary
from tests.fakes.key_source import FakeKeySource, Publisher
from tests.services.world import SERVER, World, now

ONE, TWO = ServerName("one.example"), ServerName("two.example")
KEY, OTHER_KEY = SigningKey("a", b"\x01" * 32), SigningKey("b", b"\x02" * 32)
A, B = KEY.key_id, OTHER_KEY.key_id
HOUR_MS = 3_600_000
Document = dict[str, Any]


@dataclass
class Notary:
    """The notary, and what it is asked."""

    world: World

    def __post_init__(self) -> None:
        self.source = FakeKeySource()
        world, self.own = self.world, OwnSigningKeys(self.world.key)
        self.keys = RemoteKeys(world.database, self.source, (TWO,), CacheBudget(1 << 20), world.clock)
        document = OwnKeyDocument(self.own, SERVER, world.clock)
        self.notary = KeyNotary(world.database, self.keys, self.own, document, SERVER, world.clock)

    @property
    def now_ms(self) -> int:
        return self.world.clock.now_ms()

    def publisher(self, name: ServerName = ONE, key: SigningKey = KEY, valid_ms: int = HOUR_MS) -> Publisher:
        publisher = Publisher(name, key, self.now_ms + valid_ms)
        self.source.publish(publisher)
        return publisher

    def ask(self, *key_ids: KeyID, server: ServerName = ONE, until_ms: int | None = None) -> list[Document]:
        return now(self.notary.keys({server: dict.fromkeys(key_ids, until_ms)}))

    def ask_for_all(self, server: ServerName = ONE, until_ms: int | None = None) -> list[Document]:
        return now(self.notary.all_keys(server, until_ms))


@pytest.fixture
def notary(world: World) -> Notary:
    return Notary(world)


def test_the_document_is_signed_by_its_server_and_by_the_notary(notary: Notary) -> None:
    publisher = notary.publisher()

    for found in (notary.ask(A), notary.ask_for_all(), notary.ask()):
        (document,) = found
        verify_json(document, SERVER, notary.world.key.verify_key)
        assert parse_published_keys(document, ONE, fetched_ms=notary.now_ms) == [publisher.published]
        assert {name: document["signatures"][name] for name in (ONE,)} == publisher.document["signatures"]
    assert notary.source.asked == [ONE]


def test_the_notary_signs_by_its_newest_key(notary: Notary) -> None:
    notary.publisher()
    notary.own.use(OTHER_KEY, notary.world.clock)

    (document,) = notary.ask(A)

    assert list(document["signatures"][SERVER]) == [B]


def test_keys_are_fetched_again_when_they_must_be_valid_for_longer(notary: Notary) -> None:
    notary.publisher()
    notary.ask(A)
    renewed = notary.publisher(valid_ms=2 * HOUR_MS)

    (document,) = notary.ask(A, until_ms=notary.now_ms + HOUR_MS + 1)
    (again,) = notary.ask(A, until_ms=notary.now_ms + HOUR_MS + 1)

    assert document == again
    assert document["valid_until_ts"] == renewed.valid_until_ms
    assert notary.source.asked == [ONE, ONE]


def test_keys_are_fetched_again_when_half_of_their_time_is_over(notary: Notary) -> None:
    notary.publisher()
    notary.ask(A)
    notary.world.clock.advance(HOUR_MS / 2000 - 1)
    notary.ask(A)
    notary.ask_for_all()
    before = len(notary.source.asked)
    notary.world.clock.advance(2)
    notary.publisher()

    notary.ask(A)
    notary.ask_for_all()

    assert before == 1
    assert notary.source.asked == [ONE, ONE]


def test_keys_that_were_valid_for_as_long_as_is_asked_are_not_fetched_again(notary: Notary) -> None:
    publisher = notary.publisher()
    notary.ask(A)
    notary.world.clock.advance(24 * 3600)

    for found in (
        notary.ask(A, until_ms=publisher.valid_until_ms),
        notary.ask_for_all(until_ms=publisher.valid_until_ms),
    ):
        (document,) = found
        assert document["verify_keys"] == publisher.document["verify_keys"]

    assert notary.source.asked == [ONE]


def test_a_server_that_is_gone_is_remembered(notary: Notary) -> None:
    publisher = notary.publisher()
    notary.ask(A)
    notary.source.documents.clear()
    notary.world.clock.advance(24 * 3600)

    for found in (notary.ask(A), notary.ask_for_all(), notary.ask(), notary.ask(A, until_ms=notary.now_ms + 1)):
        (document,) = found
        assert document["valid_until_ts"] == publisher.valid_until_ms


def test_a_key_that_its_server_has_forgotten_is_remembered(notary: Notary) -> None:
    first = notary.publisher(valid_ms=-24 * HOUR_MS)
    notary.ask(A, until_ms=0)
    second = notary.publisher(key=OTHER_KEY)

    of_first = notary.ask(A)
    of_second = notary.ask(B)
    of_all = notary.ask()

    assert [each["verify_keys"] for each in of_first] == [first.document["verify_keys"]]
    assert [each["verify_keys"] for each in of_second] == [second.document["verify_keys"]]
    assert of_all in ([*of_second, *of_first], [*of_first, *of_second])


def test_a_document_that_has_several_of_the_keys_is_given_once(notary: Notary) -> None:
    publisher = notary.publisher()
    publisher.old = [PublishedKey(OTHER_KEY.verify_key, 5, 5)]
    notary.source.publish(publisher)

    assert len(notary.ask(A, B)) == 1


def test_where_no_keys_are_named_the_server_is_not_asked(notary: Notary) -> None:
    notary.publisher()

    assert notary.ask() == []
    assert notary.source.asked == []


def test_nothing_is_told_of_servers_that_are_not_known(notary: Notary) -> None:
    assert notary.ask(A) == []
    assert notary.ask_for_all(TWO) == []
    assert now(notary.notary.keys({})) == []


def test_the_own_keys_are_told_without_asking_anybody(notary: Notary) -> None:
    for found in (notary.ask(A, server=SERVER), notary.ask(server=SERVER), notary.ask_for_all(SERVER)):
        (document,) = found
        parse_published_keys(document, SERVER, fetched_ms=notary.now_ms)
    assert notary.source.asked == []


def test_other_notaries_are_not_asked(notary: Notary) -> None:
    notary.source.show(notary.publisher(TWO), Publisher(ONE, KEY, notary.now_ms + HOUR_MS))

    assert notary.ask(A) == []
    assert notary.source.asked_notaries == []


def test_too_many_servers_are_refused(notary: Notary) -> None:
    with pytest.raises(InvalidParameter):
        now(notary.notary.keys({ServerName(f"s{number}.example"): {} for number in range(MOST_SERVERS + 1)}))


def test_a_query_makes_this_server_ask_only_some(notary: Notary) -> None:
    now(notary.notary.keys({ServerName(f"s{number}.example"): {A: None} for number in range(MOST_SERVERS)}))

    assert len(notary.source.asked) == _BOUNDS[Purpose.NOTARY].most_servers


def test_the_same_query_again_and_again_does_not_make_it_ask_as_often(notary: Notary) -> None:
    assert isinstance(ASKING, RateLimit)
    notary.publisher()

    for number in range(40):
        notary.ask(A, until_ms=(1 << 53) - 1 - number)

    assert len(notary.source.asked) == ASKING.burst
