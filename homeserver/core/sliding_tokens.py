"""The tokens of sliding sync: what of a user's rooms a client has seen by one of its connections.

Spec: MSC4186 (`pos`). Those of /sync and of a room's history are in sync_tokens.py.
"""

import re
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadToken

_NUMBER: Final = "(0|[1-9][0-9]{0,17})"
_TOKEN: Final = re.compile(rf"w{_NUMBER}\.{_NUMBER}\.{_NUMBER}\.([A-Za-z0-9_-]{{1,32}})\.{_NUMBER}\.{_NUMBER}")
_TO_DEVICE_TOKEN: Final = re.compile(rf"d{_NUMBER}")
_THREAD_SUBSCRIPTIONS_TOKEN: Final = re.compile(rf"t{_NUMBER}")


@dataclass(frozen=True, slots=True)
class SlidingToken:
    """What a client has with one answer. The letter of its text is the version of this vector."""

    position: int  # of the change log
    connection: int  # 0: nothing was told of any room
    number: int  # of the answer that told of something else than what had been told before
    epoch: str  # the boot that the other two belong to
    serial: int  # of typing, which lives in memory
    answer: int  # which members were told lives in memory, by the answer that told of them

    def __str__(self) -> str:
        """The token as clients hold it: ASCII that needs no escape in a URL."""
        return f"w{self.position}.{self.connection}.{self.number}.{self.epoch}.{self.serial}.{self.answer}"


def parse_sliding_token(text: str) -> SlidingToken:
    """The token that `text` is. Raises BadToken."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("not a token of a sliding sync on this server")
    position, connection, number, serial, answer = (int(match[group]) for group in (1, 2, 3, 5, 6))
    return SlidingToken(position, connection, number, match[4], serial, answer)


def to_device_token(position: int) -> str:
    """Up to where a client has its to-device messages."""
    return f"d{position}"


def parse_to_device_token(text: str) -> int:
    """The position that such a token says. Raises BadToken."""
    match = _TO_DEVICE_TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("not a token of to-device messages on this server")
    return int(match[1])


def thread_subscriptions_token(position: int) -> str:
    """From where down the changes of subscriptions to threads are left that a client was not told of. Spec: MSC4308"""
    return f"t{position}"


def parse_thread_subscriptions_token(text: str) -> int:
    """The position that such a token says, or the one of a whole sliding sync. Raises BadToken."""
    if text.startswith("w"):
        return parse_sliding_token(text).position
    match = _THREAD_SUBSCRIPTIONS_TOKEN.fullmatch(text)
    if match is None:
        raise BadToken("not a token of subscriptions to threads on this server")
    return int(match[1])
