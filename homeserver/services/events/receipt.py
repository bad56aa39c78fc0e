"""What is checked of an event from elsewhere before anything is looked up for it: format, content hash, signatures.

Whether its room allows it is decided in intake.py.
Spec: server-server-api/#checks-performed-on-receipt-of-a-pdu, steps 1 to 3
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.errors import BadIdentifier, BadSignature, ProtocolError
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.hashing import has_valid_content_hash
from homeserver.core.identifiers import EventID, KeyID, ServerName, parse_key_id
from homeserver.core.key_validity import PublishedKey, may_have_signed
from homeserver.core.redaction import redact
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import required_signers, signing_key_ids, verify_event_signature
from homeserver.services.events.keyring import KeyRing
from homeserver.storage.events import Form

# That many events are checked at once where they stand; the way to a thread and back costs more than it saves.
FEW: Final = 3

Keys = Mapping[ServerName, Sequence[PublishedKey]]


@dataclass(frozen=True, slots=True)
class Received:
    """An event that is well formed and signed; redacted, and of form WRONG_HASH, if its content was not the signed."""

    encoded: EncodedEvent
    form: Form


@dataclass(frozen=True, slots=True)
class Refused:
    """A PDU to be dropped, and why. `event_id` is None for one that is too malformed to have an ID."""

    event_id: EventID | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Examined:
    """An event that is well formed, and by which keys the servers say to have signed it whose signatures it needs."""

    received: Received
    claims: Mapping[ServerName, frozenset[KeyID]]


class Receipt:
    """Checks events from other servers."""

    def __init__(
        self,
        keyring: KeyRing,
        call_in_thread: Callable[..., Awaitable[Any]],  # Any: the result of what is called
    ) -> None:
        """`call_in_thread` is that of Twisted: it takes a function and its arguments."""
        self._keyring = keyring
        self._call_in_thread = call_in_thread

    async def check(self, pdus: Sequence[object], version: RoomVersion) -> list[Received | Refused]:
        """The judgement on each PDU, as decoded from JSON, in their order.

        Keys are asked for once, for all of them together. That they are of one room is not checked.
        """
        examined = await self._run(_examine_all, pdus, version)
        wanted = _wanted_keys(examined)
        keys = await self._keyring.keys_of(wanted) if wanted else {}
        judged: list[Received | Refused] = await self._run(_judge_all, examined, keys)
        return judged

    async def is_signed_by(self, event: Event, server: ServerName) -> bool:
        """Whether `server` has signed an event for which that is not needed by itself."""
        try:
            key_ids = _claimed_keys(event, server)
            keys = await self._keyring.keys_of({server: key_ids})
            _check_signatures(event, server, keys.get(server, ()))
        except BadSignature:
            return False
        return True

    # Any: what the function returns, which call_in_thread cannot tell
    async def _run(self, function: Callable[..., Any], items: Sequence[object], *arguments: object) -> Any:
        if len(items) <= FEW:
            return function(items, *arguments)
        return await self._call_in_thread(function, items, *arguments)


def _examine_all(pdus: Iterable[object], version: RoomVersion) -> list[_Examined | Refused]:
    return [_examine(pdu, version) for pdu in pdus]


def _examine(pdu: object, version: RoomVersion) -> _Examined | Refused:
    event_id = None
    try:
        encoded = parse_and_encode(pdu, version)
        event_id = encoded.event.event_id
        form = Form.FULL
        if not has_valid_content_hash(encoded.event.pdu, version):
            encoded = parse_and_encode(redact(encoded.event.pdu, version), version)
            form = Form.WRONG_HASH
        # It is asked of what is kept: an unsigned `third_party_invite` must not excuse the invite that it falls from.
        event = encoded.event
        claims = {server: _claimed_keys(event, server) for server in required_signers(event)}
    except ProtocolError as error:
        return Refused(event_id, error.reason)
    return _Examined(Received(encoded, form), claims)


def _claimed_keys(event: Event, server: ServerName) -> frozenset[KeyID]:
    """The keys by which `server` claims to have signed the event, without IDs that no key can have.

    Raises BadSignature if there is none.
    """
    claimed = frozenset(key_id for key_id in signing_key_ids(event.pdu, server) if _is_key_id(key_id))
    if not claimed:
        raise BadSignature(f"{server} has not signed the event")
    return claimed


def _is_key_id(key_id: KeyID) -> bool:
    try:
        parse_key_id(key_id)
    except BadIdentifier:
        return False
    return True


def _wanted_keys(examined: Iterable[_Examined | Refused]) -> dict[ServerName, set[KeyID]]:
    wanted: dict[ServerName, set[KeyID]] = {}
    for each in examined:
        if isinstance(each, _Examined):
            for server, key_ids in each.claims.items():
                wanted.setdefault(server, set()).update(key_ids)
    return wanted


def _judge_all(examined: Iterable[_Examined | Refused], keys: Keys) -> list[Received | Refused]:
    return [_judge(each, keys) if isinstance(each, _Examined) else each for each in examined]


def _judge(examined: _Examined, keys: Keys) -> Received | Refused:
    event = examined.received.encoded.event
    try:
        for server, key_ids in examined.claims.items():
            _check_signatures(event, server, [key for key in keys.get(server, ()) if key.verify_key.key_id in key_ids])
    except ProtocolError as error:
        return Refused(event.event_id, error.reason)
    return examined.received


def _check_signatures(event: Event, server: ServerName, keys: Iterable[PublishedKey]) -> None:
    """Refuse the event unless all its signatures by keys of `server` that count are right, and there is one.

    Where a server has had two keys of one ID, the signature of either will do. Raises BadSignature.
    """
    by_id: dict[KeyID, list[PublishedKey]] = {}
    for key in keys:
        if may_have_signed(key, event.version, event.origin_server_ts):
            by_id.setdefault(key.verify_key.key_id, []).append(key)
    if not by_id:
        raise BadSignature(f"{server} has signed the event by no key that is known and was valid")
    for key_id, namesakes in by_id.items():
        if not any(_has_signed(event, server, key) for key in namesakes):
            raise BadSignature(f"the signature of {server} by {key_id} is wrong")


def _has_signed(event: Event, server: ServerName, key: PublishedKey) -> bool:
    try:
        verify_event_signature(event.pdu, event.version, server, key.verify_key)
    except BadSignature:
        return False
    return True
