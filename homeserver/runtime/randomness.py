"""Where secrets, IDs and jitter come from."""

import base64
import builtins
import random
import secrets
import string
from typing import Final, Protocol

ALPHABET: Final = string.ascii_letters + string.digits


class Randomness(Protocol):
    """A source of random values."""

    def token(self, nbytes: int) -> str:
        """A secret of `nbytes` random bytes, as URL-safe base64 without padding."""

    def opaque_id(self, prefix: str, length: int) -> str:
        """`prefix` and `length` random letters and digits."""

    def fraction(self) -> float:
        """A number from 0 up to, not including, 1: for jitter."""

    def bytes(self, count: int) -> builtins.bytes:
        """`count` random bytes."""


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


class SystemRandomness:
    """The operating system's source: nobody can guess what it gives."""

    def token(self, nbytes: int) -> str:
        return secrets.token_urlsafe(nbytes)

    def opaque_id(self, prefix: str, length: int) -> str:
        return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))

    def fraction(self) -> float:
        return secrets.randbits(53) / (1 << 53)

    def bytes(self, count: int) -> builtins.bytes:
        return secrets.token_bytes(count)


class SeededRandomness:
    """The same values for the same seed: for tests, never for a server."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - meant to be predictable

    def token(self, nbytes: int) -> str:
        return _base64(self._random.randbytes(nbytes))

    def opaque_id(self, prefix: str, length: int) -> str:
        return prefix + "".join(self._random.choices(ALPHABET, k=length))

    def fraction(self) -> float:
        return self._random.random()

    def bytes(self, count: int) -> builtins.bytes:
        return self._random.randbytes(count)
