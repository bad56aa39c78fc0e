"""Administration: what endpoints of several families answer. What those of one do is declared beside them."""

from typing import TypedDict


class EventAnswer(TypedDict):
    """The ID of the event that was sent."""

    event_id: str
