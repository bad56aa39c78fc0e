"""Passwords: hashed with argon2id and checked in threads, few at a time, so that they never hold up the server.

Whose password it is, and how often one may guess, is in password_check.py.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import DeferredSemaphore

from homeserver.services.errors import InvalidParameter, LimitExceeded, WeakPassword

LONGEST: Final = 512  # characters
AT_ONCE: Final = 2
MOST_WAITING: Final = 64
RETRY_MS: Final = 2000

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords."""

    def __init__(
        self,
        call_in_thread: Callable[..., Awaitable[Any]],  # Any: the result of what is called
        *,
        time_cost: int,
        memory_kib: int,
    ) -> None:
        """`call_in_thread` is that of Twisted: it takes a function and its arguments."""
        self._call_in_thread = call_in_thread
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        # Checked in place of the hash that an unknown user has not, so that the answer takes as long.
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))
        self._slots = DeferredSemaphore(AT_ONCE)

    async def hash_new(self, password: str) -> str:
        """The hash of a new password. Raises WeakPassword, InvalidParameter, and LimitExceeded when many wait."""
        check_new_password(password)
        return await self._run(self._hasher.hash, password)

    async def is_correct(self, password_hash: str | None, password: str) -> bool:
        """True if the hash is that of the password. None, for nobody's, takes as long as a wrong one."""
        is_possible = password_hash is not None and 0 < len(password) <= LONGEST
        checked = password_hash if is_possible and password_hash is not None else self._nobodys
        is_equal = await self._run(self._verify, checked, password[:LONGEST])
        return is_equal and is_possible

    def is_outdated(self, password_hash: str) -> bool:
        """True for a hash made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *arguments: str) -> T:
        if len(self._slots.waiting) >= MOST_WAITING:
            raise LimitExceeded(RETRY_MS, "Too many people log in at this moment")
        await self._slots.acquire()
        try:
            result: T = await self._call_in_thread(function, *arguments)
            return result
        finally:
            self._slots.release()


def check_new_password(password: str) -> None:
    """Raise WeakPassword or InvalidParameter for a password that nobody may choose."""
    if not password:
        raise WeakPassword("A password is not empty")
    if len(password) > LONGEST:
        raise InvalidParameter(f"A password has at most {LONGEST} characters")
