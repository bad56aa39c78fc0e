"""The public directories of other servers: asked for a user, and passed on as far as they are what they should be.

Spec: server-server-api/#public-room-directory. This server's own is in directory.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, parse_room_alias, parse_room_id, parse_server_name
from homeserver.outbound.federation_client import FederationClient
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.directory import MOST_ROOMS, DirectoryPage
from homeserver.services.rooms.several_servers import first_answer

# JSON of other servers is `Any` in this file.

TIMEOUT_S: Final = 20.0
MOST_BYTES: Final = 4 << 20
LONGEST_TOKEN: Final = 1_024
LONGEST_TEXT: Final = 10_000
TEXTS: Final = ("name", "topic", "avatar_url", "join_rule", "room_type", "room_version", "encryption")


class RemoteDirectory:
    """The rooms that other servers show to everybody."""

    def __init__(self, client: FederationClient) -> None:
        self._client = client

    async def search(
        self,
        server: str,
        *,
        term: str | None = None,
        room_types: Sequence[str | None] | None = None,
        limit: int | None = None,
        since: str | None = None,
    ) -> DirectoryPage:
        """A page of a server's directory, as RoomDirectory.search gives one of this server's.

        Raises InvalidParameter, NotFound, Forbidden, RemoteFailed.
        """
        if since is not None and len(since) > LONGEST_TOKEN:
            raise InvalidParameter("This token is not from the directory")
        wanted = {"generic_search_term": term, "room_types": None if room_types is None else list(room_types)}
        search = {name: value for name, value in wanted.items() if value is not None}
        most = min(limit or MOST_ROOMS, MOST_ROOMS)

        async def ask(name: ServerName) -> dict[str, Any]:
            return await self._client.public_rooms(
                name,
                limit=most,
                since=since,
                search=search or None,
                ignores_backoff=True,
                timeout_s=TIMEOUT_S,
                most_bytes=MOST_BYTES,
            )

        answer = await first_answer([_server(server)], ask)
        chunk = [shown for one in answer["chunk"][:most] if (shown := room_as_told(one)) is not None]
        total = answer.get("total_room_count_estimate")
        return DirectoryPage(
            chunk=chunk,
            next_batch=_token(answer.get("next_batch")),
            prev_batch=_token(answer.get("prev_batch")),
            total=total if type(total) is int and 0 <= total < 2**53 else len(chunk),
        )


def _server(name: str) -> ServerName:
    try:
        return parse_server_name(name)
    except BadIdentifier as bad:
        raise InvalidParameter(f"server: {bad.reason}") from bad


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_TOKEN else None


def room_as_told(one: object) -> Mapping[str, Any] | None:
    """Another server's description of a room as clients may rely on it; None for what is no room."""
    if not isinstance(one, dict):
        return None
    members = one.get("num_joined_members")
    try:
        shown: dict[str, Any] = {"room_id": parse_room_id(_text(one, "room_id") or "")}
    except BadIdentifier:
        return None
    shown["num_joined_members"] = members if type(members) is int and 0 <= members < 2**53 else 0
    shown["world_readable"] = one.get("world_readable") is True
    shown["guest_can_join"] = one.get("guest_can_join") is True
    for name in TEXTS:
        text = _text(one, name)
        if text is not None:
            shown[name] = text
    with suppress(BadIdentifier):
        shown["canonical_alias"] = parse_room_alias(_text(one, "canonical_alias") or "")
    return shown


def _text(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name)
    return value if isinstance(value, str) and value and len(value) <= LONGEST_TEXT else None
