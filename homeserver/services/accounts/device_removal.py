"""The end of devices: with a device goes all that is its own, and whoever encrypts for it is told."""

from collections.abc import Collection
from functools import partial

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.events.news import DeviceListWritten, News
from homeserver.storage.database import Transaction
from homeserver.storage.device_lists import local_audience, note_device_list_change
from homeserver.storage.owned_rows import delete_device_rows


class DeviceRemoval:
    """Takes devices away, within a write of its caller."""

    def __init__(self, tokens: AccessTokens, news: News) -> None:
        self._tokens = tokens
        self._news = news

    def remove(self, tx: Transaction, user_id: UserID, device_ids: Collection[DeviceID]) -> None:
        """Remove devices of a user with their sessions, tokens, keys and messages."""
        if not device_ids:
            return
        removed = tuple(device_ids)
        delete_device_rows(tx, user_id, removed)
        tx.after_commit(lambda: self._tokens.forget_devices(user_id, removed))
        self.announce(tx, user_id)

    def announce(self, tx: Transaction, user_id: UserID) -> None:
        """Tell those who share rooms with the user that the user's devices changed."""
        tx.at_position(("device_list_changes",), partial(self._announce_at, user_id=user_id))

    def _announce_at(self, tx: Transaction, position: int, *, user_id: UserID) -> None:
        note_device_list_change(tx, user_id, position)
        audience = local_audience(tx, user_id)
        tx.after_commit(lambda: self._news.publish(DeviceListWritten(position, user_id), audience))
