"""Requests of other servers: whose they are, and that nobody else can have sent them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import SigningKey
from homeserver.core.x_matrix import signed_request
from homeserver.outbound.errors import Unreachable
from homeserver.runtime.caches import CacheBudget
from homeserver.services.errors import Forbidden, Unauthorized
from homeserver.services.events.remote_keys import REASK_MS, RemoteKeys
from homeserver.services.federation.request_verification import MOST_SIGNATURES, RequestVerification
from tests.fakes.key_source import FakeKeySource, Publisher
from tests.services.world import SERVER, World, now

ONE, TWO = ServerName("one.example:8448"), ServerName("two.example")
KEY, OTHER_KEY = SigningKey("a", b"\x01" * 32), SigningKey("b", b"\x02" * 32)
URI = "/_matrix/federation/v1/send/%21x?y=1"
CONTENT = b'{"pdus":[]}'


@dataclass
class Gatehouse:
    """This server's way in, and one other server."""

    world: World
    blocked: set[ServerName] = field(default_factory=set)
    heard: list[ServerName] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = FakeKeySource()
        self.publisher = Publisher(ONE, KEY, self.world.clock.now_ms() + 3_600_000)
        self.source.publish(self.publisher)
        keys = RemoteKeys(self.world.database, self.source, (), CacheBudget(1 << 20), self.world.clock)
        self.verification = RequestVerification(
            keys, SERVER, is_blocked=self.blocked.__contains__, heard_from=self.heard.append
        )

    def verify(self, *authorization: str, method: str = "PUT", uri: str = URI, content: bytes = CONTENT) -> ServerName:
        """Who has sent a request, at once."""
        return now(self.verification.verify(method=method, uri=uri, authorization=authorization, content=content))


@pytest.fixture
def gatehouse(world: World) -> Gatehouse:
    return Gatehouse(world)


def header(
    key: SigningKey = KEY,
    *,
    method: str = "PUT",
    uri: str = URI,
    origin: ServerName = ONE,
    destination: ServerName = SERVER,
    content: bytes = CONTENT,
    shown: Mapping[str, str | None] | None = None,
) -> str:
    """The header of a request that was signed; `shown` changes or leaves out what stands in it."""
    signature = key.sign(signed_request(method, uri, origin, destination, content))
    named: dict[str, str | None] = {"origin": origin, "destination": destination, "key": key.key_id, "sig": signature}
    named |= shown or {}
    return "X-Matrix " + ",".join(f'{name}="{value}"' for name, value in named.items() if value is not None)


def test_a_signed_request_is_its_senders(gatehouse: Gatehouse) -> None:
    assert gatehouse.verify(header()) == ONE
    assert gatehouse.heard == [ONE]


def test_a_request_without_content_is_signed_without(gatehouse: Gatehouse) -> None:
    assert gatehouse.verify(header(method="GET", content=b""), method="GET", content=b"") == ONE


def test_how_content_was_written_does_not_matter(gatehouse: Gatehouse) -> None:
    assert gatehouse.verify(header(content=b'{"a":1,"b":"\xc3\xa9"}'), content=b'{ "b":"\\u00e9", "a": 1 }') == ONE


def test_numbers_of_old_rooms_may_be_in_content(gatehouse: Gatehouse) -> None:
    content = b'{"pdus":[{"depth":1.5e0,"x":123456789012345678901234567890}]}'

    assert gatehouse.verify(header(content=content), content=content) == ONE


def test_servers_of_before_version_1_3_name_no_destination(gatehouse: Gatehouse) -> None:
    assert gatehouse.verify(header(shown={"destination": None})) == ONE


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"},
        {"uri": "/_matrix/federation/v1/send/!x?y=1"},
        {"uri": URI + "&z=2"},
        {"content": b'{"pdus":[{}]}'},
        {"content": b""},
        {"content": b"{"},
        {"content": b"\xff"},
        {"content": b'{"pdus":NaN}'},
        {"content": b"[" * 100_000},
    ],
)
def test_what_was_changed_on_the_way_is_refused(gatehouse: Gatehouse, changed: Mapping[str, str | bytes]) -> None:
    request = {"method": "PUT", "uri": URI, "content": CONTENT, **changed}

    with pytest.raises(Unauthorized):
        gatehouse.verify(header(), **request)  # type: ignore[arg-type]  # each has its own type
    assert gatehouse.heard == []


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ((), "not signed"),
        (("Bearer secret",), "not signed"),
        (("X-Matrix",), "not signed"),
        (("X-Matrix origin",), "list of parameters"),
        ((header(shown={"sig": "AAAA"}),), "wrong"),
        ((header(shown={"sig": "no base64"}),), "wrong"),
        ((header(shown={"sig": ""}),), "wrong"),
        ((header(shown={"sig": None}),), "lacks"),
        ((header(shown={"origin": TWO}),), "No key"),
        ((header(shown={"key": "ed25519:b"}),), "No key"),
        ((header(shown={"key": "ml_dsa:a"}),), "No key"),
        ((header(OTHER_KEY),), "No key"),
        ((header(OTHER_KEY, shown={"key": "ed25519:a"}),), "wrong"),
        ((header(destination=TWO),), "for another server"),
        ((header(destination=TWO, shown={"destination": None}),), "wrong"),
        ((header(destination=TWO, shown={"destination": SERVER}),), "wrong"),
        ((header(destination=ServerName(SERVER.upper())),), "for another server"),
        ((header(origin=SERVER),), "this server itself"),
        ((header(), header(origin=TWO)), "several servers"),
        ((header(), header(destination=TWO)), "for another server"),
        ((header(), header(shown={"sig": "AAAA"})), "wrong"),
        ((header(),) * (MOST_SIGNATURES + 1), "more than"),
    ],
)
def test_a_request_that_is_not_properly_signed_is_refused(
    gatehouse: Gatehouse, authorization: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Unauthorized, match=reason):
        gatehouse.verify(*authorization)
    assert gatehouse.heard == []


def test_a_server_that_cannot_be_is_a_wrong_request(gatehouse: Gatehouse) -> None:
    with pytest.raises(BadIdentifier):
        gatehouse.verify(header(shown={"origin": "two.example:http"}))
    assert gatehouse.heard == []


def test_signatures_by_keys_that_are_not_known_are_no_harm_beside_one_that_is(gatehouse: Gatehouse) -> None:
    unknown = header(OTHER_KEY)
    of_another_kind = header(shown={"key": "ml_dsa:a"})

    assert gatehouse.verify("Basic abc", of_another_kind, unknown, header()) == ONE


def test_each_signature_by_a_known_key_must_be_right(gatehouse: Gatehouse) -> None:
    gatehouse.verify(header())
    gatehouse.publisher.key = OTHER_KEY
    gatehouse.source.publish(gatehouse.publisher)

    assert gatehouse.verify(header(), header(OTHER_KEY)) == ONE
    with pytest.raises(Unauthorized, match="wrong"):
        gatehouse.verify(header(), header(OTHER_KEY, shown={"sig": "AAAA"}))


def test_a_server_that_changed_its_key_without_changing_the_id_is_let_in(gatehouse: Gatehouse) -> None:
    changed = SigningKey("a", b"\x03" * 32)
    gatehouse.verify(header())
    gatehouse.publisher.key = changed
    gatehouse.publisher.valid_until_ms += 3_600_000
    gatehouse.source.publish(gatehouse.publisher)
    gatehouse.world.clock.advance(3_600)

    assert gatehouse.verify(header(changed)) == ONE
    gatehouse.world.clock.advance(1)
    with pytest.raises(Unauthorized):
        gatehouse.verify(header())


def test_a_key_that_was_replaced_under_its_id_while_it_was_valid_is_asked_for_once_more(gatehouse: Gatehouse) -> None:
    changed = SigningKey("a", b"\x03" * 32)
    gatehouse.verify(header())
    gatehouse.world.clock.advance(REASK_MS / 1000)
    gatehouse.publisher.key = changed
    gatehouse.source.publish(gatehouse.publisher)

    assert gatehouse.verify(header(changed)) == ONE
    assert gatehouse.source.asked == [ONE, ONE]
    gatehouse.world.clock.advance(1)
    with pytest.raises(Unauthorized):
        gatehouse.verify(header())


def test_wrong_signatures_in_a_servers_name_do_not_have_it_asked_each_time(gatehouse: Gatehouse) -> None:
    gatehouse.verify(header())
    gatehouse.world.clock.advance(REASK_MS / 1000)

    for _ in range(50):
        with pytest.raises(Unauthorized, match="wrong"):
            gatehouse.verify(header(SigningKey("a", b"\x03" * 32)))

    assert gatehouse.source.asked == [ONE, ONE]
    assert gatehouse.verify(header()) == ONE


def test_a_server_that_does_not_answer_when_asked_once_more_is_left_alone_as_well(gatehouse: Gatehouse) -> None:
    gatehouse.verify(header())
    gatehouse.world.clock.advance(REASK_MS / 1000)
    gatehouse.source.failures[ONE] = Unreachable("away")

    for _ in range(5):
        with pytest.raises(Unauthorized, match="wrong"):
            gatehouse.verify(header(SigningKey("a", b"\x03" * 32)))

    assert gatehouse.source.asked == [ONE, ONE]


def test_whose_keys_have_just_come_is_not_asked_once_more(gatehouse: Gatehouse) -> None:
    with pytest.raises(Unauthorized, match="wrong"):
        gatehouse.verify(header(SigningKey("a", b"\x03" * 32)))

    assert gatehouse.source.asked == [ONE]


def test_an_old_key_lets_nobody_in(gatehouse: Gatehouse) -> None:
    gatehouse.publisher.old = [PublishedKey(OTHER_KEY.verify_key, gatehouse.world.clock.now_ms(), 1)]
    gatehouse.source.publish(gatehouse.publisher)

    with pytest.raises(Unauthorized):
        gatehouse.verify(header(OTHER_KEY))


def test_a_server_that_is_blocked_is_refused_and_not_asked_for_its_keys(gatehouse: Gatehouse) -> None:
    gatehouse.blocked.add(ONE)

    with pytest.raises(Forbidden):
        gatehouse.verify(header())
    assert gatehouse.source.asked == []
    assert gatehouse.heard == []


@pytest.mark.parametrize("authorization", [header(origin=SERVER), header(destination=TWO), "X-Matrix x=y"])
def test_for_what_is_wrong_anyway_nobody_is_asked(gatehouse: Gatehouse, authorization: str) -> None:
    with pytest.raises(Unauthorized):
        gatehouse.verify(authorization)
    assert gatehouse.source.asked == []


def test_a_known_server_is_let_in_without_a_transaction(gatehouse: Gatehouse) -> None:
    gatehouse.verify(header())
    counts = gatehouse.world.sync_database.counts
    before = (counts.reads, counts.writes)

    gatehouse.verify(header())

    assert (counts.reads, counts.writes) == before
    assert gatehouse.source.asked == [ONE]
