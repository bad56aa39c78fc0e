"""Whether another server can be reached: what is found on the way, and what is said to be wrong."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import key_document
from homeserver.core.signing import SigningKey
from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.exchange import Answer
from homeserver.outbound.expeditions import Expeditions
from homeserver.outbound.gate import Gate, OpenGate, ShutGate
from homeserver.outbound.names import Service
from homeserver.outbound.tls import TlsClients
from homeserver.outbound.well_known import WellKnown
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.errors import InvalidParameter
from homeserver.services.federation.reachability import Reachability, Step
from tests.outbound.https_servers import Conversation, HttpsServer, Outside, Received, json_answer
from tests.outbound.test_well_known import Web
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

US, THEM = ServerName("us.example"), ServerName("them.example")
KEY = SigningKey("a_them", b"\x21" * 32)
OURS = SigningKey("a_us", b"\x22" * 32)
WELL_KNOWN = f"https://{THEM}/.well-known/matrix/server"
NO_SERVICES = [f"_matrix-fed._tcp.{THEM}: none", f"_matrix._tcp.{THEM}: none"]


class Them:
    """Another server, as it should be unless a test changes it, and the way to it."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.web = Web()
        self.version: Any = {"server": {"name": "Dendrite", "version": "0.14"}}
        self.changes: dict[str, Any] = {}
        self.ahead = timedelta()
        self.verifies = True
        self.gate: Gate = OpenGate()
        self.server: HttpsServer | None = None

    def listen(self, *names: str) -> int:
        """Begin to answer, with a certificate for these names; at which port."""
        self.server = self.outside.serve(self._answer, *names)
        return self.server.port

    def is_found_by_service(self) -> None:
        """Begin to answer where the service records say."""
        port = self.listen(THEM)
        self.outside.names.records[f"_matrix-fed._tcp.{THEM}"] = [Service(0, 1, port, "host.them.example")]
        self.outside.names.hosts["host.them.example"] = ["127.0.0.1"]

    def own_steps(self) -> list[Step]:
        """What it finds on the way to itself."""
        return list(self.outside.wait(self._reachability(THEM, allows_private=True).test_own()))

    def steps(self, name: str = THEM, *, allows_private: bool = True) -> list[Step]:
        """What is found on the way to it."""
        return list(self.outside.wait(self._reachability(US, allows_private=allows_private).test(name)))

    def _reachability(self, asker: ServerName, *, allows_private: bool) -> Reachability:
        outside = self.outside
        tls = TlsClients(outside.groups, verifies=self.verifies, ca_file=outside.authority.file)
        expeditions = Expeditions(
            outside.reactor,
            outside.clock,
            SeededRandomness(),
            outside.names,
            AddressGuard(allows_private=allows_private),
            tls,
            WellKnown(self.web, outside.clock),
            "Columba/test",
        )
        return Reachability(expeditions, self.gate, asker, OURS, outside.clock)

    def _answer(self, conversation: Conversation, received: Received) -> None:
        now = datetime.now(UTC)
        if "/key/" in received.line:
            until_ms = int((now + timedelta(hours=1)).timestamp() * 1000)
            document = key_document(THEM, KEY.verify_key, (), KEY, valid_until_ms=until_ms)
            answer: Any = {**document, **self.changes}
        else:
            answer = self.version
        date = format_datetime(now + self.ahead, usegmt=True)
        conversation.send(json_answer(json.dumps(answer).encode(), 200, f"Date: {date}"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def them(authority: CertificateAuthority) -> Iterator[Them]:
    outside = Outside(authority)
    yield Them(outside)
    outside.close()


def wrong(steps: list[Step]) -> list[str]:
    return [step.name for step in steps if not step.is_ok]


def told(steps: list[Step], name: str) -> list[str]:
    return [step.told for step in steps if step.name == name]


def test_all_that_was_found_on_the_way_to_a_good_server_is_told(them: Them) -> None:
    them.is_found_by_service()

    steps = them.steps()

    assert wrong(steps) == []
    assert [step.name for step in steps] == [
        *("well-known", "service records", "addresses", "connection", "keys", "version", "clock")
    ]
    assert told(steps, "well-known")[0].startswith("them.example delegates to nobody: ")
    assert told(steps, "service records")[0].startswith(f"_matrix-fed._tcp.{THEM}: host.them.example:")
    assert told(steps, "addresses") == ["host.them.example: 127.0.0.1"]
    assert told(steps, "connection")[0].startswith("the certificate is valid until 20")
    assert "given by CN=The tests' authority; keys exchanged by " in told(steps, "connection")[0]
    assert told(steps, "keys")[0].startswith("ed25519:a_them, valid until 20")
    assert told(steps, "version") == ["Dendrite 0.14"]
    assert told(steps, "clock") == ["within 60 s of this server's"]


def test_a_delegation_is_followed_and_told(them: Them) -> None:
    port = them.listen("matrix.them.example")
    them.outside.names.hosts["matrix.them.example"] = ["127.0.0.1"]
    document = json.dumps({"m.server": f"matrix.them.example:{port}"}).encode()
    them.web.pages[WELL_KNOWN] = Answer(200, {}, document)

    steps = them.steps()

    assert wrong(steps) == []
    assert told(steps, "well-known") == [f"them.example delegates to matrix.them.example:{port}"]
    assert told(steps, "service records") == []


def test_nothing_that_was_found_before_is_believed(them: Them) -> None:
    them.is_found_by_service()
    them.steps()
    them.outside.names.records.clear()
    them.outside.names.hosts.clear()

    steps = them.steps()

    assert wrong(steps) == ["addresses", "connection"]
    assert told(steps, "service records") == NO_SERVICES


def test_a_delegation_that_is_nonsense_is_wrong_although_the_server_is_found(them: Them) -> None:
    them.is_found_by_service()
    them.web.pages[WELL_KNOWN] = Answer(200, {}, b"<html>")

    assert wrong(them.steps()) == ["well-known"]


def test_service_records_of_which_nobody_can_tell_are_wrong(them: Them) -> None:
    them.is_found_by_service()
    them.outside.names.broken.add(f"_matrix-fed._tcp.{THEM}")
    them.outside.names.records[f"_matrix._tcp.{THEM}"] = them.outside.names.records[f"_matrix-fed._tcp.{THEM}"]

    assert wrong(them.steps()) == ["service records"]


def test_a_certificate_of_another_is_wrong_and_nothing_is_asked(them: Them) -> None:
    port = them.listen("other.example")
    them.outside.names.hosts[THEM] = ["127.0.0.1"]

    steps = them.steps(f"{THEM}:{port}")

    assert wrong(steps) == ["connection"]
    assert steps[-1].name == "connection"
    assert them.server is not None
    assert them.server.received == []


def test_it_is_said_when_nobody_looks_at_certificates(them: Them) -> None:
    them.verifies = False
    port = them.listen("other.example")
    them.outside.names.hosts[THEM] = ["127.0.0.1"]

    steps = them.steps(f"{THEM}:{port}")

    assert "federation.verify_certificates is false" in told(steps, "connection")[0]


def test_a_private_address_is_not_connected_to(them: Them) -> None:
    them.is_found_by_service()

    steps = them.steps(allows_private=False)

    assert wrong(steps) == ["connection"]
    assert them.server is not None
    assert them.server.names == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"server_name": "other.example"}, "not a document of the keys of them.example"),
        ({"verify_keys": {}}, "publishes no key that can be used"),
        ({"signatures": {}}, "has not signed its keys"),
        ({"valid_until_ts": 1}, ""),
    ],
)
def test_keys_that_do_not_count_are_wrong(them: Them, changes: dict[str, Any], reason: str) -> None:
    them.is_found_by_service()
    them.changes = changes

    steps = them.steps()

    assert wrong(steps) == ["keys"]
    assert reason in told(steps, "keys")[0]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ({"server": {"name": "x" * 1000}}, "x" * 200 + "…"),
        ({"server": {"name": 1, "version": None}}, "it does not tell"),
        ({"server": {}}, "it does not tell"),
    ],
)
def test_what_a_server_says_of_itself_is_told_in_bounds(them: Them, version: Any, said: str) -> None:
    them.is_found_by_service()
    them.version = version

    assert told(them.steps(), "version") == [said]


@pytest.mark.parametrize(("ahead", "said"), [(timedelta(hours=2), "ahead of"), (timedelta(hours=-2), "behind")])
def test_clocks_that_differ_are_wrong(them: Them, ahead: timedelta, said: str) -> None:
    them.is_found_by_service()
    them.ahead = ahead

    steps = them.steps()

    assert wrong(steps) == ["clock"]
    assert f"{said} this server's" in told(steps, "clock")[0]


def test_a_server_that_is_not_to_be_spoken_with_is_not_looked_for(them: Them) -> None:
    them.is_found_by_service()
    them.gate = ShutGate()

    steps = them.steps()

    assert steps == [Step("rules", is_ok=False, told="This server does not federate")]
    assert (them.web.asked, them.outside.names.asked) == ([], [])


@pytest.mark.parametrize("name", ["", "two names", "https://them.example", "them.example:port", US])
def test_what_is_no_name_of_another_server_is_refused(them: Them, name: str) -> None:
    with pytest.raises(InvalidParameter):
        them.steps(name)


def test_a_server_tries_the_ways_on_which_others_come_to_it(them: Them) -> None:
    them.is_found_by_service()

    steps = them.own_steps()

    assert wrong(steps) == []
    assert "connection" in [step.name for step in steps]
