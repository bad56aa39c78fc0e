"""The keys of other servers' users, as users of this server see them: those that are kept and fresh, or else asked for.

What is kept, and how it stays fresh, is in remote_users.py; how servers are asked is in remote_device_keys.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.core.cross_signing import KeyUsage, VerifiedSignature, with_signatures
from homeserver.core.device_keys import KeyClaim, KeyQuery
from homeserver.core.identifiers import DeviceID, KeyID, ServerName, UserID, server_name_of_user
from homeserver.core.remote_keys import RemoteDevice
from homeserver.services.e2ee.device_keys import ClaimedKeys, QueriedKeys, shown_keys
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys, RemoteKeysOfUser, RemoteQueried
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.storage.cross_signing import PublishedKeys, published_keys
from homeserver.storage.database import Database, Transaction
from homeserver.storage.remote_users import RemoteDeviceList, fresh_lists, lists_of, remote_devices_of

Json = dict[str, Any]  # what other servers' users publish


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of some users, and of whom it is what their servers would say."""

    fresh: set[UserID] = field(default_factory=set)
    lists: Mapping[UserID, RemoteDeviceList] = field(default_factory=dict)
    devices: Mapping[UserID, Mapping[DeviceID, RemoteDevice]] = field(default_factory=dict)
    published: PublishedKeys = field(default_factory=lambda: PublishedKeys([], [], []))


class RemoteUserKeys:
    """Shows the keys of other servers' users: see KeysElsewhere."""

    def __init__(
        self, database: Database, asking: RemoteDeviceKeys, remote_users: RemoteUsers, server_name: ServerName
    ) -> None:
        self._database = database
        self._asking = asking
        self._remote_users = remote_users
        self._server_name = server_name

    async def query(self, viewer_id: UserID, queries: Sequence[KeyQuery], timeout_s: float) -> QueriedKeys:
        """The keys of users' devices, with those that sign them.

        Of a user whose server does not tell, what was known last is shown, and nothing if nothing is.
        """
        kept = await self._database.read(self._kept, viewer_id, [query.user_id for query in queries])
        missing = [query for query in queries if query.user_id not in kept.fresh]
        shown, told = QueriedKeys({}, {}), RemoteQueried()
        if missing:
            told = await self._asking.query(missing, timeout_s)
            shown.unreachable.update(told.unreachable)
            whole = {query.user_id for query in missing if not query.device_ids}
            news = {user_id: keys for user_id, keys in told.users.items() if user_id in whole}
            if news:
                await self._database.write(self._remote_users.note_told, news, kept.lists)
        for query in queries:
            user_id = query.user_id
            # Of a server that was asked several times, some answers may have come and others not.
            is_told = user_id in told.users or server_name_of_user(user_id) not in shown.unreachable
            if user_id not in kept.fresh and is_told:
                _show_told(shown, user_id, told.users.get(user_id, RemoteKeysOfUser()), viewer_id, kept.published)
            elif user_id in kept.lists:
                _show_kept(shown, query, kept, viewer_id)
        return shown

    async def claim(self, claims: Sequence[KeyClaim], timeout_s: float) -> ClaimedKeys:
        """A one-time key of each of these devices, as far as their servers give one."""
        given = await self._asking.claim(claims, timeout_s)
        return ClaimedKeys(given.keys, given.unreachable)

    def _kept(self, tx: Transaction, viewer_id: UserID, user_ids: Sequence[UserID]) -> _Kept:
        return _Kept(
            fresh_lists(tx, user_ids, self._server_name),
            lists_of(tx, user_ids),
            remote_devices_of(tx, user_ids),
            published_keys(tx, user_ids, viewer_id=viewer_id),
        )


def _show_kept(shown: QueriedKeys, query: KeyQuery, kept: _Kept, viewer_id: UserID) -> None:
    devices = kept.devices.get(query.user_id, {})
    if query.device_ids:
        devices = {id_: device for id_, device in devices.items() if id_ in query.device_ids}
    shown.devices[query.user_id] = _shown_devices(devices)
    of_user = PublishedKeys(
        [],
        [key for key in kept.published.cross_signing_keys if key.user_id == query.user_id],
        [one for one in kept.published.signatures if one.user_id == query.user_id],
    )
    for usage, by_user in shown_keys(viewer_id, {}, of_user).cross_signing.items():
        shown.cross_signing.setdefault(usage, {}).update(by_user)


def _show_told(
    shown: QueriedKeys, user_id: UserID, keys: RemoteKeysOfUser, viewer_id: UserID, published: PublishedKeys
) -> None:
    shown.devices[user_id] = _shown_devices(keys.devices)
    for key in keys.identity.keys:
        own = [
            VerifiedSignature(viewer_id, KeyID(one.signing_key_id), one.signature)
            for one in published.signatures
            if key.usage is KeyUsage.MASTER
            and (one.signer_id, one.user_id, one.key_id) == (viewer_id, user_id, key.public_key)
        ]
        shown.cross_signing.setdefault(key.usage, {})[user_id] = with_signatures(key.payload, own)


def _shown_devices(devices: Mapping[DeviceID, RemoteDevice]) -> dict[DeviceID, Json]:
    shown: dict[DeviceID, Json] = {}
    for device_id, device in devices.items():
        if device.keys is not None:
            name = {} if device.display_name is None else {"device_display_name": device.display_name}
            shown[device_id] = {**device.keys, "unsigned": name}
    return shown
