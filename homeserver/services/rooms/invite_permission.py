"""Whether somebody wants to be invited at all. Spec: client-server-api/#invite-permission"""

from typing import Final

import orjson

from homeserver.core.identifiers import UserID
from homeserver.services.errors import InviteBlocked
from homeserver.storage.account_data import find_account_data
from homeserver.storage.database import Transaction

CONFIGURATION: Final = "m.invite_permission_config"


def refuses_invites(tx: Transaction, user_id: UserID) -> bool:
    """Whether a user of this server said that nobody may invite them."""
    content = find_account_data(tx, user_id, None, CONFIGURATION)
    return content is not None and orjson.loads(content).get("default_action") == "block"


def check_accepts_invites(tx: Transaction, user_id: UserID) -> None:
    """Raises InviteBlocked."""
    if refuses_invites(tx, user_id):
        raise InviteBlocked
