"""What sliding sync tells beside the rooms: of the device, of account data, of receipts and typing in rooms in sight.

Spec: MSC4186, with MSC3884 (e2ee), MSC3885 (to_device), MSC3959 (account_data), MSC3960 (receipts), MSC3961 (typing),
MSC4308 (thread_subscriptions, by the name that it has before it is in the specification).
Each extension is one function; a new one is a line in `read`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import rule_set, rule_set_to_json
from homeserver.core.sliding_tokens import to_device_token
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.news import Change, ReceiptWritten, RoomBecameWhole, RoomWritten
from homeserver.services.rooms.thread_subscriptions import MOST_CHANGES, SubscriptionChanges, read_changes
from homeserver.services.sync.device_parts import PAGE, DeviceParts
from homeserver.services.sync.ephemeral import receipt_event, typing_event
from homeserver.services.sync.request import SyncRequest, Window
from homeserver.services.sync.sliding_request import Scope, SlidingRequest
from homeserver.storage.account_data import AccountData, account_data_of, account_data_since
from homeserver.storage.database import Transaction
from homeserver.storage.push_rules import find_rule_changes, have_rules_changed
from homeserver.storage.receipts import Receipt, receipts_for_events

PUSH_RULES: Final = "m.push_rules"
THREAD_SUBSCRIPTIONS: Final = "io.element.msc4308.thread_subscriptions"
Body = dict[str, Any]  # Any: JSON
_Part = tuple[Body, bool, Body]  # as shown, whether it has news, as shown without


@dataclass(frozen=True, slots=True)
class ExtensionQuestion:
    """What is told of rooms in sight, and since when.

    `live` are the rooms of which the client knows all up to its token; `returned`, each with the log position up to
    which it knew them, those that were out of sight since; `fresh` are new to it, each with the events that it is
    shown. `joined` are those of them that the user is in. `receipts` are what moved in the first two, since their
    positions. `changes` are all that was written for the user in the window, None: memory does not say.
    """

    window: Window
    by_list: Mapping[str, Collection[RoomID]]
    subscriptions: Collection[RoomID]
    joined: Collection[RoomID]
    live: Collection[RoomID]
    returned: Mapping[RoomID, int]
    fresh: Mapping[RoomID, Collection[str]]
    receipts: Sequence[Receipt | ReceiptWritten]
    typing: Mapping[RoomID, Sequence[UserID]]
    typing_anywhere: Mapping[RoomID, Sequence[UserID]]
    ignored: Collection[str]
    changes: Sequence[Change] | None = None

    def in_scope(self, scope: Scope) -> set[RoomID]:
        """The rooms in sight that an extension is wanted for."""
        lists = self.by_list if scope.lists is None else [name for name in scope.lists if name in self.by_list]
        rooms = {room_id for name in lists for room_id in self.by_list[name]}
        return rooms | {room_id for room_id in self.subscriptions if scope.rooms is None or room_id in scope.rooms}


@dataclass(frozen=True, slots=True)
class ExtensionsPart:
    """The extensions as shown; whether any of them says something new; how they are shown when none does."""

    shown: Body
    has_news: bool
    quiet: Body


class SlidingExtensions:
    """Reads extensions."""

    def __init__(self, devices: DeviceParts) -> None:
        self._devices = devices

    def read(self, tx: Transaction | None, request: SlidingRequest, asked: ExtensionQuestion) -> ExtensionsPart:
        """The extensions that the request asks for.

        Without `tx` no room is new to the client or was out of its sight, and `asked.changes`, which are known, have
        neither account data nor subscriptions. Raises NotInMemory when memory does not suffice then.
        """
        parts = {
            "to_device": self._to_device(tx, request, asked),
            "e2ee": self._e2ee(tx, request, asked),
            "account_data": _account_data(tx, request, asked),
            "receipts": _receipts(tx, request, asked),
            "typing": _typing(request, asked),
            THREAD_SUBSCRIPTIONS: _thread_subscriptions(tx, request, asked.window),
        }
        shown = {name: part[0] for name, part in parts.items() if part is not None}
        quiet = {name: part[2] for name, part in parts.items() if part is not None}
        return ExtensionsPart(shown, any(part[1] for part in parts.values() if part is not None), quiet)

    def _to_device(self, tx: Transaction | None, request: SlidingRequest, question: ExtensionQuestion) -> _Part | None:
        wish = request.extensions.to_device
        if wish is None:
            return None
        asked = SyncRequest(request.viewer, SyncToken(0, wish.since, "", 0))
        page_size = max(1, min(wish.limit, PAGE))
        part = self._devices.to_device(tx, asked, question.window, question.changes or (), page_size)
        shown = {"next_batch": to_device_token(part.upto), "events": part.events}
        return shown, bool(part.events), {**shown, "events": []}

    def _e2ee(self, tx: Transaction | None, request: SlidingRequest, question: ExtensionQuestion) -> _Part | None:
        if not request.extensions.e2ee:
            return None
        asked = SyncRequest(request.viewer)
        changes = question.changes
        shown = self._devices.key_counts(tx, asked, changes or ())
        if changes is None or any(map(_brings_together, changes)):
            lists = self._devices.device_lists(tx, asked, question.window)
        else:
            lists = self._devices.device_lists(None, asked, question.window, changes)
        return (shown, False, shown) if lists is None else ({**shown, "device_lists": lists}, True, shown)


def _brings_together(change: Change) -> bool:
    """Whether by a change users may have come together, or apart, of whose devices nothing is said."""
    if isinstance(change, RoomWritten):
        return any(one.before != one.membership for one in change.memberships)
    return isinstance(change, RoomBecameWhole)


def _account_data(tx: Transaction | None, request: SlidingRequest, asked: ExtensionQuestion) -> _Part | None:
    scope, user_id, window = request.extensions.account_data, request.viewer.user_id, asked.window
    if scope is None:
        return None
    quiet: Body = {"global": [], "rooms": {}}
    if tx is None:
        return quiet, False, quiet
    wanted = asked.in_scope(scope)
    fresh: list[RoomID | None] = [room_id for room_id in asked.fresh if room_id in wanted]
    found: list[AccountData] = []
    if window.after is None:
        fresh.append(None)
        with_rules = True
    else:
        found += [
            one
            for one in account_data_since(tx, user_id, after=window.after, upto=window.upto)
            if one.room_id is None or (one.room_id in wanted and one.room_id in asked.live)
        ]
        with_rules = have_rules_changed(tx, user_id, after=window.after, upto=window.upto)
    returned = {room_id: upto for room_id, upto in asked.returned.items() if room_id in wanted}
    if returned:
        since = account_data_since(tx, user_id, after=min(returned.values()), upto=window.upto)
        found += [one for one in since if one.room_id in returned]
    found += account_data_of(tx, user_id, fresh)
    glob = [_shown(one) for one in found if one.room_id is None]
    if with_rules:
        rules = rule_set_to_json(rule_set(find_rule_changes(tx, user_id)), user_id)
        glob.append({"type": PUSH_RULES, "content": {"global": rules}})
    rooms: dict[str, list[Body]] = {}
    for one in found:
        if one.room_id is not None:
            rooms.setdefault(one.room_id, []).append(_shown(one))
    return {"global": glob, "rooms": rooms}, bool(glob or rooms), quiet


def _shown(one: AccountData) -> Body:
    return {"type": one.type, "content": orjson.Fragment(one.content)}


def _receipts(tx: Transaction | None, request: SlidingRequest, asked: ExtensionQuestion) -> _Part | None:
    """Of rooms that are new to the client, only the receipts that it can show, and the user's own."""
    scope, user_id = request.extensions.receipts, request.viewer.user_id
    if scope is None:
        return None
    wanted = asked.in_scope(scope).intersection(asked.joined)
    found: Sequence[Receipt] = ()
    if tx is not None:
        fresh = [room_id for room_id in asked.fresh if room_id in wanted]
        event_ids = sorted({event_id for room_id in fresh for event_id in asked.fresh[room_id]})
        found = receipts_for_events(tx, fresh, event_ids, user_id, upto=asked.window.upto)
    by_room: dict[str, list[Receipt | ReceiptWritten]] = {}
    for receipt in (*found, *(one for one in asked.receipts if one.room_id in wanted)):
        by_room.setdefault(receipt.room_id, []).append(receipt)
    rooms = {room_id: receipt_event(receipts, user_id, asked.ignored) for room_id, receipts in by_room.items()}
    shown = {room_id: event for room_id, event in rooms.items() if event is not None}
    return {"rooms": shown}, bool(shown), {"rooms": {}}


def _typing(request: SlidingRequest, asked: ExtensionQuestion) -> _Part | None:
    scope = request.extensions.typing
    if scope is None:
        return None
    rooms: dict[str, Body] = {}
    for room_id in asked.in_scope(scope).intersection(asked.joined):
        now = asked.typing_anywhere.get(room_id)
        if room_id in asked.live:
            now = asked.typing.get(room_id)
        elif room_id in asked.returned:
            now = now or ()  # who typed when the room went out of sight may have ended
        if now is not None:
            rooms[room_id] = typing_event([user_id for user_id in now if user_id not in asked.ignored])
    return {"rooms": rooms}, bool(rooms), {"rooms": {}}


def _thread_subscriptions(tx: Transaction | None, request: SlidingRequest, window: Window) -> _Part | None:
    limit = request.extensions.thread_subscriptions
    if limit is None:
        return None
    quiet = SubscriptionChanges((), None).shown
    if tx is None:
        return quiet, False, quiet
    asked = min(limit, MOST_CHANGES)
    changes = read_changes(tx, request.viewer.user_id, after=window.after or 0, upto=window.upto, limit=asked)
    shown = changes.shown if changes.before is None else {**changes.shown, "prev_batch": changes.before}
    return shown, bool(changes.changed), quiet
