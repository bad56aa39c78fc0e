"""The gates that need to know nothing."""

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import NotAsked
from homeserver.outbound.gate import Gate, OpenGate, ShutGate

SERVER = ServerName("example.org")


def test_an_open_gate_lets_through_even_those_that_failed() -> None:
    gate: Gate = OpenGate()

    gate.failed(SERVER)
    gate.succeeded(SERVER)

    gate.check(SERVER)


def test_a_shut_gate_lets_nobody_through() -> None:
    gate: Gate = ShutGate()

    gate.succeeded(SERVER)
    gate.failed(SERVER)

    with pytest.raises(NotAsked):
        gate.check(SERVER, ignores_backoff=True)
