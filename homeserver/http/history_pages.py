"""Parts of a room's history as its readers and administrators both ask for them, and as both are answered."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from homeserver.http.endpoint import OpaqueObject
from homeserver.services.rooms.timeline import Context, Page


class HistoryAnswer(TypedDict):
    """Events, and between which places of the history they are; no `end` where there are no more.

    `state` is what a reader has to know of the senders.
    """

    chunk: Sequence[OpaqueObject]
    start: str
    end: NotRequired[str]
    state: NotRequired[Sequence[OpaqueObject]]


class ContextAnswer(TypedDict):
    """An event, those before it (the newest first) and after it, and the state at the last of them."""

    event: OpaqueObject
    events_before: Sequence[OpaqueObject]
    events_after: Sequence[OpaqueObject]
    start: str
    end: str
    state: Sequence[OpaqueObject]


def history_answer(page: Page) -> HistoryAnswer:
    """A page."""
    answer: HistoryAnswer = {"chunk": page.chunk, "start": page.start}
    if page.end is not None:
        answer["end"] = page.end
    if page.state:
        answer["state"] = page.state
    return answer


def context_answer(context: Context) -> ContextAnswer:
    """An event and what is around it."""
    return {
        "event": context.event,
        "events_before": context.before,
        "events_after": context.after,
        "start": context.start,
        "end": context.end,
        "state": context.state,
    }
