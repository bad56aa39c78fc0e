"""What tokens look like, and the hash by which the database knows them.

A token is a secret of 192 random bits after a prefix by which people, and scanners of leaked secrets, recognise it.
"""

from hashlib import sha256
from typing import Final

from homeserver.runtime.randomness import Randomness

ACCESS: Final = "clba_"
REFRESH: Final = "clbr_"
LOGIN: Final = "clbl_"
OPENID: Final = "clbo_"
SECRET_BYTES: Final = 24
LONGEST: Final = 64  # characters; what is longer is no token of this server


def new_token(kind: str, randomness: Randomness) -> str:
    """A fresh token: `kind` is one of the prefixes above."""
    return kind + randomness.token(SECRET_BYTES)


def is_possible(token: str, kind: str) -> bool:
    """False for what this server cannot have made as a token of that kind."""
    return token.startswith(kind) and len(token) <= LONGEST and token.isascii()


def hash_of(token: str) -> bytes:
    """The hash by which a token is stored and found.

    Who can tell how long a search takes learns about hashes, and so nothing about tokens.
    """
    return sha256(token.encode()).digest()
