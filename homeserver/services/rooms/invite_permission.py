"""Whose invites a user of this server wants: what account data says, as core/invite_rules.py understands it."""

from typing import Any, Final

import orjson

from homeserver.core.identifiers import UserID
from homeserver.core.invite_rules import Answer, InviteRules
from homeserver.services.errors import InviteBlocked
from homeserver.storage.account_data import find_account_data
from homeserver.storage.database import Transaction

PERMISSION: Final = "m.invite_permission_config"
FILTERING: Final = "org.matrix.msc4155.invite_permission_config"


def invite_rules(tx: Transaction, user_id: UserID) -> InviteRules:
    """What a user said of invites."""
    return InviteRules(_content(tx, user_id, PERMISSION), _content(tx, user_id, FILTERING))


def check_accepts_invites(tx: Transaction, user_id: UserID, inviter: UserID) -> None:
    """Raise InviteBlocked if the user wants no invites by `inviter`, and wants that to be said."""
    if invite_rules(tx, user_id).answer(inviter) is Answer.BLOCK:
        raise InviteBlocked


def _content(tx: Transaction, user_id: UserID, data_type: str) -> dict[str, Any] | None:  # Any: JSON of the client's
    content = find_account_data(tx, user_id, None, data_type)
    if content is None:
        return None
    read: dict[str, Any] = orjson.loads(content)
    return read
