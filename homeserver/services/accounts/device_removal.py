"""The end of devices: with a device goes all that is its own, and whoever encrypts for it is told."""

from collections.abc import Collection

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.storage.database import Transaction
from homeserver.storage.owned_rows import delete_device_rows


class DeviceRemoval:
    """Takes devices away, within a write of its caller."""

    def __init__(self, tokens: AccessTokens, device_lists: DeviceLists) -> None:
        self._tokens = tokens
        self._device_lists = device_lists

    def remove(self, tx: Transaction, user_id: UserID, device_ids: Collection[DeviceID]) -> None:
        """Remove devices of a user with their sessions, tokens, keys and messages."""
        if not device_ids:
            return
        removed = tuple(device_ids)
        delete_device_rows(tx, user_id, removed)
        tx.after_commit(lambda: self._tokens.forget_devices(user_id, removed))
        self._device_lists.note_change(tx, user_id, removed)
