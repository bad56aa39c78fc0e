"""This server's signing keys: the one in use, and those that it had before.

How one takes the place of another is in services/admin/key_rotation.py, and how they are published in
services/federation/key_document.py.
"""

from collections.abc import Iterator

from homeserver.core.identifiers import KeyID
from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.runtime.clock import Clock
from homeserver.storage.database import Database, Transaction
from homeserver.storage.own_keys import own_keys, use_own_key


class OwnSigningKeys:
    """Signs by the key in use, on any thread; goes through the public halves of all of them, the one in use first."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._old: tuple[PublishedKey, ...] = ()

    @property
    def current(self) -> VerifyKey:
        """The public half of the key in use."""
        return self._key.verify_key

    @property
    def old(self) -> tuple[PublishedKey, ...]:
        """The keys that were used before, in the order in which they expired."""
        return self._old

    def __iter__(self) -> Iterator[VerifyKey]:
        yield self.current
        yield from (key.verify_key for key in self._old)

    def key_and_signature(self, message: bytes) -> tuple[KeyID, str]:
        """See core.signing.Signer."""
        return self._key.key_and_signature(message)

    def use(self, key: SigningKey, clock: Clock) -> None:
        """Sign by another key from now on. It is told to the database by `note`."""
        replaced, self._key = self._key.verify_key, key
        # Only now is it known when the other was used last: events are built on other threads.
        expired_ms = clock.now_ms()
        self._old = _in_order({*self._old, PublishedKey(replaced, expired_ms, expired_ms)}, but=key.verify_key)

    async def note(self, database: Database, clock: Clock) -> None:
        """Note in the database that the key in use is, and learn from it which ones were before.

        The file with the secret is right where the database says otherwise: after a crash, or when somebody has
        replaced the file by hand, it is put right here.
        """

        current, old = self.current, self._old

        def write(tx: Transaction) -> list[PublishedKey]:
            use_own_key(tx, current, old, now_ms=clock.now_ms())
            return own_keys(tx)

        self._old = _in_order(await database.write(write), but=self.current)


def _in_order(keys: list[PublishedKey] | set[PublishedKey], *, but: VerifyKey) -> tuple[PublishedKey, ...]:
    """The keys that have expired, but for one that is used again."""
    expired = [key for key in keys if key.expired_ms is not None and key.verify_key != but]
    return tuple(sorted(expired, key=lambda key: (key.valid_until_ms, key.verify_key.key_id)))
