"""The rooms of a sync: what each of them says, in the section where it appears.

Spec: client-server-api/#syncing. The parts of a room are in timelines.py, states.py, unread.py and ephemeral.py; which
rooms appear is decided in room_lists.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from homeserver.core.client_event import with_user_id
from homeserver.core.filters import EventFormat, projected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.relations import relation_of
from homeserver.core.sync_tokens import PaginationToken
from homeserver.services.events.client_format import NOTHING_RELATES, ClientFormat, Sight
from homeserver.services.events.news import ReceiptWritten, RoomWritten
from homeserver.services.rooms.aggregations import Aggregated, Aggregations, Onlooker
from homeserver.services.rooms.readers import is_member_event_of
from homeserver.services.sync.ephemeral import receipt_event, typing_event, wants
from homeserver.services.sync.request import NotInMemory, SyncRequest, Window
from homeserver.services.sync.states import StateQuestion, SyncStates
from homeserver.services.sync.summaries import Summary
from homeserver.services.sync.timelines import Timeline, TimelineQuestion, Timelines
from homeserver.services.sync.unread import Counts, Unread, shown
from homeserver.storage.account_data import AccountData
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, place_at
from homeserver.storage.receipts import Receipt


@dataclass(frozen=True, slots=True)
class RoomPart:
    """What is known to have happened in one room, before it is rendered.

    `before` is the state that the client has, None when it has none; `after` the state at the end of the window, or of
    the user's stay. `joined_from` and `member_upto` are as in TimelineQuestion. `events` are all events of the window,
    oldest first, or None: they are to be read. `written` are the changes they came with, when they come from memory.
    `has_gap`: what the client knows of the timeline does not reach up to the window. `departure` is the newest
    membership of a user who is out of the room.
    """

    room_id: RoomID
    window: Window
    position: int  # of the answer's token
    before: bytes | None
    after: bytes
    joined_from: int | None
    member_upto: int | None
    has_gap: bool = False
    events: Sequence[StoredEvent] | None = None
    written: Sequence[RoomWritten] = ()
    receipts: Sequence[Receipt | ReceiptWritten] = ()
    typing: Sequence[UserID] | None = None
    account_data: Sequence[AccountData] = ()
    summary: Summary | None = None
    unread: Counts | None = None
    departure: StoredEvent | None = None
    ignored: frozenset[str] = frozenset()


class SyncRooms:
    """Renders rooms."""

    def __init__(
        self,
        timelines: Timelines,
        states: SyncStates,
        unread: Unread,
        formats: ClientFormat,
        aggregations: Aggregations,
    ) -> None:
        self._timelines = timelines
        self._states = states
        self._unread = unread
        self._formats = formats
        self._aggregations = aggregations

    def joined(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> dict[str, Any] | None:
        """The room as `rooms.join` shows it, or None when there is nothing to say of it."""
        wanted = request.filter.room
        section, timeline = self._history(tx, request, part)
        ephemeral = []
        if part.receipts and wants(wanted.ephemeral, "m.receipt", part.room_id):
            event = receipt_event(part.receipts, request.viewer.user_id, part.ignored)
            ephemeral += [] if event is None else [event]
        if part.typing is not None and wants(wanted.ephemeral, "m.typing", part.room_id):
            ephemeral.append(typing_event([user_id for user_id in part.typing if user_id not in part.ignored]))
        account_data = _account_data(request, part)
        own_receipts = any(receipt.user_id == request.viewer.user_id for receipt in part.receipts)
        has_news = bool(section or ephemeral or account_data or own_receipts or part.summary)
        if not has_news and part.before is not None and not self._counts_moved(tx, request, part, timeline.hidden):
            return None
        _complete(request, part, section)
        if ephemeral or part.before is None:
            section["ephemeral"] = {"events": ephemeral}
        if account_data:
            section["account_data"] = {"events": account_data}
        if part.summary is not None:
            section["summary"] = part.summary.shown
        return {**section, **self._counts(request, part)}

    def left(self, tx: Transaction, request: SyncRequest, part: RoomPart) -> dict[str, Any]:
        """The room as `rooms.leave` shows it: up to when the user left."""
        section, _ = self._history(tx, request, part)
        _complete(request, part, section)
        account_data = _account_data(request, part)
        if account_data:
            section["account_data"] = {"events": account_data}
        return section

    def _history(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> tuple[dict[str, Any], Timeline]:
        """The timeline and state of the room, as shown; nothing at all when there is nothing new in either."""
        user_id, wanted = request.viewer.user_id, request.filter.room
        timeline = self._timeline(tx, request, part)
        events = [stored for stored, _ in timeline.events]
        root = part.after
        if not request.state_after and events and _was_member(part, events[0]):
            root = events[0].root_before or root
        question = StateQuestion(
            room_id=part.room_id,
            user_id=user_id,
            before=part.before,
            after=root,
            end=part.after,
            event_filter=wanted.state,
            timeline=() if request.state_after else events,
            # Who never was in the room is not shown who else is.
            senders=() if part.departure is not None and part.member_upto is None else timeline.senders,
            heroes=() if part.summary is None else part.summary.heroes or (),
            device=None if request.viewer.device_id is None else (user_id, request.viewer.device_id),
            position=part.position,
            is_over=part.departure is not None,
        )
        has_news = bool(timeline.events) or timeline.limited or part.before != part.after
        state = self._states.read(tx, question) if has_news or part.summary is not None else []
        if request.state_after and part.departure is not None:
            # The state of the user's stay may not have what ended it for good.
            state = [*(stored for stored in state if not is_member_event_of(stored.event, user_id)), part.departure]
        section: dict[str, Any] = {}
        if timeline.events or timeline.limited or part.before is None:
            section["timeline"] = self._shown_timeline(tx, request, part, timeline)
        if state:
            section["state_after" if request.state_after else "state"] = {
                "events": self._rendered(tx, request, part, state)
            }
        return section, timeline

    def _timeline(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> Timeline:
        question = TimelineQuestion(
            room_id=part.room_id,
            user_id=request.viewer.user_id,
            window=part.window,
            event_filter=request.filter.room.timeline,
            ignored=part.ignored,
            joined_from=part.joined_from,
            member_upto=part.member_upto,
        )
        if part.events is not None or tx is None:
            timeline = self._timelines.from_events(question, part.events or ())
        else:
            timeline = self._timelines.read(tx, question)
        if request.state_after or not timeline.events or part.departure is not None:
            return timeline
        events = [stored for stored, _ in timeline.events]
        first = self._states.first_to_show(tx, part.room_id, events, part.after)
        return timeline if first == 0 else replace(timeline, events=timeline.events[first:], limited=True)

    def _shown_timeline(
        self, tx: Transaction | None, request: SyncRequest, part: RoomPart, timeline: Timeline
    ) -> dict[str, Any]:
        events = [stored for stored, _ in timeline.events]
        memberships = {stored.event.event_id: membership for stored, membership in timeline.events}
        limited = timeline.limited or part.has_gap
        relations = self._relations(tx, request, part, events) if limited else NOTHING_RELATES
        shown_timeline: dict[str, Any] = {
            "events": self._rendered(tx, request, part, events, memberships, relations),
            "limited": limited,
        }
        place: int | None = None
        if events and events[0].place is not None:
            place = events[0].place - 1
        elif timeline.limited and part.events:
            place = part.events[-1].place
        elif tx is not None and (timeline.limited or part.before is None):
            place = place_at(tx, part.room_id, at=part.window.upto)
        if place is not None:
            shown_timeline["prev_batch"] = str(PaginationToken(place))
        return shown_timeline

    def _relations(
        self, tx: Transaction | None, request: SyncRequest, part: RoomPart, events: Sequence[StoredEvent]
    ) -> Aggregated:
        """What relates to the events of a timeline with a gap before it, in which there may be children of them."""
        if tx is None:
            # All that happened is at hand. What came before it, the client has been told.
            if any(relation_of(stored.event.content) is not None for stored in part.events or ()):
                raise NotInMemory
            return NOTHING_RELATES
        if part.member_upto is None:
            return NOTHING_RELATES
        sight = Sight(part.after, part.joined_from, part.member_upto)
        onlooker = Onlooker(request.viewer, part.room_id, sight, part.member_upto, part.ignored)
        return self._aggregations.of(tx, onlooker, events)

    def _rendered(
        self,
        tx: Transaction | None,
        request: SyncRequest,
        part: RoomPart,
        events: Sequence[StoredEvent],
        memberships: Mapping[Any, str] | None = None,  # by event ID
        relations: Aggregated = NOTHING_RELATES,
    ) -> list[Any]:
        """Any: fragments of JSON, or what a filter's event_fields leave of them."""
        rendered = self._formats.render(
            tx,
            events,
            request.viewer,
            with_room_id=request.is_old,
            memberships=memberships,
            for_federation=request.filter.event_format is EventFormat.FEDERATION,
            sight=Sight(part.after, part.joined_from, part.member_upto),
            relations=relations,
        )
        if request.is_old:
            return [in_old_form(fragment, stored) for fragment, stored in zip(rendered, events, strict=True)]
        fields = request.filter.event_fields
        if fields is None:
            return list(rendered)
        return [projected(orjson.loads(orjson.dumps(fragment)), fields) for fragment in rendered]

    def _counts_moved(
        self, tx: Transaction | None, request: SyncRequest, part: RoomPart, hidden: Sequence[StoredEvent]
    ) -> bool:
        """Whether events that a filter hides changed the unread counts."""
        user_id = request.viewer.user_id
        if any(stored.event.redacts is not None for stored in hidden):
            return True
        own = [stored for stored in hidden if stored.event.sender == user_id and stored.event.state_key is None]
        if any(self._unread.may_be_read_by(tx, user_id, part.room_id, stored) for stored in own):
            return True
        heard = [stored for stored in hidden if stored.event.sender not in (user_id, *part.ignored)]
        return bool(heard) and self._unread.is_notified(tx, user_id, part.room_id, heard, part.written)

    def _counts(self, request: SyncRequest, part: RoomPart) -> dict[str, object]:
        threads = part.unread
        if threads is None:
            threads = self._unread.from_memory(
                request.viewer.user_id, part.room_id, position=part.window.upto, ignored=part.ignored
            )
        return shown(threads, by_thread=request.filter.room.timeline.unread_thread_notifications)


def in_old_form(rendered: orjson.Fragment, stored: StoredEvent) -> orjson.Fragment:
    """A rendered event as clients look for it that do not know /sync."""
    return orjson.Fragment(with_user_id(orjson.dumps(rendered), stored.event.sender))


def _complete(request: SyncRequest, part: RoomPart, section: dict[str, Any]) -> None:
    """Add what a room has in every answer."""
    section.setdefault("timeline", {"events": [], "limited": False})
    if request.state_after:
        # Without it clients would take the state from the timeline.
        section.setdefault("state_after", {"events": []})
    elif part.before is None or part.departure is not None:
        section.setdefault("state", {"events": []})


def _account_data(request: SyncRequest, part: RoomPart) -> list[dict[str, Any]]:
    return [
        {"type": one.type, "content": orjson.Fragment(one.content)}
        for one in part.account_data
        if wants(request.filter.room.account_data, one.type, part.room_id)
    ]


def _was_member(part: RoomPart, first: StoredEvent) -> bool:
    """Whether the timeline begins while the user is in the room: the state after that is not the user's to see."""
    return part.departure is None or (part.member_upto is not None and (first.place or 0) <= part.member_upto)
