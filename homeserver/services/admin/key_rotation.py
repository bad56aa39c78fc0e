"""Gives this server a new signing key, while it runs.

Nobody but this server loses anything by it: others fetch the new key when they meet its ID, and find the old one
published beside it, for what it signed before.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.runtime.logs import get_logger
from homeserver.runtime.randomness import Randomness
from homeserver.runtime.secret_files import replace_secret_file
from homeserver.services.errors import Unavailable
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.storage.database import Database

KEY_FILE: Final = "the key file"

log = get_logger(__name__)


class KeyRotation:
    """Replaces the key in use."""

    def __init__(
        self,
        keys: OwnSigningKeys,
        file: Path,
        database: Database,
        call_in_thread: Callable[..., Awaitable[Any]],  # Any: the result of what is called
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        """`file` holds the secret half of the key in use. `call_in_thread` is that of Twisted."""
        self.keys: Final = keys
        self._file = file
        self._database = database
        self._call_in_thread = call_in_thread
        self._clock = clock
        self._randomness = randomness
        self._locks: KeyedLocks[str] = KeyedLocks()

    async def rotate(self) -> VerifyKey:
        """Make a new key, and sign by it from now on; its public half. Raises Unavailable, and nothing has changed.

        The file comes first: whatever happens after that, the next start takes the key that stands in it, and notes
        that the other one has expired.
        """
        async with self._locks(KEY_FILE):
            key = self._new_key()
            try:
                await self._call_in_thread(replace_secret_file, self._file, key.to_line())
            except OSError as problem:
                raise Unavailable(f"The signing key {self._file} cannot be replaced: {problem.strerror}") from problem
            replaced = self.keys.current.key_id
            self.keys.use(key, self._clock)
            await self.keys.note(self._database, self._clock)
            log.info("signing key replaced", new=key.key_id, old=replaced)
            return key.verify_key

    def _new_key(self) -> SigningKey:
        used = {key.key_id for key in self.keys}
        while True:
            key = SigningKey(self._randomness.opaque_id("a_", 6), self._randomness.bytes(32))
            if key.key_id not in used:
                return key
