"""Invites by e-mail address or telephone number, when they have found their user: what the user's client brings of one.

Whether it is true is for the authorisation rules to say (core/membership_rules.py): they look at its signature.
Spec: client-server-api/#third-party-invites, server-server-api/#third-party-invites
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.identifiers import UserID, parse_user_id
from homeserver.services.errors import Forbidden, InvalidParameter

# JSON of others is `Any` in this file.


@dataclass(frozen=True, slots=True)
class Redeemed:
    """An invite of a user by somebody who invited an address, with what the identity server signed."""

    sender: UserID
    target: UserID
    signed: Mapping[str, Any]  # mxid, token, signatures; whatever else is in it is signed too

    def content(self, issued: Event | None = None) -> dict[str, Any]:
        """That of the invite. `issued` is the m.room.third_party_invite that it redeems, where it is known."""
        name = None if issued is None else issued.content.get("display_name")
        invite = {"display_name": name if isinstance(name, str) else "", "signed": dict(self.signed)}
        return {"membership": "invite", "third_party_invite": invite}

    @property
    def token(self) -> str:
        """By which the room knows the invite."""
        token: str = self.signed["token"]
        return token


def redeemed(sender: object, target: UserID, signed: object) -> Redeemed:
    """What is brought of an invite. Raises InvalidParameter for anything else, or for another user's."""
    if not isinstance(signed, dict) or not isinstance(signed.get("token"), str):
        raise InvalidParameter("A third-party invite is an object with a token")
    if signed.get("mxid") != target or not isinstance(signed.get("signatures"), dict):
        raise InvalidParameter("The third-party invite is another user's, or not signed")
    try:
        inviter = parse_user_id(sender if isinstance(sender, str) else "")
    except BadIdentifier as bad:
        raise InvalidParameter(f"sender: {bad.reason}") from bad
    return Redeemed(inviter, target, signed)


def check_may_be_redeemed(inviter_membership: object) -> None:
    """Raise Forbidden for an invite by somebody who is banned by now.

    By the rules an invite of an address holds until somebody takes away its m.room.third_party_invite, wherever the
    inviter has gone: so it does here after they have left. But the rules would also have this server speak for one
    whom the room wants to hear no more, and whose invites nobody may have thought of.
    Spec: rooms/v11/#authorization-rules
    """
    if inviter_membership == "ban":
        raise Forbidden("Whoever sent this invite is banned from the room")
