"""Devices of users, as administrators see, make, rename and remove them; and logins as somebody else.

What users do to their own devices is in services/accounts/devices.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.cross_signing import check_device_id
from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.devices import MOST_AT_ONCE
from homeserver.services.accounts.local_accounts import local_account, open_account
from homeserver.services.accounts.sessions import LONGEST_NAME, DeviceWish, Sessions
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, TooLarge
from homeserver.storage.cross_signing import cross_signing_keys_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.dehydrated_devices import find_dehydrated_device
from homeserver.storage.devices import Device, devices_of_user, find_device, insert_device, rename_device

LOGIN_NAME: Final = "Login by an administrator"
UNKNOWN: Final = "The user has no such device"


@dataclass(frozen=True, slots=True)
class UserDevice:
    """A device; `is_dehydrated`: it is asleep."""

    device: Device
    is_dehydrated: bool


class UserDevices:
    """Looks after the devices of users. Each method raises InvalidParameter for other servers' users, and NotFound."""

    def __init__(
        self,
        database: Database,
        removal: DeviceRemoval,
        sessions: Sessions,
        device_lists: DeviceLists,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._removal = removal
        self._sessions = sessions
        self._device_lists = device_lists
        self._clock = clock
        self._server_name = server_name

    async def of_user(self, user_id: UserID) -> Sequence[UserDevice]:
        """All devices of a user."""
        return await self._database.read(self._of_user, user_id)

    async def device(self, user_id: UserID, device_id: DeviceID) -> UserDevice:
        """One device of a user."""
        for one in await self.of_user(user_id):
            if one.device.device_id == device_id:
                return one
        raise NotFound(UNKNOWN)

    async def create(self, user_id: UserID, device_id: DeviceID) -> None:
        """Make a device, unless it is there. Raises KeyIDInUse."""
        await self._database.write(self._create, user_id, device_id)

    async def rename(self, user_id: UserID, device_id: DeviceID, display_name: str | None) -> None:
        """Show a device under another name; None leaves it. Raises TooLarge."""
        if display_name is not None and len(display_name) > LONGEST_NAME:
            raise TooLarge(f"A device's name has at most {LONGEST_NAME} characters")
        await self._database.write(self._rename, user_id, device_id, display_name)

    async def remove(self, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
        """Remove devices and log them out; those that are gone already count as removed. Raises TooLarge."""
        if len(device_ids) > MOST_AT_ONCE:
            raise TooLarge(f"At most {MOST_AT_ONCE} devices go at once")
        await self._database.write(self._remove, user_id, tuple(dict.fromkeys(device_ids)))

    async def log_in_as(self, user_id: UserID, *, by: UserID | None, until_ms: int | None) -> str:
        """An access token of a user, for a device of its own that says what it is. Raises Forbidden.

        The user sees that device among theirs and can log it out: nobody speaks for somebody in secret.
        """
        if user_id == by:
            raise Forbidden("You are this user already")
        if until_ms is not None and until_ms <= self._clock.now_ms():
            raise InvalidParameter("That time is over")
        return await self._database.write(self._log_in_as, user_id, until_ms)

    def _of_user(self, tx: Transaction, user_id: UserID) -> Sequence[UserDevice]:
        local_account(tx, user_id, self._server_name)
        asleep = find_dehydrated_device(tx, user_id)
        asleep_id = None if asleep is None else asleep.device_id
        return [UserDevice(device, device.device_id == asleep_id) for device in devices_of_user(tx, user_id)]

    def _create(self, tx: Transaction, user_id: UserID, device_id: DeviceID) -> None:
        open_account(tx, user_id, self._server_name)
        check_device_id(device_id, cross_signing_keys_of(tx, user_id).values())
        if insert_device(tx, user_id, device_id, display_name=None, now_ms=self._clock.now_ms()):
            self._device_lists.note_change(tx, user_id, (device_id,))

    def _rename(self, tx: Transaction, user_id: UserID, device_id: DeviceID, display_name: str | None) -> None:
        local_account(tx, user_id, self._server_name)
        device = find_device(tx, user_id, device_id)
        if device is None:
            raise NotFound(UNKNOWN)
        if display_name is not None and display_name != device.display_name:
            rename_device(tx, user_id, device_id, display_name)
            self._device_lists.note_change(tx, user_id, (device_id,))

    def _remove(self, tx: Transaction, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
        local_account(tx, user_id, self._server_name)
        own = {device.device_id for device in devices_of_user(tx, user_id)}
        self._removal.remove(tx, user_id, [device_id for device_id in device_ids if device_id in own])

    def _log_in_as(self, tx: Transaction, user_id: UserID, until_ms: int | None) -> str:
        if open_account(tx, user_id, self._server_name).is_locked:
            raise Forbidden("The account is locked")
        opened = self._sessions.open(tx, user_id, DeviceWish(display_name=LOGIN_NAME), until_ms=until_ms)
        return opened.tokens.access_token
