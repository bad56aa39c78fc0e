"""Who sent a request of another server: its signature is checked against the keys that the server publishes.

How the header is read, and what exactly is signed, is in core/x_matrix.py.
Spec: server-server-api/#request-authentication
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from homeserver.core.errors import BadJson, BadSignature
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import PublishedKey
from homeserver.core.unpadded_base64 import decode_base64
from homeserver.core.x_matrix import XMatrix, is_x_matrix, parse_x_matrix, signed_request
from homeserver.services.errors import Forbidden, Unauthorized
from homeserver.services.events.remote_keys import RemoteKeys

MOST_SIGNATURES: Final = 8  # of one request


class RequestVerification:
    """Verifies the signatures of requests: an http.authentication.PeerVerifier."""

    def __init__(
        self,
        remote_keys: RemoteKeys,
        server_name: ServerName,
        *,
        is_blocked: Callable[[ServerName], bool] = lambda _: False,
        heard_from: Callable[[ServerName], None] = lambda _: None,
    ) -> None:
        """`heard_from` is told of each server that has signed a request: it is there, and can be reached again."""
        self._remote_keys = remote_keys
        self._server_name = server_name
        self._is_blocked = is_blocked
        self._heard_from = heard_from

    async def verify(self, *, method: str, uri: str, authorization: Sequence[str], content: bytes) -> ServerName:
        """The server that signed the request. See PeerVerifier.

        With several signatures, all by keys that are known must be right, and there must be one.
        Raises Unauthorized; BadIdentifier for names that cannot be; Forbidden for a server that is blocked here.
        """
        claims = self._claims(authorization)
        origin = claims[0].origin
        understood = {claim.key_id for claim in claims if claim.key_id.startswith("ed25519:")}
        keys = await self._remote_keys.keys_for_request(origin, understood) if understood else []
        known = [claim for claim in claims if any(key.verify_key.key_id == claim.key_id for key in keys)]
        if not known:
            raise Unauthorized(f"No key is known by which {origin} could have signed the request")
        try:
            signed = signed_request(method, uri, origin, self._server_name, content)
        except BadJson as bad:
            raise Unauthorized(f"The request's content cannot have been signed: {bad.reason}") from bad
        wrong = [claim for claim in known if not _is_right(claim, keys, signed)]
        if wrong:
            # A server may have replaced its key and kept the ID, long before the old one's publication runs out.
            keys = await self._remote_keys.keys_for_request_again(origin, {claim.key_id for claim in wrong})
        for claim in wrong:
            if not _is_right(claim, keys, signed):
                raise Unauthorized(f"The signature of {origin} by {claim.key_id} is wrong")
        self._heard_from(origin)
        return origin

    def _claims(self, authorization: Iterable[str]) -> list[XMatrix]:
        """What the headers claim: one origin, one signature by each key. Raises what `verify` does."""
        headers = [header for header in authorization if is_x_matrix(header)]
        if not headers:
            raise Unauthorized("The request is not signed: it has no Authorization header of the scheme X-Matrix")
        if len(headers) > MOST_SIGNATURES:
            raise Unauthorized(f"The request has more than {MOST_SIGNATURES} signatures")
        try:
            claims = [parse_x_matrix(header) for header in headers]
        except BadSignature as bad:
            raise Unauthorized(bad.reason) from bad
        origin = claims[0].origin
        if any(claim.origin != origin for claim in claims):
            raise Unauthorized("The request is signed in the names of several servers")
        if any(claim.destination not in (None, self._server_name) for claim in claims):
            raise Unauthorized("The request is for another server")
        if origin == self._server_name:
            raise Unauthorized("The request is signed in the name of this server itself")
        if self._is_blocked(origin):
            raise Forbidden(f"{origin} may not speak with this server")
        return claims


def _is_right(claim: XMatrix, keys: Iterable[PublishedKey], signed: bytes) -> bool:
    """True if any of the keys of that ID has signed: a server may have had two."""
    signature = decode_base64(claim.signature)
    return signature is not None and any(
        key.verify_key.has_signed(signed, signature) for key in keys if _has_id(key, claim.key_id)
    )


def _has_id(key: PublishedKey, key_id: KeyID) -> bool:
    return key.verify_key.key_id == key_id
