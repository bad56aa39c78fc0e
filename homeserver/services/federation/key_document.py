"""This server's own keys, as it publishes them to other servers.

How they are replaced is in services/admin/key_rotation.py; what others publish, in key_notary.py.
Spec: server-server-api/#publishing-keys
"""

from typing import Any, Final

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import key_document
from homeserver.runtime.clock import Clock
from homeserver.services.events.own_keys import OwnSigningKeys

# Who cached a document for half of that time still has hours before its keys run out.
VALIDITY_MS: Final = 24 * 3600 * 1000
RENEWED_BEFORE_MS: Final = VALIDITY_MS // 2


class OwnKeyDocument:
    """The document, made anew when half of its validity is over, or the keys have changed."""

    def __init__(self, keys: OwnSigningKeys, server_name: ServerName, clock: Clock) -> None:
        self._keys = keys
        self._server_name = server_name
        self._clock = clock
        self._content: dict[str, Any] = {}  # Any: JSON
        self._encoded = b""
        self._made_of: tuple[KeyID, int] | None = None
        self._valid_until_ms = 0

    def encoded(self) -> bytes:
        """The document in canonical JSON."""
        self._renew()
        return self._encoded

    def content(self) -> dict[str, Any]:
        """The document."""
        self._renew()
        return self._content

    def _renew(self) -> None:
        now_ms = self._clock.now_ms()
        keys = (self._keys.current.key_id, len(self._keys.old))
        # A clock that was put back would else leave a document that lasts for longer than was meant.
        if keys == self._made_of and RENEWED_BEFORE_MS < self._valid_until_ms - now_ms <= VALIDITY_MS:
            return
        self._valid_until_ms = now_ms + VALIDITY_MS
        self._content = key_document(
            self._server_name, self._keys.current, self._keys.old, self._keys, valid_until_ms=self._valid_until_ms
        )
        self._encoded = encode_canonical(self._content)
        self._made_of = keys
