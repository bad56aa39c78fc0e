"""One request as it came in from the network, before anybody asked who sent it.

What a handler gets to see of it is endpoint.Request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.http.endpoint import Upload


@dataclass(slots=True)
class Arrival:
    """What was received. Written once, by whoever received it."""

    method: str
    uri: str  # path and query, as they were sent
    path: Mapping[str, str]  # the path's parameters, decoded and checked
    query: Mapping[str, list[str]]
    content: bytes | Upload
    authorization: Sequence[str]  # every Authorization header
    header: Callable[[str], str | None]
    client_ip: str
    by_owner: bool  # it came by a socket that only the server's owner can open
