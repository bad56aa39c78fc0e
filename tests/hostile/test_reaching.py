"""Administrators try to reach a server, which answers whatever it likes."""

import json
from typing import Any

import pytest

from tests.hostile.hostile_server import HEAD, HostileServer, Lie, Refusal, Stream, Victim, always, packed, without_end
from tests.tls import CertificateAuthority

# Any: JSON.


def steps(victim: Victim, name: str) -> tuple[int, dict[str, Any]]:
    """How the command ends, and what it says of each step."""
    done = victim.server.command("admin", "federation", "test", name, "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {step["name"]: (step["is_ok"], step["told"]) for step in found}


def test_a_server_that_tells_its_keys_and_not_its_version_is_reached(victim: Victim, evil: HostileServer) -> None:
    evil.lies["version"] = always({"server": {"name": "evil\x1b[31m", "version": "9"}})

    code, found = steps(victim, evil.name)

    assert code == 0
    assert found["connection"][1].startswith("the certificate is valid until ")
    assert found["keys"][1].startswith("ed25519:evil, valid until ")
    assert found["version"] == (True, "evil\x1b[31m 9")
    plain = victim.server.command("admin", "federation", "test", evil.name).stdout
    assert r"version: ok: evil\u001b[31m 9" in plain
    assert "\x1b" not in plain


LIES: dict[str, Lie] = {
    "keys of another": lambda asked: {**asked.honest, "server_name": "other.example"},
    "no keys": lambda asked: {**asked.honest, "verify_keys": {}},
    "nothing": always(None),
    "a list": always([]),
    "a refusal": always(Refusal(500, "M_UNKNOWN")),
    "something compressed": always(packed(b"{}")),
    "no end": always(Stream(without_end(HEAD + b"\r\n", b" "))),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_server_lies_of_its_keys_is_said_to_be_wrong(victim: Victim, evil: HostileServer, lie: str) -> None:
    evil.lies["key/server"] = LIES[lie]
    evil.lies["version"] = always({})

    code, found = steps(victim, evil.name)

    assert code == 1
    assert (found["connection"][0], found["keys"][0]) == (True, False)
    assert victim.rows("server_keys", server_name=evil.name) == 0


def test_a_server_that_is_gone_is_said_to_be(victim: Victim, authority: CertificateAuthority) -> None:
    gone = HostileServer(authority, victim.server, "127.0.0.67")
    gone.close()

    code, found = steps(victim, gone.name)

    assert code == 1
    assert found["connection"][0] is False
    assert "keys" not in found


def test_this_server_does_not_test_itself(victim: Victim) -> None:
    done = victim.server.command("admin", "federation", "test", victim.server.server_name)

    assert done.returncode == 1
    assert "have another one test it" in done.stderr
