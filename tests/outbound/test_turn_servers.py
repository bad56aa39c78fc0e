"""Whether a TURN server answers."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from homeserver.outbound.turn_servers import find_turn_problem


def success(request: bytes) -> bytes:
    return b"\x01\x01" + request[2:20]


@contextmanager
def listening(kind: int, answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Somebody who answers once; at which port."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))

        def serve_datagram() -> None:
            request, place = server.recvfrom(2_048)
            server.sendto(answer(request), place)

        def serve_stream() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer(connection.recv(2_048)))

        if kind == socket.SOCK_STREAM:
            server.listen()
        thread = Thread(target=serve_stream if kind == socket.SOCK_STREAM else serve_datagram, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(("kind", "transport"), [(socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")])
def test_a_server_that_answers_is_well(kind: int, transport: str) -> None:
    with listening(kind, success) as port:
        assert find_turn_problem(f"turn:127.0.0.1:{port}?transport={transport}") is None


def test_what_answers_something_else_is_no_turn_server() -> None:
    with listening(socket.SOCK_DGRAM, lambda _: b"hello") as port:
        assert find_turn_problem(f"turn:127.0.0.1:{port}") == "what answers there is no TURN server"


@pytest.mark.parametrize("uri", ["turn:", "turns:127.0.0.1:1", "turn:127.0.0.1:0", "http://a", "turn:no.invalid"])
def test_what_cannot_be_reached_is_told(uri: str) -> None:
    assert find_turn_problem(uri, timeout_s=1.0)
