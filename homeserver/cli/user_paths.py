"""Users as commands are told them, and where the administrators' API has them."""

from urllib.parse import quote

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import parse_user_id


def user_path(user_id: str) -> str:
    """Where a user is. Raises CommandFailed for what is no user ID."""
    try:
        parse_user_id(user_id)
    except BadIdentifier as wrong:
        raise CommandFailed(f"{user_id} is no user ID: write it whole, like @bob:example.org") from wrong
    return f"{ADMIN_API}/users/{quote(user_id, safe='')}"
