"""Whether a TURN server answers: by a STUN binding request, which needs no password. Spec: RFC 8489, RFC 7065

The address is the administrator's own choice, from the configuration: it may be a private one.
"""

import re
import secrets
import socket
from typing import Final

TIMEOUT_S: Final = 3.0
ANSWER_BYTES: Final = 20  # the header of a STUN message
MAGIC: Final = 0x2112A442
BINDING_REQUEST: Final = 0x0001
BINDING_ANSWERS: Final = (0x0101, 0x0111)  # success, error: both say that there is somebody

_URI: Final = re.compile(r"(turns?):(\[[0-9A-Fa-f:.]+\]|[^:?\[\]]+)(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?")


def find_turn_problem(uri: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """Why no TURN server answers at a URI, or None when one does. Blocks for at most twice `timeout_s`.

    Of turns: only that something listens is found out.
    """
    read = _URI.fullmatch(uri)
    if read is None:
        return "this is no address of a TURN server"
    scheme, host, given_port, transport = read.groups()
    port = int(given_port) if given_port else (5349 if scheme == "turns" else 3478)
    if not 0 < port < 65_536:
        return "there is no such port"
    is_stream = scheme == "turns" or transport == "tcp"
    kind = socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM
    try:
        family, _, _, _, place = socket.getaddrinfo(host.strip("[]"), port, type=kind)[0]
        with socket.socket(family, kind) as connection:
            connection.settimeout(timeout_s)
            connection.connect(place)
            return None if scheme == "turns" else _ask(connection)
    except (OSError, UnicodeError) as problem:
        return f"{problem}" or type(problem).__name__


def _ask(connection: socket.socket) -> str | None:
    name = secrets.token_bytes(12)
    request = BINDING_REQUEST.to_bytes(2, "big") + bytes(2) + MAGIC.to_bytes(4, "big") + name
    connection.send(request)
    answer = connection.recv(2_048)
    is_answer = len(answer) >= ANSWER_BYTES and int.from_bytes(answer[:2], "big") in BINDING_ANSWERS
    return None if is_answer and answer[8:20] == name else "what answers there is no TURN server"
