"""The tokens that clients hand back: where a sync or a search continues, and a place in a room's history.

Spec: client-server-api/#get_matrixclientv3sync, client-server-api/#pagination
"""

import re
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadToken
from homeserver.core.unpadded_base64 import decode_base64_urlsafe, encode_base64_urlsafe

_NUMBER: Final = "(0|[1-9][0-9]{0,18})"
_EPOCH: Final = "([A-Za-z0-9_-]{1,32})"
_SYNC_TOKEN: Final = re.compile(rf"s{_NUMBER}\.{_NUMBER}\.{_EPOCH}\.{_NUMBER}")
_PAGINATION_TOKEN: Final = re.compile(rf"p(-?){_NUMBER}")
_SEARCH_TOKEN: Final = re.compile(rf"f(-?){_NUMBER}\.{_NUMBER}(?:\.([A-Za-z0-9_-]{{1,400}}))?")
_NOTIFICATION_TOKEN: Final = re.compile(rf"n{_NUMBER}")
_LIMIT: Final = 2**63


@dataclass(frozen=True, slots=True)
class SyncToken:
    """All that a client has seen. The letter of its text is the version of this vector."""

    position: int  # of the change log
    to_device: int  # acknowledged to-device messages; lags behind `position` while pages of them are left
    epoch: str  # the boot that `serial` belongs to: of another one, nothing ephemeral has been seen
    serial: int  # of typing and presence, which live in memory

    def __str__(self) -> str:
        """The token as clients hold it: ASCII that needs no escape in a URL."""
        return f"s{self.position}.{self.to_device}.{self.epoch}.{self.serial}"


@dataclass(frozen=True, slots=True)
class PaginationToken:
    """The gap just after `place` in a room's own order.

    Backwards from it are the events with a place up to and including that one, forwards those with a greater place.
    Places of backfilled history may be negative.
    """

    place: int

    def __str__(self) -> str:
        """The token as clients hold it: ASCII that needs no escape in a URL."""
        return f"p{self.place}"


@dataclass(frozen=True, slots=True)
class SearchToken:
    """What was seen of the results of a search: `seen` of them, those looked at have numbers from `before` on.

    `group` is the room or sender to whose results the search is narrowed down from here on.
    """

    before: int
    seen: int
    group: str | None = None

    def __str__(self) -> str:
        """The token as clients hold it: ASCII that needs no escape in a URL."""
        group = "" if self.group is None else f".{encode_base64_urlsafe(self.group.encode())}"
        return f"f{self.before}.{self.seen}{group}"


def parse_sync_token(text: str) -> SyncToken:
    """The token that `text` is. Raises BadToken."""
    match = _SYNC_TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("not a token of a sync on this server")
    return SyncToken(_number(match[1]), _number(match[2]), match[3], _number(match[4]))


def parse_pagination_token(text: str) -> PaginationToken:
    """The token that `text` is. Raises BadToken."""
    match = _PAGINATION_TOKEN.fullmatch(text)
    if match is None or match[0] == "p-0":
        raise BadToken("not a token of a room's history on this server")
    place = _number(match[2])
    return PaginationToken(-place if match[1] else place)


def parse_search_token(text: str) -> SearchToken:
    """The token that `text` is. Raises BadToken."""
    match = _SEARCH_TOKEN.fullmatch(text)
    group = None if match is None or match[4] is None else decode_base64_urlsafe(match[4])
    if match is None or (match[4] is not None and group is None):
        raise BadToken("not a token of a search on this server")
    before = _number(match[2])
    try:
        name = None if group is None else group.decode()
    except UnicodeDecodeError:
        raise BadToken("not a token of a search on this server") from None
    return SearchToken(-before if match[1] else before, _number(match[3]), name)


@dataclass(frozen=True, slots=True)
class NotificationToken:
    """What was seen of a user's notifications: those of events from a position of the log on."""

    before: int

    def __str__(self) -> str:
        """The token as clients hold it: ASCII that needs no escape in a URL."""
        return f"n{self.before}"


def parse_notification_token(text: str) -> NotificationToken:
    """The token that `text` is. Raises BadToken."""
    match = _NOTIFICATION_TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("not a token of notifications on this server")
    return NotificationToken(_number(match[1]))


def parse_token(text: str) -> SyncToken | PaginationToken:
    """The token that `text` is, of either type: for endpoints that take both. Raises BadToken."""
    return parse_sync_token(text) if text.startswith("s") else parse_pagination_token(text)


def _number(digits: str) -> int:
    number = int(digits)
    if number >= _LIMIT:
        raise BadToken("the token's number is too large")
    return number
