"""Credentials for a TURN server that shares a secret with this one, as coturn's `use-auth-secret` checks them.

The user's name says until when it counts, and the password is its keyed hash: draft-uberti-behave-turn-rest-00.
"""

import base64
import hmac
from dataclasses import dataclass

from homeserver.core.identifiers import UserID


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """What a client shows to the TURN server."""

    username: str
    password: str


def credentials_until(expires_s: int, user_id: UserID, shared_secret: str) -> TurnCredentials:
    """Credentials of a user that count until `expires_s`, in seconds since 1970."""
    username = f"{expires_s}:{user_id}"
    digest = hmac.digest(shared_secret.encode(), username.encode(), "sha1")  # the protocol's choice, not ours
    return TurnCredentials(username, base64.b64encode(digest).decode())
