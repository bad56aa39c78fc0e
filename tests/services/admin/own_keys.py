"""The one key that a server has which knows of no other."""

from collections.abc import Iterable

from homeserver.core.identifiers import ServerName
from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.storage.database import Transaction


class OwnKeys:
    """This server's own key, and nobody else's."""

    def __init__(self, server_name: ServerName, signing_key: SigningKey) -> None:
        self._server_name = server_name
        self._key = signing_key.verify_key

    def of_server(self, _tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        """See KnownKeys."""
        return (self._key,) if server_name == self._server_name else ()
