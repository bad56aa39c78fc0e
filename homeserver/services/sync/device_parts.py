"""What a sync says of the device itself: messages sent to it, its keys on the server, whose devices changed.

Spec: client-server-api/#extensions-to-sync, #extensions-to-sync-1 (of end-to-end encryption and send-to-device)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.identifiers import UserID
from homeserver.services.e2ee.device_lists import changes as device_list_changes
from homeserver.services.events.news import Change, DeviceListWritten, KeyCountsWritten, ToDeviceWritten
from homeserver.services.sync.memory import Inbox, SyncMemory, keep_newer
from homeserver.services.sync.request import NotInMemory, SyncRequest, Window
from homeserver.services.sync.sent_members import Device
from homeserver.storage.database import Transaction
from homeserver.storage.device_keys import KeyCounts, key_counts
from homeserver.storage.to_device import messages_for_device

PAGE: Final = 100
SIGNED_CURVE25519: Final = "signed_curve25519"  # clients take its absence for "unknown"


@dataclass(frozen=True, slots=True)
class ToDevicePart:
    """Messages for the device, and the position up to which it has them all with this answer."""

    events: list[orjson.Fragment]
    upto: int


class DeviceParts:
    """Reads what concerns one device."""

    def __init__(self, memory: SyncMemory) -> None:
        self._memory = memory

    def to_device(
        self,
        tx: Transaction | None,
        request: SyncRequest,
        window: Window,
        changes: Iterable[Change] = (),
        page_size: int = PAGE,
    ) -> ToDevicePart:
        """The messages after the token's own position, at most a page of them."""
        viewer = request.viewer
        after = 0 if request.since is None else request.since.to_device
        if viewer.device_id is None:
            return ToDevicePart([], window.upto)
        device = (viewer.user_id, viewer.device_id)
        if tx is None:
            inbox = self._memory.inboxes.get(device)
            if inbox is None or inbox.highest > after or inbox.position < (window.after or 0):
                raise NotInMemory
            if any(isinstance(change, ToDeviceWritten) and device in change.devices for change in changes):
                raise NotInMemory
            self._memory.inboxes.put(device, Inbox(window.upto, inbox.highest))
            return ToDevicePart([], window.upto)
        messages = messages_for_device(
            tx, viewer.user_id, viewer.device_id, after=after, upto=window.upto, limit=page_size + 1
        )
        page, has_more = messages[:page_size], len(messages) > page_size
        highest = messages[-1].position if messages else 0
        tx.after_commit(lambda: self._keep_inbox(device, Inbox(window.upto, highest)))
        if page:
            tx.after_commit(lambda: self._memory.note_delivered(device, page[-1].position))
        events = [orjson.Fragment(message.message) for message in page]
        return ToDevicePart(events, page[-1].position if has_more else window.upto)

    def _keep_inbox(self, device: Device, inbox: Inbox) -> None:
        known = self._memory.inboxes.get(device)
        if known is None or known.position <= inbox.position:
            self._memory.inboxes.put(device, inbox)

    def key_counts(
        self, tx: Transaction | None, request: SyncRequest, changes: Iterable[Change] = ()
    ) -> dict[str, Any]:
        """How many one-time keys are left, and which fallback keys are unused: in every answer."""
        viewer = request.viewer
        if viewer.device_id is None:
            return _shown(KeyCounts({}, []))
        device: Device = (viewer.user_id, viewer.device_id)
        if tx is None:
            known = self._memory.key_counts.get(device)
            if known is None or any(
                isinstance(change, KeyCountsWritten) and device in change.devices for change in changes
            ):
                raise NotInMemory
            return _shown(known.value)
        position, counts = tx.log_position, key_counts(tx, viewer.user_id, viewer.device_id)
        tx.after_commit(lambda: keep_newer(self._memory.key_counts, device, position, counts))
        return _shown(counts)

    def device_lists(
        self, tx: Transaction | None, request: SyncRequest, window: Window, changes: Iterable[Change] = ()
    ) -> dict[str, list[UserID]] | None:
        """Whose devices changed, and with whom the user shares no room any more; nothing in an initial sync."""
        if window.after is None:
            return None
        if tx is None:
            changed = {change.user_id for change in changes if isinstance(change, DeviceListWritten)}
            left: set[UserID] = set()
        else:
            changed, left = device_list_changes(tx, request.viewer.user_id, after=window.after, upto=window.upto)
        return {name: sorted(users) for name, users in (("changed", changed), ("left", left)) if users} or None


def _shown(counts: KeyCounts) -> dict[str, Any]:
    return {
        "device_one_time_keys_count": {SIGNED_CURVE25519: 0, **counts.one_time},
        "device_unused_fallback_key_types": counts.unused_fallback,
    }
