"""The time that a database forgot when it was put back to a backup: what was done in it must not be done again.

A server finds that at its start, by what stands outside of the database. Clients that have lived through that time
begin anew. They are known by their tokens, which name positions that this database has never given: see
storage/log_leaps.py.
"""

from typing import Final, Protocol

from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.services.events.client_format import Viewer
from homeserver.storage.continuity import break_continuity, find_continuity, set_mark
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_keys import use_up_fallback_keys
from homeserver.storage.log_leaps import Leap, leap, leaps

NOTED_EVERY_S: Final = 60.0  # how often `note_reached` is to be called

log = get_logger(__name__)


class OutsideDatabase(Protocol):
    """What does not go back to an earlier state together with the database: see runtime/continuity_files.py."""

    def mark(self) -> str | None:
        """What no copy of it has; None if there is nothing."""

    def make_mark(self, text: str) -> str:
        """Another mark, with this in it."""

    def reached(self) -> int:
        """How far the log is known to have come."""

    def note_reached(self, position: int) -> None:
        """Note how far the log has come."""


class LostTime:
    """Knows which positions are of such a time."""

    def __init__(
        self,
        database: Database,
        device_keys: DeviceKeys,
        remote_users: RemoteUsers,
        outside: OutsideDatabase,
        clock: Clock,
    ) -> None:
        self._database = database
        self._device_keys = device_keys
        self._remote_users = remote_users
        self._outside = outside
        self._clock = clock
        self._has_doubted = False
        self._leaps: tuple[Leap, ...] = ()

    async def start(self) -> None:
        """See to it that nothing is done a second time: at each start, before anything else is written.

        No position is given that was given before. If the database was put back, no one-time key is handed out that was
        here, fallback keys count as used, and other servers are asked which devices their users have. Everybody uploads
        other keys once they sync; until then fallback keys are handed out. A folder that was moved looks the same.
        """
        mark, reached = self._outside.mark(), self._outside.reached()
        known = await self._database.read(find_continuity)
        is_put_back = mark != known.mark or known.position < reached
        if is_put_back or mark is None:
            mark = self._outside.make_mark(f"{self._clock.now_ms():x}")
        self._leaps = tuple(await self._database.write(self._begin, mark, reached, is_put_back=is_put_back))
        if is_put_back:
            log.warning(
                "the database was put back to an earlier state, or moved: one-time keys of before are not handed out",
                position=known.position,
                reached=reached,
            )
            await self._doubt()
        await self.note_reached()

    async def note_reached(self) -> None:
        """Note outside how far the log has come: to be called every NOTED_EVERY_S, and before the server stops."""
        if self._database.position != self._outside.reached():
            self._outside.note_reached(self._database.position)

    def holds(self, position: int) -> bool:
        """Whether a position was given, but not by this database as far as it remembers."""
        return any(one.holds(position) for one in self._leaps)

    async def end_for(self, viewer: Viewer) -> None:
        """A client comes that has seen more than there is: what it can hardly have any more must not be given away.

        Where the start found nothing, the first that comes shows that there is such a time at all: one-time keys may
        have been claimed in it, and other servers have told in it which devices their users have, and do not tell
        again. Somebody who makes up a token achieves that they are asked once, and harms nobody but their own device,
        which uploads other keys.
        """
        if not self._has_doubted:
            await self._doubt()
        if viewer.device_id is not None:
            await self._device_keys.withhold_one_time_keys(viewer.user_id, viewer.device_id)

    async def _doubt(self) -> None:
        await self._remote_users.doubt_all()
        self._has_doubted = True

    def _begin(self, tx: Transaction, mark: str, reached: int, *, is_put_back: bool) -> list[Leap]:
        now_ms = self._clock.now_ms()
        if is_put_back:
            break_continuity(tx, now_ms=now_ms)
            use_up_fallback_keys(tx)
        set_mark(tx, mark)
        leap(tx, now_ms=max(now_ms, reached + 1))  # the clock may be behind
        return leaps(tx)
