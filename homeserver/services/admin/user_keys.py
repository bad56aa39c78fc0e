"""Users who are let replace their cross-signing keys without a password, because they have none or do not know it.

Whether somebody may replace theirs is asked in services/e2ee/cross_signing.py.
"""

from typing import Final

from homeserver.core.identifiers import ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.local_accounts import open_account
from homeserver.services.errors import NotFound
from homeserver.storage.cross_signing import make_keys_replaceable
from homeserver.storage.database import Database, Transaction

LASTS_MS: Final = 10 * 60 * 1000


class UserKeys:
    """Lets users replace their keys."""

    def __init__(self, database: Database, clock: Clock, server_name: ServerName) -> None:
        self._database = database
        self._clock = clock
        self._server_name = server_name

    async def let_replace(self, user_id: UserID) -> int:
        """Let a user replace their cross-signing keys once: until when, in milliseconds.

        Raises InvalidParameter, NotFound: also for those who have none, which they publish without being let.
        """
        until_ms = self._clock.now_ms() + LASTS_MS
        await self._database.write(self._let_replace, user_id, until_ms)
        return until_ms

    def _let_replace(self, tx: Transaction, user_id: UserID, until_ms: int) -> None:
        open_account(tx, user_id, self._server_name)
        if not make_keys_replaceable(tx, user_id, until_ms=until_ms):
            raise NotFound("The user has no cross-signing keys")
