"""The time that a database forgot when it was put back to a backup: clients that have lived through it begin anew.

They are known by their tokens, which name positions that this database has never given: see storage/log_leaps.py.
"""

from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.services.events.client_format import Viewer
from homeserver.storage.database import Database, Transaction
from homeserver.storage.log_leaps import Leap, leap, leaps


class LostTime:
    """Knows which positions are of such a time."""

    def __init__(self, database: Database, device_keys: DeviceKeys, remote_users: RemoteUsers, clock: Clock) -> None:
        self._database = database
        self._device_keys = device_keys
        self._remote_users = remote_users
        self._clock = clock
        self._has_doubted = False
        self._leaps: tuple[Leap, ...] = ()

    async def start(self) -> None:
        """See to it that no position is given that was given before: at each start, before anything else is written."""
        self._leaps = tuple(await self._database.write(self._leap))

    def holds(self, position: int) -> bool:
        """Whether a position was given, but not by this database as far as it remembers."""
        return any(one.holds(position) for one in self._leaps)

    async def end_for(self, viewer: Viewer) -> None:
        """A client comes that has seen more than there is: what it can hardly have any more must not be given away.

        One-time keys that are here may have been claimed in the time that is forgotten. The client learns that there
        are none, and uploads others. The first that comes shows that there is such a time at all: other servers have
        told in it which devices their users have, and do not tell again. Somebody who makes up a token achieves that
        they are asked once, and harms nobody but their own device.
        """
        if not self._has_doubted:
            await self._remote_users.doubt_all()
            self._has_doubted = True
        if viewer.device_id is not None:
            await self._device_keys.forget_one_time_keys(viewer.user_id, viewer.device_id)

    def _leap(self, tx: Transaction) -> list[Leap]:
        leap(tx, now_ms=self._clock.now_ms())
        return leaps(tx)
