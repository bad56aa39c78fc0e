"""The keys by which an audit checks signatures: this server's own, and those that were stored of others."""

from collections.abc import Iterable

from homeserver.core.identifiers import ServerName
from homeserver.core.signing import VerifyKey
from homeserver.storage.database import Transaction
from homeserver.storage.own_keys import own_keys
from homeserver.storage.server_keys import server_keys_of


class StoredKeys:
    """All keys that this server has: a room_audit.KnownKeys. Nothing is fetched."""

    def __init__(self, server_name: ServerName, current: Iterable[VerifyKey]) -> None:
        """`current` are own keys that may not be in the database yet; they are gone through anew each time."""
        self._server_name = server_name
        self._current = current

    def of_server(self, tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        """See KnownKeys."""
        if server_name == self._server_name:
            return dict.fromkeys((*self._current, *(key.verify_key for key in own_keys(tx))))
        stored = server_keys_of(tx, (server_name,)).get(server_name, ())
        return [key.published.verify_key for key in stored]
