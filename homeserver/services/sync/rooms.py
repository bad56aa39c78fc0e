"""The rooms of a sync: which appear, in which section, and what each of them says.

Spec: client-server-api/#syncing. The parts of a room are in timelines.py, states.py, unread.py and ephemeral.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.core.filters import EventFormat, projected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.sync_tokens import PaginationToken
from homeserver.services.events.client_format import ClientFormat
from homeserver.services.events.news import ReceiptWritten, RoomWritten
from homeserver.services.sync.ephemeral import receipt_event, typing_event, wants
from homeserver.services.sync.request import SyncRequest, Window
from homeserver.services.sync.states import StateQuestion, SyncStates
from homeserver.services.sync.summaries import Summary
from homeserver.services.sync.timelines import Timeline, TimelineQuestion, Timelines
from homeserver.services.sync.unread import Unread, shown
from homeserver.storage.account_data import AccountData
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, place_at
from homeserver.storage.receipts import Receipt


@dataclass(frozen=True, slots=True)
class RoomPart:
    """What is known to have happened in one joined room, before it is rendered.

    `before` is the state that the client has, None when it has none; `after` the state at the end of the window.
    `events` are all events of the window, oldest first, or None: they are to be read. `written` are the changes they
    came with, when they come from memory.
    """

    room_id: RoomID
    window: Window
    before: bytes | None
    after: bytes
    joined_throughout: bool
    is_member: bool = True
    events: Sequence[StoredEvent] | None = None
    written: Sequence[RoomWritten] = ()
    receipts: Sequence[Receipt | ReceiptWritten] = ()
    typing: Sequence[UserID] | None = None
    account_data: Sequence[AccountData] = ()
    summary: Summary | None = None
    ignored: Collection[str] = field(default=frozenset())


class SyncRooms:
    """Renders rooms."""

    def __init__(
        self,
        timelines: Timelines,
        states: SyncStates,
        unread: Unread,
        formats: ClientFormat,
    ) -> None:
        self._timelines = timelines
        self._states = states
        self._unread = unread
        self._formats = formats

    def joined(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> dict[str, Any] | None:
        """The room as `rooms.join` shows it, or None when there is nothing to say of it."""
        wanted = request.filter.room
        section = self._history(tx, request, part)
        ephemeral = []
        if part.receipts and wants(wanted.ephemeral, "m.receipt", part.room_id):
            event = receipt_event(part.receipts, request.viewer.user_id, part.ignored)
            ephemeral += [] if event is None else [event]
        if part.typing is not None and wants(wanted.ephemeral, "m.typing", part.room_id):
            ephemeral.append(typing_event([user_id for user_id in part.typing if user_id not in part.ignored]))
        account_data = [
            {"type": one.type, "content": orjson.Fragment(one.content)}
            for one in part.account_data
            if wants(wanted.account_data, one.type, part.room_id)
        ]
        own_receipts = any(receipt.user_id == request.viewer.user_id for receipt in part.receipts)
        has_news = bool(section or ephemeral or account_data or own_receipts or part.summary)
        if not has_news and part.before is not None:
            return None
        section.setdefault("timeline", {"events": [], "limited": False})
        if ephemeral:
            section["ephemeral"] = {"events": ephemeral}
        if account_data:
            section["account_data"] = {"events": account_data}
        if part.summary is not None:
            section["summary"] = part.summary.shown
        return {**section, **self._counts(tx, request, part)}

    def left(self, tx: Transaction, request: SyncRequest, part: RoomPart) -> dict[str, Any]:
        """The room as `rooms.leave` shows it: up to when the user left."""
        section = self._history(tx, request, part)
        section.setdefault("timeline", {"events": [], "limited": False})
        return section

    def _history(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> dict[str, Any]:
        """The timeline and state of the room; nothing at all when there is nothing new in either."""
        user_id, wanted = request.viewer.user_id, request.filter.room
        timeline = self._timeline(tx, request, part)
        root = part.after
        if not request.state_after and timeline.events:
            root = timeline.events[0][0].root_before or root
        question = StateQuestion(
            room_id=part.room_id,
            user_id=user_id,
            before=part.before,
            after=root,
            event_filter=wanted.state,
            senders=timeline.senders,
            heroes=() if part.summary is None else part.summary.heroes,
            device=None if request.viewer.device_id is None else (user_id, request.viewer.device_id),
            since=0 if request.since is None or request.full_state else request.since.position,
            upto=part.window.upto,
        )
        has_news = bool(timeline.events) or timeline.limited or part.before != root
        state = self._states.read(tx, question) if has_news or part.summary is not None else []
        section: dict[str, Any] = {}
        if timeline.events or timeline.limited or part.before is None:
            section["timeline"] = self._shown_timeline(tx, request, part, timeline)
        if state or request.state_after or part.before is None:
            events = self._rendered(tx, request, state)
            if events or part.before is None or "timeline" in section:
                section["state_after" if request.state_after else "state"] = {"events": events}
        return section

    def _timeline(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> Timeline:
        question = TimelineQuestion(
            room_id=part.room_id,
            user_id=request.viewer.user_id,
            window=part.window,
            event_filter=request.filter.room.timeline,
            ignored=part.ignored,
            joined_throughout=part.joined_throughout,
            is_member=part.is_member,
        )
        if part.events is not None or tx is None:
            return self._timelines.from_events(question, part.events or ())
        return self._timelines.read(tx, question)

    def _shown_timeline(
        self, tx: Transaction | None, request: SyncRequest, part: RoomPart, timeline: Timeline
    ) -> dict[str, Any]:
        events = [stored for stored, _ in timeline.events]
        memberships = {stored.event.event_id: membership for stored, membership in timeline.events}
        shown_timeline: dict[str, Any] = {
            "events": self._rendered(tx, request, events, memberships),
            "limited": timeline.limited,
        }
        if events:
            shown_timeline["prev_batch"] = str(PaginationToken((events[0].place or 0) - 1))
        elif timeline.limited and tx is not None:
            place = place_at(tx, part.room_id, at=part.window.upto)
            if place is not None:
                shown_timeline["prev_batch"] = str(PaginationToken(place))
        return shown_timeline

    def _rendered(
        self,
        tx: Transaction | None,
        request: SyncRequest,
        events: Sequence[StoredEvent],
        memberships: Mapping[Any, str] | None = None,  # by event ID
    ) -> list[Any]:
        """Any: fragments of JSON, or what a filter's event_fields leave of them."""
        rendered = self._formats.render(
            tx,
            events,
            request.viewer,
            with_room_id=False,
            memberships=memberships,
            for_federation=request.filter.event_format is EventFormat.FEDERATION,
        )
        fields = request.filter.event_fields
        if fields is None:
            return list(rendered)
        return [projected(orjson.loads(orjson.dumps(fragment)), fields) for fragment in rendered]

    def _counts(self, tx: Transaction | None, request: SyncRequest, part: RoomPart) -> dict[str, object]:
        user_id = request.viewer.user_id
        if tx is not None:
            threads = self._unread.read(tx, user_id, part.room_id, position=part.window.upto)
        else:
            threads = self._unread.from_changes(
                user_id, part.room_id, part.written, after=part.window.after or 0, position=part.window.upto
            )
        return shown(threads, by_thread=request.filter.room.timeline.unread_thread_notifications)
