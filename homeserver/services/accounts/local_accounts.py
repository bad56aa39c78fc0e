"""Accounts that must be this server's: what every act of an administrator on a user begins with."""

from typing import Final

from homeserver.core.identifiers import ServerName, UserID, server_name_of
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.accounts import Account, find_account
from homeserver.storage.database import Transaction

ELSEWHERE: Final = "This is not a user of this server"
NOBODY: Final = "There is no such user here"
CLOSED: Final = "The account is closed"
ADMINISTRATOR: Final = "This user is an administrator of this server"


def check_local(user_id: UserID, server_name: ServerName) -> None:
    """Raise InvalidParameter for a user of another server."""
    if server_name_of(user_id) != server_name:
        raise InvalidParameter(ELSEWHERE)


def local_account(tx: Transaction, user_id: UserID, server_name: ServerName) -> Account:
    """The account of a user of this server, closed or not. Raises InvalidParameter, NotFound."""
    check_local(user_id, server_name)
    account = find_account(tx, user_id)
    if account is None:
        raise NotFound(NOBODY)
    return account


def open_account(tx: Transaction, user_id: UserID, server_name: ServerName) -> Account:
    """The account of a user of this server, if it is not closed. Raises InvalidParameter, NotFound."""
    account = local_account(tx, user_id, server_name)
    if account.is_deactivated:
        raise NotFound(CLOSED)
    return account
