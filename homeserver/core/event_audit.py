"""The audit of a stored event: is it what its ID, hash and signatures say, and do the rules allow it where it stands?

It is told of other events and of states by functions; nothing is believed of an event but its bytes. How a room is gone
through, from where, is in services/admin/audit.py; the audit of a state map in state_verification.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from homeserver.core import state_map
from homeserver.core.auth_rules import authorise, check_auth_events, may_redact
from homeserver.core.auth_selection import CREATE, POWER_LEVELS, auth_types_for
from homeserver.core.canonical_json import decode_for
from homeserver.core.errors import AuthRejected, BadSignature, ProtocolError
from homeserver.core.event import Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.hashing import create_event_id_of, has_valid_content_hash, reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.redaction import redact
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import VerifyKey, required_signers, signing_key_ids, verify_event_signature
from homeserver.core.state_map import EMPTY_ROOT, Nodes, StateKey, UnknownState
from homeserver.core.state_nodes import HashedEventID


class Unsound(Exception):  # noqa: N818 - the finding of an audit
    """Something does not hold; `reason` says what."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Kept:
    """An event, and what the server keeps beside it.

    `is_whole` is False for one that is kept redacted: by the event `redacted_by`, or because its hash was wrong when it
    came (None). `given_by` is the server whose word is all that the state before the event rests on; None where it
    follows from what the event is built on.
    """

    event: Event
    place: int | None
    log_position: int | None
    is_accepted: bool
    is_rejected: bool
    is_whole: bool
    redacted_by: EventID | None
    replaces_state: EventID | None
    root_before: bytes | None
    root_after: bytes | None
    given_by: str | None

    @property
    def root(self) -> bytes | None:
        """The state with this event in it."""
        return self.root_after or self.root_before

    @property
    def state_value(self) -> EventID | HashedEventID:
        """What stands for the event in a state map."""
        event = self.event
        if event.version.event_ids_are_hashes:
            return event.event_id
        return HashedEventID(event.event_id, reference_hash(event.pdu, event.version))


Find: TypeAlias = Callable[[EventID], Kept | None]
Select: TypeAlias = Callable[[bytes, Iterable[StateKey]], Mapping[StateKey, Kept]]
"""The events under some keys of the state with this root. Raises UnknownState where the map is partial."""
Merge: TypeAlias = Callable[[Sequence[bytes]], bytes]
"""The root of the resolution of several states."""

_REDACTION: Final = "m.room.redaction"


def read_stored(pdu: bytes, version: RoomVersion, *, event_id: EventID, room_id: RoomID, is_whole: bool) -> Event:
    """The event that is stored in some bytes under an ID. Raises Unsound when the bytes are not that event's."""
    try:
        encoded = parse_and_encode(decode_for(version, pdu), version)
        event = encoded.event
        if event.event_id != event_id:
            raise Unsound(f"it is stored with the content of {event.event_id}")
        if encoded.pdu_json != pdu:
            raise Unsound("it is not stored as canonical JSON")
        if event.room_id != room_id:
            raise Unsound(f"it says that it is of {event.room_id}")
        if is_whole and not has_valid_content_hash(event.pdu, version):
            raise Unsound("its content hash is wrong")
        if not is_whole and redact(event.pdu, version) != event.pdu:
            raise Unsound("it is said to be redacted, and has more than a redaction leaves")
    except ProtocolError as wrong:
        raise Unsound(f"its bytes are not an event: {wrong.reason}") from wrong
    return event


def check_signatures(kept: Kept, keys_of: Callable[[ServerName], Iterable[VerifyKey]]) -> int:
    """Verify the signatures that an event must have; the number of those for which no key is known.

    Raises Unsound for one that is missing or wrong.
    """
    event = kept.event
    unknown = 0
    try:
        signers = required_signers(event)
    except BadSignature as bad:
        raise Unsound(bad.reason) from bad
    for server in sorted(signers):
        named = signing_key_ids(event.pdu, server)
        if not named:
            if not kept.is_whole and event.type == "m.room.member":
                continue  # what let it do without may have been redacted
            raise Unsound(f"it has no signature of {server}")
        known = [key for key in keys_of(server) if key.key_id in named]
        if not known:
            unknown += 1
        elif not any(_has_signed(event, server, key) for key in known):
            raise Unsound(f"its signature of {server} is wrong")
    return unknown


def _has_signed(event: Event, server: ServerName, key: VerifyKey) -> bool:
    try:
        verify_event_signature(event.pdu, event.version, server, key)
    except BadSignature:
        return False
    return True


def check_references(kept: Kept, find: Find) -> None:
    """Raise Unsound unless what an event is authorised by and built on is here, and stands before it."""
    if kept.is_rejected:
        return
    if kept.log_position is not None and kept.place is None:
        raise Unsound("it was news, and has no place in the room")
    for other in kept.event.auth_event_ids:
        _check_is_before(kept, find(other), f"its auth event {other}")
    if kept.place is None or kept.root_before is None or kept.given_by is not None:
        return  # whatever it is built on is not needed for the state before it
    for other in kept.event.prev_event_ids:
        _check_is_before(kept, find(other), f"what it is built on, {other},")


def _check_is_before(kept: Kept, other: Kept | None, name: str) -> None:
    if other is None:
        raise Unsound(f"{name} is not here")
    if kept.place is not None and other.place is not None and other.place >= kept.place:
        raise Unsound(f"{name} stands after it")


def check_roots(kept: Kept, find: Find, nodes: Nodes, merge: Merge) -> None:
    """Raise Unsound unless the states before and after an event are what its place in the graph makes of them."""
    event = kept.event
    if kept.root_before is None:
        if kept.root_after is not None:
            raise Unsound("there is a state after it, and none before it")
        if kept.log_position is not None and not kept.is_rejected:
            raise Unsound("it was news, and there is no state before it")
        return
    if kept.is_rejected:
        if kept.root_after not in (None, kept.root_before):
            raise Unsound("it was rejected, and changes the state")
        return
    if kept.given_by is None and kept.root_before != _derived_root(event, find, merge):
        raise Unsound("the state before it is not the one after what it is built on")
    if (kept.root_after is None) != (event.state_key is None):
        raise Unsound(f"it {'has no' if kept.root_after is None else 'has a'} state after it")
    if event.state_key is None or kept.root_after is None:
        return
    key = (event.type, event.state_key)
    try:
        if state_map.update(nodes, kept.root_before, {key: kept.state_value}).root != kept.root_after:
            raise Unsound("the state after it is not the one before with the event in it")
        replaced = state_map.get(nodes, kept.root_before, *key)
    except UnknownState:
        return  # a partial state: not all of it is here to be compared
    if replaced != kept.replaces_state:
        raise Unsound(f"it replaces {replaced}, and is said to replace {kept.replaces_state}")


def _derived_root(event: Event, find: Find, merge: Merge) -> bytes:
    if not event.prev_event_ids:
        return EMPTY_ROOT
    roots: list[bytes] = []
    for other in dict.fromkeys(event.prev_event_ids):
        found = find(other)
        root = None if found is None else found.root
        if root is None:
            raise Unsound(f"the state after what it is built on, {other}, is not known")
        roots.append(root)
    return merged_root(roots, merge)


def merged_root(roots: Sequence[bytes], merge: Merge) -> bytes:
    """The root of the state after several events, given those after each."""
    different = list(dict.fromkeys(roots))
    return different[0] if len(different) == 1 else merge(different)


def check_authorisation(kept: Kept, find: Find, select: Select) -> None:
    """Raise Unsound when the rules say otherwise of an event than what the server did with it.

    They are asked twice: with the event's auth events, and with the state before it. Where one of the events that they
    look at is kept redacted, their refusal shows nothing: it may be due to what is gone.
    """
    event = kept.event
    create = kept if event.type == "m.room.create" else _create_of(event, find)
    auth = [found for other in event.auth_event_ids if (found := find(other)) is not None]
    if kept.is_rejected and len(auth) < len(event.auth_event_ids):
        return
    refusal = _refusal_by_auth_events(event, auth, create)
    source = "its auth events do"
    asked = [kept, *auth, *([] if create is None else [create])]
    if refusal is None and kept.root_before is not None:
        wanted = (*auth_types_for(event.type, event.sender, event.state_key, event.content, event.version), CREATE)
        try:
            state = select(kept.root_before, wanted)
        except UnknownState:
            return
        asked += state.values()
        source = "the state before it does"
        refusal = _refusal(event, {key: one.event for key, one in state.items()}, create)
    if not all(one.is_whole for one in asked):
        return
    if refusal is not None and not kept.is_rejected:
        raise Unsound(f"{source} not allow it: {refusal}")
    if refusal is None and kept.is_rejected and kept.root_before is not None:
        raise Unsound("it is said to be rejected, and the rules allow it")


def _create_of(event: Event, find: Find) -> Kept | None:
    """The m.room.create that a room of version 12 or later has without naming it."""
    return find(create_event_id_of(event.room_id)) if event.version.room_id_is_create_hash else None


def _refusal_by_auth_events(event: Event, auth: Sequence[Kept], create: Kept | None) -> str | None:
    if event.version.room_id_is_create_hash and create is None:
        return "the room's m.room.create event is not here"
    others = [*auth, *([] if create is None else [create])]
    rejected = frozenset(one.event.event_id for one in others if one.is_rejected)
    listed = [one.event for one in auth]
    try:
        check_auth_events(event, listed, create=None if create is None else create.event, rejected=rejected)
    except AuthRejected as refused:
        return refused.reason
    return _refusal(event, {(one.type, one.state_key or ""): one for one in listed}, create)


def _refusal(event: Event, state: Mapping[StateKey, Event], create: Kept | None) -> str | None:
    try:
        authorise(event, state, None if create is None else create.event)
    except AuthRejected as refused:
        return refused.reason
    return None


def check_redaction(kept: Kept, find: Find, select: Select) -> None:
    """Raise Unsound unless an event is kept redacted because a redaction says so, and whole because none does."""
    event = kept.event
    if kept.redacted_by is not None:
        redaction = find(kept.redacted_by)
        if kept.is_whole or redaction is None:
            raise Unsound(
                f"it is said to be redacted by {kept.redacted_by}, which is not {'so' if kept.is_whole else 'here'}"
            )
        if not redaction.is_accepted or redaction.event.type != _REDACTION:
            raise Unsound(f"it is said to be redacted by {kept.redacted_by}, which is no redaction")
        if redaction.is_whole and _redacts(redaction, kept, select) is False:
            raise Unsound(f"it is said to be redacted by {kept.redacted_by}, which does not redact it")
    if event.type == _REDACTION and event.redacts is not None and kept.is_accepted and kept.is_whole:
        target = find(event.redacts)
        if target is not None and target.is_whole and _redacts(kept, target, select):
            raise Unsound(f"it redacts {event.redacts}, which is kept whole")


def _redacts(redaction: Kept, target: Kept, select: Select) -> bool | None:
    """Whether a redaction counts; None where that cannot be known any more."""
    if redaction.root_before is None:
        return None
    try:
        state = select(redaction.root_before, (CREATE, POWER_LEVELS))
    except UnknownState:
        return None
    if not all(one.is_whole for one in state.values()):
        return None
    return may_redact(redaction.event, target.event, {key: one.event for key, one in state.items()})
