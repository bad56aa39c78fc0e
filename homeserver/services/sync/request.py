"""What a sync asks for, and the words in which its sections speak of time."""

from dataclasses import dataclass
from typing import Any

from homeserver.core.filters import DEFAULT_FILTER, Filter
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.client_format import Viewer


class NotInMemory(Exception):  # noqa: N818 - a question, not an error: ask again with a transaction
    """What is in memory does not suffice for this answer."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """One call of /sync. `since` is None for an initial sync."""

    viewer: Viewer
    since: SyncToken | None = None
    filter: Filter = DEFAULT_FILTER
    full_state: bool = False
    state_after: bool = False  # the state at the end of the timeline is wanted, not that before it
    timeout_ms: int = 0
    is_old: bool = False  # events are shown as before there was /sync: with their rooms, and senders' other name


@dataclass(frozen=True, slots=True)
class Window:
    """The log positions that an answer covers: after `after`, up to and with `upto`. None: from the beginning."""

    after: int | None
    upto: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. Any: JSON and fragments of it. An empty one tells a client nothing but its next token."""

    body: dict[str, Any]
    next_batch: SyncToken
    is_empty: bool
