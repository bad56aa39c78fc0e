"""The devices of users: listed, renamed, removed.

Spec: client-server-api/#device-management. How a device is made is in sessions.py, when it was last seen in
device_activity.py.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.cross_signing import check_device_id
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.interactive_auth import Attempt, InteractiveAuth
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import LONGEST_NAME
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import NotFound, TooLarge
from homeserver.storage.cross_signing import cross_signing_keys_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.devices import Device, devices_of_user, find_device, insert_device, rename_device

MOST_AT_ONCE: Final = 1000
UNKNOWN: Final = "You have no such device"


class Devices:
    """Shows users their devices, and lets go of them."""

    def __init__(
        self,
        database: Database,
        removal: DeviceRemoval,
        device_lists: DeviceLists,
        interactive_auth: InteractiveAuth,
        clock: Clock,
    ) -> None:
        self._database = database
        self._removal = removal
        self._device_lists = device_lists
        self._interactive_auth = interactive_auth
        self._clock = clock

    async def of_user(self, user_id: UserID) -> list[Device]:
        """All devices of a user."""
        return await self._database.read(devices_of_user, user_id)

    async def device(self, user_id: UserID, device_id: DeviceID) -> Device:
        """One device of a user. Raises NotFound."""
        device = await self._database.read(find_device, user_id, device_id)
        if device is None:
            raise NotFound(UNKNOWN)
        return device

    async def rename(self, requester: Requester, device_id: DeviceID, display_name: str | None) -> bool:
        """Show a device under another name; None leaves it. An application service can make a device so.

        Returns True if the device is new. Raises NotFound, TooLarge, KeyIDInUse.
        """
        if display_name is not None and len(display_name) > LONGEST_NAME:
            raise TooLarge(f"A device's name has at most {LONGEST_NAME} characters")
        may_create = requester.appservice_id is not None
        return await self._database.write(
            self._rename, requester.user_id, device_id, display_name, may_create=may_create
        )

    async def remove(self, requester: Requester, device_ids: Sequence[DeviceID], attempt: Attempt) -> None:
        """Remove devices of one's own, once the user has shown their password; an application service need not.

        Devices that are gone already count as removed. Raises UserInteractionRequired, TooLarge.
        """
        if len(device_ids) > MOST_AT_ONCE:
            raise TooLarge(f"At most {MOST_AT_ONCE} devices go at once")
        if requester.appservice_id is None:
            await self._interactive_auth.confirm_user(requester.user_id, attempt)
        await self._database.write(self._remove, requester.user_id, tuple(dict.fromkeys(device_ids)))

    def _rename(
        self, tx: Transaction, user_id: UserID, device_id: DeviceID, display_name: str | None, *, may_create: bool
    ) -> bool:
        device = find_device(tx, user_id, device_id)
        if device is None:
            if not may_create:
                raise NotFound(UNKNOWN)
            check_device_id(device_id, cross_signing_keys_of(tx, user_id).values())
            now_ms = self._clock.now_ms()
            return insert_device(tx, user_id, device_id, display_name=display_name, now_ms=now_ms)
        if display_name is not None and display_name != device.display_name:
            rename_device(tx, user_id, device_id, display_name)
            self._device_lists.note_change(tx, user_id, (device_id,))
        return False

    def _remove(self, tx: Transaction, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
        own = {device.device_id for device in devices_of_user(tx, user_id)}
        self._removal.remove(tx, user_id, [device_id for device_id in device_ids if device_id in own])
