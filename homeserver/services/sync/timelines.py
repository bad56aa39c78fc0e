"""The timeline of one room in a sync: its newest events that the user may see and wants to.

Spec: client-server-api/#syncing. What the state was before it is in states.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.readers import Readers, is_member_event_of
from homeserver.services.sync.request import NotInMemory, Window
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.relations import relations_to

DEFAULT_LIMIT: Final = 10
MOST_PAGES: Final = 10  # read for one room when filters leave little; then the timeline is limited
FILTERED_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events, oldest first, each with the user's membership at it. `limited`: there are more before them.

    `hidden` are events of the window that were looked at and are not shown, because a filter leaves them out.
    """

    events: Sequence[tuple[StoredEvent, str]]
    limited: bool
    hidden: Sequence[StoredEvent] = ()

    @property
    def senders(self) -> set[str]:
        """Whose member events a lazily loading client needs."""
        return {stored.event.sender for stored, _ in self.events}


@dataclass(frozen=True, slots=True)
class TimelineQuestion:
    """Which part of a room's history is wanted, and by whom.

    From the place `joined_from` on the user was joined all the time, and may see everything; before it, or everywhere
    when it is None, history visibility decides. Up to the place `member_upto` shared history is open to the user.
    """

    room_id: RoomID
    user_id: UserID
    window: Window
    event_filter: RoomEventFilter
    ignored: Collection[str]
    joined_from: int | None
    member_upto: int | None


class Timelines:
    """Reads timelines."""

    def __init__(self, readers: Readers, states: RoomStates) -> None:
        self._readers = readers
        self._states = states

    def from_events(self, question: TimelineQuestion, events: Sequence[StoredEvent]) -> Timeline:
        """The timeline when `events` are all that happened in the window, oldest first, and the user may see them."""
        if question.event_filter.needs_relations:
            raise NotInMemory
        limit = _limit(question.event_filter)
        wanted = [stored for stored in self._readers.that_count(None, events) if self._is_wanted(question, stored, ())]
        kept = {stored.nid for stored in wanted}
        hidden = () if len(wanted) == len(events) else [stored for stored in events if stored.nid not in kept]
        newest = wanted[max(0, len(wanted) - limit) :] if limit else []
        shown = [(stored, _own_membership(stored, question.user_id)) for stored in newest]
        return Timeline(shown, limited=len(wanted) > limit, hidden=hidden)

    def read(self, tx: Transaction, question: TimelineQuestion) -> Timeline:
        """The timeline as the database has it."""
        limit = _limit(question.event_filter)
        after = -1 if question.window.after is None else question.window.after
        upto, has_more = question.window.upto, True
        least = 1 if question.event_filter.is_default and question.joined_from is not None else FILTERED_PAGE
        newest_first: list[tuple[StoredEvent, str]] = []
        hidden: list[StoredEvent] = []
        for _ in range(MOST_PAGES):
            asked = max(limit - len(newest_first) + 1, least)
            page = self._states.news(tx, question.room_id, after=after, upto=upto, limit=asked)
            wanted = self._wanted(tx, question, page)
            kept = {stored.nid for stored in wanted}
            hidden += [stored for stored in page if stored.nid not in kept]
            newest_first += self._visible(tx, question, wanted)
            has_more = len(page) == asked
            if not has_more or len(newest_first) > limit:
                break
            upto = (page[-1].log_position or 0) - 1
        limited = has_more or len(newest_first) > limit
        return Timeline(newest_first[:limit][::-1], limited=limited, hidden=hidden[::-1])

    def shown(
        self, tx: Transaction, question: TimelineQuestion, events: Sequence[StoredEvent]
    ) -> list[tuple[StoredEvent, str]]:
        """Those of some events of the room that belong into its timeline, in the same order."""
        return self._visible(tx, question, self._wanted(tx, question, events))

    def _wanted(self, tx: Transaction, question: TimelineQuestion, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        children = {}
        if question.event_filter.needs_relations:
            children = relations_to(tx, question.room_id, [stored.event.event_id for stored in events])
        return [
            stored for stored in events if self._is_wanted(question, stored, children.get(stored.event.event_id, ()))
        ]

    def _visible(
        self, tx: Transaction, question: TimelineQuestion, wanted: Sequence[StoredEvent]
    ) -> list[tuple[StoredEvent, str]]:
        visible = self._readers.visible(
            tx,
            question.room_id,
            question.user_id,
            wanted,
            joined_from=question.joined_from,
            member_upto=question.member_upto,
        )
        if len(visible) == len(wanted):
            return visible
        seen = {stored.nid: (stored, membership) for stored, membership in visible}
        return [
            seen.get(stored.nid) or (stored, _own_membership(stored, question.user_id))
            for stored in wanted
            # Who is out of the room is always told how that came: removed, or an invite taken back.
            if stored.nid in seen
            or (question.joined_from is None and is_member_event_of(stored.event, question.user_id))
        ]

    @staticmethod
    def _is_wanted(question: TimelineQuestion, stored: StoredEvent, children: Collection[tuple[str, str]]) -> bool:
        event = stored.event
        if event.sender in question.ignored and event.state_key is None:
            return False
        return question.event_filter.is_default or question.event_filter.matches(
            event_type=event.type,
            sender=event.sender,
            room_id=event.room_id,
            has_url="url" in event.content,
            children=children,
        )


def _own_membership(stored: StoredEvent, user_id: UserID) -> str:
    """The membership at an event of somebody who was joined, or whose membership the event sets."""
    if not is_member_event_of(stored.event, user_id):
        return "join"
    return str(stored.event.content.get("membership", "leave"))


def _limit(event_filter: RoomEventFilter) -> int:
    return DEFAULT_LIMIT if event_filter.limit is None else event_filter.limit
