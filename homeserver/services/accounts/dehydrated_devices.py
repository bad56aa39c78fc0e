"""Devices without a session, which receive room keys while their user is logged in nowhere: MSC3814.

A client makes one, and leaves its private keys here, encrypted by a key from secret storage. Who logs in later fetches
them and what was sent to the device, and makes another one: the old one goes, with all that was its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.cross_signing import check_device_id
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.e2ee.device_keys import DeviceKeys, KeyUpload, parse_upload
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, TooLarge
from homeserver.storage.cross_signing import cross_signing_keys_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.dehydrated_devices import DehydratedDevice, find_dehydrated_device, insert_dehydrated_device
from homeserver.storage.devices import insert_device
from homeserver.storage.to_device import ToDeviceMessage, messages_for_device

DATA_LIMIT_BYTES: Final = 256 * 1024
NAME_LIMIT: Final = 100  # characters
MESSAGES_PER_PAGE: Final = 100
NONE_HERE: Final = "There is no dehydrated device"


@dataclass(frozen=True, slots=True)
class DeviceWithKeys:
    """A device to be dehydrated: what only its user can read, and what it publishes."""

    device_id: DeviceID
    data: dict[str, Any]  # Any: JSON of the client's own
    display_name: str | None
    device_keys: object
    one_time_keys: object = None
    fallback_keys: object = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Messages that wait for a device, the position up to which they are, and whether there are others behind it."""

    messages: Sequence[ToDeviceMessage]
    upto: int
    has_more: bool


class DehydratedDevices:
    """Keeps them, and what they receive."""

    def __init__(self, database: Database, device_keys: DeviceKeys, removal: DeviceRemoval, clock: Clock) -> None:
        self._database = database
        self._device_keys = device_keys
        self._removal = removal
        self._clock = clock

    async def replace(self, user_id: UserID, device: DeviceWithKeys) -> None:
        """Keep a device instead of the one that the user had before, which goes in the same moment.

        Raises BadJson, TooLarge, InvalidParameter if the user has another device of this ID, and KeyIDInUse if it is
        that of a cross-signing key.
        """
        data = encode_canonical(device.data)
        if len(data) > DATA_LIMIT_BYTES:
            raise TooLarge(f"The data of a dehydrated device may have {DATA_LIMIT_BYTES} bytes")
        if device.display_name is not None and len(device.display_name) > NAME_LIMIT:
            raise TooLarge(f"A device's name has at most {NAME_LIMIT} characters")
        upload = parse_upload(user_id, device.device_id, device.device_keys, device.one_time_keys, device.fallback_keys)
        kept = DehydratedDevice(device.device_id, data)
        await self._database.write(self._replace, user_id, kept, device.display_name, upload)

    async def device(self, user_id: UserID) -> DehydratedDevice:
        """The user's dehydrated device. Raises NotFound."""
        return await self._database.read(_device, user_id)

    async def remove(self, user_id: UserID) -> DeviceID:
        """Let go of the user's dehydrated device; its ID. Raises NotFound."""
        return await self._database.write(self._remove, user_id)

    async def inbox(self, user_id: UserID, device_id: DeviceID, after: int) -> Inbox:
        """What was sent to the dehydrated device after a position, a page of it.

        It stays here as long as the device, because a client that wakes it may be interrupted. Raises NotFound, and
        Forbidden for a device that is not dehydrated.
        """
        return await self._database.read(_inbox, user_id, device_id, after)

    def _replace(
        self, tx: Transaction, user_id: UserID, device: DehydratedDevice, display_name: str | None, upload: KeyUpload
    ) -> None:
        known = find_dehydrated_device(tx, user_id)
        if known is not None:
            self._removal.remove(tx, user_id, (known.device_id,))
        check_device_id(device.device_id, cross_signing_keys_of(tx, user_id).values())
        now_ms = self._clock.now_ms()
        if not insert_device(tx, user_id, device.device_id, display_name=display_name, now_ms=now_ms):
            raise InvalidParameter("There is a device of this ID")
        insert_dehydrated_device(tx, user_id, device)
        self._device_keys.publish(tx, user_id, device.device_id, upload)

    def _remove(self, tx: Transaction, user_id: UserID) -> DeviceID:
        device = _device(tx, user_id)
        self._removal.remove(tx, user_id, (device.device_id,))
        return device.device_id


def shown_messages(inbox: Inbox) -> list[orjson.Fragment]:
    """The messages as clients are shown them."""
    return [orjson.Fragment(message.message) for message in inbox.messages]


def _device(tx: Transaction, user_id: UserID) -> DehydratedDevice:
    device = find_dehydrated_device(tx, user_id)
    if device is None:
        raise NotFound(NONE_HERE)
    return device


def _inbox(tx: Transaction, user_id: UserID, device_id: DeviceID, after: int) -> Inbox:
    if _device(tx, user_id).device_id != device_id:
        raise Forbidden("This is not your dehydrated device")
    upto = tx.log_position
    waiting = messages_for_device(tx, user_id, device_id, after=after, upto=upto, limit=MESSAGES_PER_PAGE + 1)
    messages = waiting[:MESSAGES_PER_PAGE]
    has_more = len(waiting) > len(messages)
    return Inbox(messages, messages[-1].position if messages else after, has_more)
