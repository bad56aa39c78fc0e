"""Devices and keys of this server's users, for other servers: shown as to a stranger.

Whoever asks may, unless the operator limits that (e2ee/key_visibility.py): to encrypt for somebody, a server needs to
share no room with them.
Spec: server-server-api/#device-management, server-server-api/#end-to-end-encryption
"""

from typing import Any

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.device_keys import KeyQuery, parse_claims, parse_key_queries
from homeserver.core.identifiers import ServerName, UserID, server_name_of_user
from homeserver.services.e2ee.device_keys import STRANGER, DeviceKeys, QueriedKeys, shown_keys
from homeserver.services.e2ee.key_visibility import KeyVisibility
from homeserver.services.errors import NotFound
from homeserver.storage.cross_signing import published_keys
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_lists import newest_device_change

# JSON is `Any` in this file: what clients published.


class DeviceServing:
    """Gives other servers what they need to encrypt for users of this one."""

    def __init__(
        self, database: Database, device_keys: DeviceKeys, visibility: KeyVisibility, server_name: ServerName
    ) -> None:
        self._database = database
        self._device_keys = device_keys
        self._visibility = visibility
        self._server_name = server_name

    async def devices(self, peer: ServerName, user_id: UserID) -> dict[str, Any]:
        """A user's devices, those without keys left out, and the keys that sign them.

        The stream ID is that of the newest m.device_list_update of the user. Raises NotFound for users elsewhere, and
        Forbidden for those of whom the server that asks may not know.
        """
        if server_name_of_user(user_id) != self._server_name:
            raise NotFound("The user is of another server")
        await self._visibility.check_server(peer, user_id)
        stream_id, shown = await self._database.read(_devices, user_id)
        devices = []
        for device_id, keys in shown.devices[user_id].items():
            device = {"device_id": device_id, "keys": keys}
            name = keys.pop("unsigned").get("device_display_name")
            devices.append(device if name is None else {**device, "device_display_name": name})
        answer: dict[str, Any] = {"user_id": user_id, "stream_id": stream_id, "devices": devices}
        for usage, field in ((KeyUsage.MASTER, "master_key"), (KeyUsage.SELF_SIGNING, "self_signing_key")):
            if user_id in shown.cross_signing.get(usage, {}):
                answer[field] = shown.cross_signing[usage][user_id]
        return answer

    async def query(self, peer: ServerName, device_keys: object) -> QueriedKeys:
        """The keys of users' devices; users elsewhere are passed over. Raises BadJson, Forbidden."""
        queries = await self._visibility.for_server(peer, parse_key_queries(device_keys))
        return await self._device_keys.query_local(STRANGER, queries)

    async def claim(self, one_time_keys: object) -> dict[UserID, Any]:
        """Take one-time keys of devices; users elsewhere are passed over. Raises BadJson."""
        return dict((await self._device_keys.claim_local(parse_claims(one_time_keys))).keys)


def _devices(tx: Transaction, user_id: UserID) -> tuple[int, QueriedKeys]:
    """Both of one moment: whoever knows the stream ID must know what led to it."""
    published = published_keys(tx, [user_id], viewer_id=STRANGER)
    shown = shown_keys(STRANGER, {user_id: KeyQuery(user_id, frozenset())}, published)
    return newest_device_change(tx, user_id) or 0, shown
