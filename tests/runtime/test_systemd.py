"""The service manager's socket."""

import os
import socket
from pathlib import Path

import pytest

from homeserver.runtime.systemd import notify


def test_a_service_manager_gets_the_message(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))

        heard = notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})

        assert heard
        assert manager.recv(100) == b"READY=1"


def test_a_service_manager_with_an_abstract_socket_gets_the_message() -> None:
    name = f"columba-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)

        assert notify("STOPPING=1", {"NOTIFY_SOCKET": "@" + name})
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nobody/listens/here"}])
def test_without_a_service_manager_nothing_happens(environment: dict[str, str]) -> None:
    assert not notify("READY=1", environment)
