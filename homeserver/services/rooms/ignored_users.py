"""Whom a user ignores. Spec: client-server-api/#ignoring-users"""

from typing import Final

import orjson

from homeserver.core.identifiers import UserID
from homeserver.storage.account_data import find_account_data
from homeserver.storage.database import Transaction

IGNORED_USERS: Final = "m.ignored_user_list"


def ignored_users(tx: Transaction, user_id: UserID) -> frozenset[str]:
    """Whose messages and invites the user does not want to see."""
    content = find_account_data(tx, user_id, None, IGNORED_USERS)
    listed = None if content is None else orjson.loads(content).get("ignored_users")
    # Who ignores themselves would miss what their other devices send.
    return frozenset(listed) - {user_id} if isinstance(listed, dict) else frozenset()
