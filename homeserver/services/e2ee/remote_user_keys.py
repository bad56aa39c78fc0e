"""The keys of other servers' users, as users of this server see them.

How servers are asked is in remote_device_keys.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.core.device_keys import KeyClaim, KeyQuery
from homeserver.core.identifiers import DeviceID, UserID, server_name_of_user
from homeserver.core.remote_keys import RemoteDevice
from homeserver.services.e2ee.device_keys import ClaimedKeys, QueriedKeys
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys, RemoteKeysOfUser


class RemoteUserKeys:
    """Shows the keys of other servers' users: see KeysElsewhere."""

    def __init__(self, asking: RemoteDeviceKeys) -> None:
        self._asking = asking

    async def query(
        self,
        viewer_id: UserID,  # noqa: ARG002 - everybody is shown the same
        queries: Sequence[KeyQuery],
        timeout_s: float,
    ) -> QueriedKeys:
        """The keys of users' devices, with those that sign them; a user whose server does not tell is left out."""
        told = await self._asking.query(queries, timeout_s)
        shown = QueriedKeys({}, {}, told.unreachable)
        for query in queries:
            if server_name_of_user(query.user_id) not in told.unreachable:
                _show(shown, query.user_id, told.users.get(query.user_id, RemoteKeysOfUser()))
        return shown

    async def claim(self, claims: Sequence[KeyClaim], timeout_s: float) -> ClaimedKeys:
        """A one-time key of each of these devices, as far as their servers give one."""
        given = await self._asking.claim(claims, timeout_s)
        return ClaimedKeys(given.keys, given.unreachable)


def _show(shown: QueriedKeys, user_id: UserID, keys: RemoteKeysOfUser) -> None:
    shown.devices[user_id] = _shown_devices(keys.devices)
    for key in keys.identity.keys:
        shown.cross_signing.setdefault(key.usage, {})[user_id] = dict(key.payload)


def _shown_devices(devices: Mapping[DeviceID, RemoteDevice]) -> dict[DeviceID, dict[str, Any]]:  # Any: JSON
    shown = {}
    for device_id, device in devices.items():
        if device.keys is not None:
            name = {} if device.display_name is None else {"device_display_name": device.display_name}
            shown[device_id] = {**device.keys, "unsigned": name}
    return shown
