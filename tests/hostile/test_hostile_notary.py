"""A server that is asked for the keys of others, as a notary, and tells of them whatever it likes."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.core.signing import SigningKey, sign_json
from tests.hostile.hostile_server import HostileServer, Lie, now_ms
from tests.server import new_server
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

OTHER_KEY = SigningKey("other", b"\x13" * 32)


@pytest.fixture(scope="module")
def notary(authority: CertificateAuthority) -> Iterator[HostileServer]:
    """The notary of a server that was told to ask it."""
    federation: dict[str, Any] = {"ca_file": str(authority.file), "allow_private_addresses": True}
    server = new_server(settings={"federation": federation})
    made = HostileServer(authority, server, "127.0.0.69")
    federation["key_servers"] = [made.name]
    try:
        server.start()
        yield made
    finally:
        server.close()
        made.close()


@pytest.fixture
def gone(authority: CertificateAuthority, notary: HostileServer) -> HostileServer:
    """A server that asks, and cannot be asked for its keys."""
    made = HostileServer(authority, notary.victim)
    made.close()
    return made


def told_of(notary: HostileServer, gone: HostileServer, *, signs: bool = True, **changes: Any) -> dict[str, Any]:
    """A document of the keys of the server that is gone, as the notary tells it."""
    document = gone.key_document(**changes)
    return sign_json(document, notary.name, notary.key) if signs else document


def lies_about_keys(notary: HostileServer, gone: HostileServer) -> dict[str, Lie]:
    """What a notary may answer."""
    good = told_of(notary, gone)
    by_another = {**good, "signatures": {**good["signatures"], notary.name: {notary.key.key_id: "A" * 86}}}
    unsigned = {name: value for name, value in gone.key_document().items() if name != "signatures"}
    in_its_name = sign_json(gone.key_document(), notary.name, OTHER_KEY)
    documents: dict[str, Any] = {
        "what it has not signed": [told_of(notary, gone, signs=False)],
        "what it has signed wrongly": [by_another],
        "what it has signed by another key": [in_its_name],
        "what its server has not signed": [sign_json(unsigned, notary.name, notary.key)],
        "keys that have run out": [told_of(notary, gone, valid_until_ts=now_ms() - 1)],
        "keys of another server": [told_of(notary, gone, server_name="elsewhere.example")],
        "its own keys": [notary.key_document()],
        "garbage": [None, 1, [], {}, {"server_name": gone.name}, {"server_name": []}] * 100,
        "no list": {},
    }
    lies: dict[str, Lie] = {
        name: lambda _, told=told: {"server_keys": told}  # type: ignore[misc] # mypy cannot tell its type
        for name, told in documents.items()
    }
    return {**lies, "no object": lambda _: []}


@pytest.mark.parametrize(
    "name",
    [
        "what it has not signed",
        "what it has signed wrongly",
        "what it has signed by another key",
        "what its server has not signed",
        "keys that have run out",
        "keys of another server",
        "its own keys",
        "garbage",
        "no list",
        "no object",
    ],
)
def test_a_notary_that_lies_lets_nobody_in(notary: HostileServer, gone: HostileServer, name: str) -> None:
    notary.lies["key/query"] = lies_about_keys(notary, gone)[name]
    before = notary.times_asked("key/query")

    assert gone.ask("GET", "publicRooms")[0] == 401

    assert 0 < notary.times_asked("key/query") - before <= 2


def test_a_notary_that_tells_the_truth_lets_a_server_in(notary: HostileServer, gone: HostileServer) -> None:
    notary.lies["key/query"] = lambda _: {"server_keys": [told_of(notary, gone)]}

    assert gone.ask("GET", "publicRooms")[0] == 200


def test_a_notary_does_not_end_or_replace_the_keys_that_a_server_tells_of_itself(
    authority: CertificateAuthority, notary: HostileServer
) -> None:
    there = HostileServer(authority, notary.victim)
    try:
        assert there.ask("GET", "publicRooms")[0] == 200
        forged = {OTHER_KEY.key_id: {"key": OTHER_KEY.verify_key.to_base64()}}
        ended = {there.key.key_id: {"key": there.key.verify_key.to_base64(), "expired_ts": 1}}
        document = sign_json(
            {
                "server_name": there.name,
                "valid_until_ts": now_ms() + 3_600_000,
                "verify_keys": forged,
                "old_verify_keys": ended,
            },
            there.name,
            OTHER_KEY,
        )
        notary.lies["key/query"] = lambda _: {"server_keys": [sign_json(document, notary.name, notary.key)]}

        assert there.ask("GET", "publicRooms", key=OTHER_KEY)[0] == 401
        assert there.ask("GET", "publicRooms")[0] == 200
    finally:
        there.close()
