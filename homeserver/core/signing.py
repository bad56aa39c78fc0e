"""Ed25519 keys, and the signatures of JSON objects and events. Spec: appendices/#signing-json

Where the keys of other servers come from, and when they are valid, is in services/federation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import BadIdentifier, BadKey, BadSignature
from homeserver.core.event import Event
from homeserver.core.hashing import reference_json
from homeserver.core.identifiers import KeyID, ServerName, parse_user_id, server_name_of, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.core.unpadded_base64 import decode_base64, encode_base64

_ALGORITHM: Final = "ed25519"
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_UNSIGNED_KEYS: Final = frozenset({"signatures", "unsigned"})


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """The public half of somebody's Ed25519 key."""

    key_id: KeyID
    public: bytes

    @classmethod
    def from_base64(cls, key_id: KeyID, text: str) -> "VerifyKey":
        """The key as JSON carries it. Raises BadKey, also for other algorithms than ed25519."""
        if not key_id.startswith(f"{_ALGORITHM}:"):
            raise BadKey(f"unknown key algorithm: {key_id!r:.60}")
        public = decode_base64(text)
        if public is None or len(public) != _KEY_BYTES:
            raise BadKey(f"not an Ed25519 public key: {text!r:.60}")
        return cls(key_id, public)

    def to_base64(self) -> str:
        """The key as JSON carries it."""
        return encode_base64(self.public)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """True if `signature` is this key's over `message`."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.public)
        except BadSignatureError:
            return False
        return True


class Signer(Protocol):
    """Signs in a server's name: with one key, or with whichever of its keys is in use."""

    def key_and_signature(self, message: bytes) -> tuple[KeyID, str]:
        """The key that is in use, and its signature over `message` in unpadded base64."""


class SigningKey:
    """A whole Ed25519 key of this server. It never shows its secret but to the key file."""

    __slots__ = ("_secret", "_seed", "key_id", "verify_key")

    def __init__(self, name: str, seed: bytes) -> None:
        """`name` is what follows "ed25519:"; `seed` is 32 bytes of good randomness. Raises BadKey."""
        if _KEY_NAME.fullmatch(name) is None:
            raise BadKey(f"a signing key's name is letters, digits and underscores, not {name!r:.60}")
        if len(seed) != _KEY_BYTES:
            raise BadKey("the seed of a signing key is 32 bytes long")
        public, secret = crypto_sign_seed_keypair(seed)
        self._seed = seed
        self._secret = secret
        self.key_id: Final = KeyID(f"{_ALGORITHM}:{name}")
        self.verify_key: Final = VerifyKey(self.key_id, public)

    @classmethod
    def from_line(cls, line: str) -> "SigningKey":
        """The key of a key file's line: "ed25519 <name> <unpadded base64 of the seed>". Raises BadKey."""
        match line.split():
            case [algorithm, name, text] if algorithm == _ALGORITHM:
                seed = decode_base64(text)
                if seed is not None:
                    return cls(name, seed)
        raise BadKey('a signing key is one line: "ed25519 <name> <seed in base64>"')

    def to_line(self) -> str:
        """The secret key as a key file keeps it, with its newline."""
        return f"{_ALGORITHM} {self.key_id.partition(':')[2]} {encode_base64(self._seed)}\n"

    def sign(self, message: bytes) -> str:
        """The signature over `message`, in unpadded base64."""
        return encode_base64(crypto_sign(message, self._secret)[:_SIGNATURE_BYTES])

    def key_and_signature(self, message: bytes) -> tuple[KeyID, str]:
        """See Signer."""
        return self.key_id, self.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id!r})"


def sign_json(obj: Mapping[str, Any], server: str, key: Signer) -> dict[str, Any]:
    """A copy of `obj` with the signature of `server` (or of a user, for their keys) added. Raises BadJson."""
    return _with_signature(obj, server, key, _signed_json(obj))


def verify_json(obj: Mapping[str, Any], server: str, key: VerifyKey) -> None:
    """Raises BadSignature unless `server` has signed `obj` with `key`; BadJson if nobody could have."""
    _verify(obj, server, key, _signed_json(obj))


def sign_event(pdu: Mapping[str, Any], version: RoomVersion, server: ServerName, key: Signer) -> dict[str, Any]:
    """A copy of a hashed PDU with the signature of `server` over its redacted form. Raises BadEvent, BadJson."""
    return _with_signature(pdu, server, key, reference_json(pdu, version))


def verify_event_signature(pdu: Mapping[str, Any], version: RoomVersion, server: ServerName, key: VerifyKey) -> None:
    """Raises BadSignature unless `server` has signed the event, redacted or not, with `key`; BadEvent, BadJson."""
    _verify(pdu, server, key, reference_json(pdu, version))


def signing_key_ids(obj: Mapping[str, Any], server: str) -> tuple[KeyID, ...]:
    """The keys by which `server` claims to have signed `obj`, of algorithms that are understood here."""
    return tuple(KeyID(key_id) for key_id in _signatures_by(obj, server) if key_id.startswith(f"{_ALGORITHM}:"))


def required_signers(event: Event) -> frozenset[ServerName]:
    """The servers without whose signature an event is dropped.

    The sender's server, but not for an invite by third-party ID, which anybody may have sent on: the authorisation
    rules look at that one's own signature. In versions 1 and 2 also the server that assigned the event ID. For a
    restricted join also the server that let the user in. Raises BadSignature if that one has no valid name.
    Spec: server-server-api/#validating-hashes-and-signatures-on-received-events
    """
    signers = set()
    content = event.content
    is_member = event.type == "m.room.member"
    if not (is_member and content.get("membership") == "invite" and "third_party_invite" in content):
        signers.add(server_name_of_user(event.sender))
    if not event.version.event_ids_are_hashes:
        assigner = server_name_of(event.event_id)
        if assigner is not None:
            signers.add(assigner)
    if is_member and event.version.restricted_joins and "join_authorised_via_users_server" in content:
        signers.add(_authorising_server(content["join_authorised_via_users_server"]))
    return frozenset(signers)


def _authorising_server(user_id: object) -> ServerName:
    try:
        return server_name_of_user(parse_user_id(user_id if isinstance(user_id, str) else ""))
    except BadIdentifier as error:
        raise BadSignature("join_authorised_via_users_server names no user") from error


def _signed_json(obj: Mapping[str, Any]) -> bytes:
    return encode_canonical({name: value for name, value in obj.items() if name not in _UNSIGNED_KEYS})


def _signatures_by(obj: Mapping[str, Any], server: str) -> Mapping[str, Any]:
    signatures = obj.get("signatures")
    by_server = signatures.get(server) if isinstance(signatures, dict) else None
    return by_server if isinstance(by_server, dict) else {}


def _with_signature(obj: Mapping[str, Any], server: str, key: Signer, message: bytes) -> dict[str, Any]:
    signatures = obj.get("signatures")
    others = signatures if isinstance(signatures, dict) else {}
    key_id, signature = key.key_and_signature(message)
    by_server = {**_signatures_by(obj, server), key_id: signature}
    return {**obj, "signatures": {**others, server: by_server}}


def _verify(obj: Mapping[str, Any], server: str, key: VerifyKey, message: bytes) -> None:
    text = _signatures_by(obj, server).get(key.key_id)
    if not isinstance(text, str):
        raise BadSignature(f"no signature of {server} by {key.key_id}")
    signature = decode_base64(text)
    if signature is None or not key.has_signed(message, signature):
        raise BadSignature(f"the signature of {server} by {key.key_id} is wrong")
