"""Where the keys come from by which the events of other servers are checked.

Which of them count for an event is in core/key_validity.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.signing import VerifyKey


class KeyRing(Protocol):
    """Finds keys of servers."""

    async def keys_of(
        self, wanted: Mapping[ServerName, AbstractSet[KeyID]]
    ) -> Mapping[ServerName, Sequence[PublishedKey]]:
        """The wanted keys as far as they can be had; a server of which none is known may be absent.

        One key ID may stand for several keys. Nothing is raised for what cannot be had.
        """


class GivenKeys:
    """Keys that are known beforehand, and no others."""

    def __init__(self, keys: Mapping[ServerName, Sequence[PublishedKey]]) -> None:
        self._keys = {server: tuple(each) for server, each in keys.items()}

    async def keys_of(
        self, wanted: Mapping[ServerName, AbstractSet[KeyID]]
    ) -> Mapping[ServerName, Sequence[PublishedKey]]:
        """The wanted ones among the keys that were given."""
        return {
            server: [key for key in self._keys.get(server, ()) if key.verify_key.key_id in key_ids]
            for server, key_ids in wanted.items()
        }


class OwnKeysAnd:
    """This server's own keys, and those of all others from another key ring, which is never asked for the own ones."""

    def __init__(self, server_name: ServerName, own_keys: Iterable[VerifyKey], others: KeyRing) -> None:
        """`own_keys` is gone through anew each time: there may be more of them later."""
        self._server_name = server_name
        self._own_keys = own_keys
        self._others = others

    async def keys_of(
        self, wanted: Mapping[ServerName, AbstractSet[KeyID]]
    ) -> Mapping[ServerName, Sequence[PublishedKey]]:
        """The wanted keys; this server's own never expire here."""
        elsewhere = {server: key_ids for server, key_ids in wanted.items() if server != self._server_name}
        found = dict(await self._others.keys_of(elsewhere)) if elsewhere else {}
        own = wanted.get(self._server_name)
        if own is not None:
            found[self._server_name] = [PublishedKey(key, FOR_EVER_MS) for key in self._own_keys if key.key_id in own]
        return found
