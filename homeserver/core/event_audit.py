"""The audit of a stored event: is it what its ID, hash and signatures say, and do the rules allow it where it stands?

It is told of other events and of states by functions; nothing is believed of an event but its bytes. How a room is gone
through, from where, is in services/admin/room_audit.py; the audit of a state map in state_verification.py.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from homeserver.core import state_map
from homeserver.core.auth_rules import authorise, check_auth_events, may_redact
from homeserver.core.auth_selection import CREATE, POWER_LEVELS, auth_types_for
from homeserver.core.canonical_json import decode_for, encode_for
from homeserver.core.errors import AuthRejected, BadSignature, MissingEvents, ProtocolError
from homeserver.core.event import Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.hashing import create_event_id_of, has_valid_content_hash, reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.redaction import content_for_rules, redact
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

    `is_whole` is False for one that is kept redacted: by the event `redacted_by`, or (None) because its hash was wrong
    when it came, or because it has expired. `rules_content` is what of a redacted one the rules are still to go by.
    `given_by` is the server whose word is all that the state before the event rests on; None where it follows from what
    the event is built on.
    """

    nid: int
    event: Event
    place: int | None
    log_position: int | None
    is_accepted: bool
    is_rejected: bool
    has_reason: bool  # why it was not accepted is noted
    was_accepted: bool  # for some time, by its auth events alone, before it was rejected
    is_whole: bool
    redacted_by: EventID | None
    rules_content: Mapping[str, Any] | None
    replaces_state: EventID | None
    root_before: bytes | None
    root_after: bytes | None
    given_by: str | None
    is_expired: bool = False

    @property
    def root(self) -> bytes | None:
        """The state with this event in it."""
        return self.root_after or self.root_before

    @property
    def for_rules(self) -> Event:
        """The event as the rules saw it when it came, as far as that is kept."""
        return self.event if self.rules_content is None else replace(self.event, content=self.rules_content)

    @property
    def is_as_judged(self) -> bool:
        """Whether all that the rules saw of it when it came is kept."""
        if self.redacted_by is None or self.rules_content is not None:
            return True
        return self.event.state_key is None and self.event.type not in _READ_BY_RULES

    @property
    def counts_as_redaction(self) -> bool:
        """Whether it is a redaction that was accepted where it stands."""
        return self.is_accepted and self.place is not None and self.event.type == _REDACTION

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
Merge: TypeAlias = Callable[[Sequence[bytes]], Collection[bytes]]
"""The root of the resolution of several states: several, where it may have come out otherwise at another time."""
KeysOf: TypeAlias = Callable[[ServerName], Iterable[VerifyKey]]

_REDACTION: Final = "m.room.redaction"
_READ_BY_RULES: Final = frozenset({"m.room.create", "m.room.member", "m.room.power_levels", _REDACTION})


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


def read_rules_content(
    content: bytes | None, event: Event, *, is_whole: bool, redacted_by: EventID | None
) -> Mapping[str, Any] | None:
    """What of a redacted state event the rules go by. Raises Unsound when a redaction would not have kept that."""
    if content is None:
        if redacted_by is not None and event.state_key is not None:
            raise Unsound("it was redacted, and what the rules go by is not kept beside it")
        return None
    if is_whole or redacted_by is None or event.state_key is None:
        raise Unsound("it has a content for the rules beside it, and is no state event that was redacted")
    version = event.version
    try:
        parsed = decode_for(version, content)
    except ProtocolError as wrong:
        raise Unsound(f"its content for the rules cannot be read: {wrong.reason}") from wrong
    if not isinstance(parsed, dict) or encode_for(version, parsed) != content:
        raise Unsound("its content for the rules is not stored as canonical JSON")
    if content_for_rules(replace(event, content=parsed)) != parsed:
        raise Unsound("its content for the rules has more than they read")
    left = _without_empty_invite(redact({**event.pdu, "content": parsed}, version)["content"])
    if left != _without_empty_invite(event.content):
        raise Unsound("its content for the rules is not that of which its redaction was left")
    return parsed


# Any: contents of events
def _without_empty_invite(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """An invite that nobody signed reads the same to the rules in all its spellings, which redactions tell apart."""
    invite = content.get("third_party_invite")
    if isinstance(invite, dict) and invite.get("signed") is None:
        return {key: value for key, value in content.items() if key != "third_party_invite"}
    return content


def check_signatures(kept: Kept, keys_of: KeysOf) -> int:
    """Verify the signatures that an event must have; the number of those for which no key is known.

    Raises Unsound for one that is missing or wrong.
    """
    # What let a member event do without one may have been redacted.
    may_lack = not kept.is_as_judged and kept.event.type == "m.room.member"
    return check_signatures_of(kept.event, kept.for_rules, keys_of, may_lack=may_lack)


def check_signatures_of(event: Event, for_rules: Event, keys_of: KeysOf, *, may_lack: bool = False) -> int:
    """As `check_signatures`, of an event of which no more is known than what it says, and what it said to the rules."""
    unknown = 0
    try:
        signers = required_signers(for_rules)
    except BadSignature as bad:
        raise Unsound(bad.reason) from bad
    for server in sorted(signers):
        named = signing_key_ids(event.pdu, server)
        if not named:
            if may_lack:
                continue
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


def check_standing(kept: Kept) -> None:
    """Raise Unsound unless what is noted of an event goes with what became of it."""
    if kept.has_reason == kept.is_accepted:
        raise Unsound(f"it was {'' if kept.is_accepted else 'not '}accepted, and the reason not to is {_noted(kept)}")
    if kept.root_before is None:
        if kept.root_after is not None:
            raise Unsound("there is a state after it, and none before it")
        if kept.log_position is not None or kept.place is not None:
            raise Unsound("it has a place in the room, and there is no state before it")
        if not kept.is_accepted and not kept.is_rejected:
            raise Unsound("it is said to be soft-failed, and there is no state before it")
        if kept.given_by is not None or kept.replaces_state is not None:
            raise Unsound("a state is spoken of, and there is none before it")
    elif kept.is_rejected:
        if kept.root_after is not None or kept.replaces_state is not None:
            raise Unsound("it was rejected, and changes the state")
        if kept.place is not None or kept.log_position is not None:
            raise Unsound("it was rejected, and has a place in the room")
    elif kept.place is None:
        raise Unsound("there is a state before it, and it has no place in the room")


def _noted(kept: Kept) -> str:
    return "noted" if kept.has_reason else "not noted"


def check_references(
    kept: Kept, find: Find, nodes: Nodes, gaps: AbstractSet[EventID], is_elsewhere: Callable[[EventID], bool]
) -> None:
    """Raise Unsound unless what an event is authorised by and built on is here, or it is noted what is not.

    `gaps` are the events that it is said to lack. A state may be given, too, after one that was known in part. Another
    room's event authorises nothing: what names one is rejected.
    """
    for other in kept.event.auth_event_ids:
        if find(other) is None and not (kept.is_rejected and is_elsewhere(other)):
            raise Unsound(f"its auth event {other} is not here")
    if kept.root_before is None:
        return  # an event by itself, of which only its auth events are known
    lacking: set[EventID] = set()
    for other in kept.event.prev_event_ids:
        found = find(other)
        if found is None or found.root is None:
            lacking.add(other)
            if other not in gaps:
                raise Unsound(f"what it is built on, {other}, is not here, and not noted as missing")
        elif kept.given_by is None and _stands_after(found, kept):
            raise Unsound(f"what it is built on, {other}, stands after it")
    if needless := gaps - lacking:
        raise Unsound(f"it is said to lack {min(needless)}, which it does not")
    if lacking and kept.given_by is None:
        raise Unsound("the state before it is nobody's word, and it lacks some of what it is built on")
    if kept.given_by is None or lacking or _may_have_lacked(kept, find):
        return
    if all(state_map.is_whole(nodes, root) for root in _roots_below(kept, find)):
        raise Unsound(f"the state before it is said to be given by {kept.given_by}, and it lacked nothing")


def _roots_below(kept: Kept, find: Find) -> list[bytes]:
    """The states after what an event is built on, as far as it is here."""
    found = [find(other) for other in kept.event.prev_event_ids]
    return [one.root for one in found if one is not None and one.root is not None]


def _stands_after(other: Kept, kept: Kept) -> bool:
    """What is brought in from the past may find no place between what it belongs between."""
    if kept.log_position is None or kept.place is None or other.place is None:
        return False
    return other.place >= kept.place


def _may_have_lacked(kept: Kept, find: Find) -> bool:
    """Whether some of what an event is built on may have come after it: of what was no news nobody knows when."""
    if kept.log_position is None:
        return True
    others = [found for other in kept.event.prev_event_ids if (found := find(other)) is not None]
    return any(other.log_position is None or other.log_position > kept.log_position for other in others)


def check_roots(kept: Kept, find: Find, nodes: Nodes, merge: Merge) -> None:
    """Raise Unsound unless the states before and after an event are what its place in the graph makes of them."""
    event = kept.event
    if kept.root_before is None:
        return
    if kept.given_by is None and not _is_derived(kept.root_before, event, find, merge):
        raise Unsound("the state before it is not the one after what it is built on")
    if kept.is_rejected:
        return
    if (kept.root_after is None) != (event.state_key is None):
        raise Unsound(f"it {'has no' if kept.root_after is None else 'has a'} state after it")
    if event.state_key is None or kept.root_after is None:
        if kept.replaces_state is not None:
            raise Unsound(f"it is said to replace {kept.replaces_state}, and is no state event")
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


def _is_derived(root: bytes, event: Event, find: Find, merge: Merge) -> bool:
    roots: list[bytes] = []
    for other in dict.fromkeys(event.prev_event_ids):
        found = find(other)
        root_after = None if found is None else found.root
        if root_after is None:
            raise Unsound(f"the state after what it is built on, {other}, is not known")
        roots.append(root_after)
    return is_merged(root, roots, merge)


def is_merged(root: bytes, roots: Sequence[bytes], merge: Merge) -> bool:
    """Whether this is the root of the state after several events, given those after each."""
    different = list(dict.fromkeys(roots))
    if len(different) < 2:
        return root == (different[0] if different else EMPTY_ROOT)
    return root in merge(different)


def check_authorisation(kept: Kept, find: Find, select: Select) -> None:
    """Raise Unsound when the rules say otherwise of an event than what the server did with it.

    They are asked twice: with the event's auth events, and with the state before it. Where one of the events that they
    look at is not kept as they saw it, their refusal shows nothing: it may be due to what is gone.
    """
    event = kept.for_rules
    create = kept if event.type == "m.room.create" else _create_of(event, find)
    auth = [found for other in event.auth_event_ids if (found := find(other)) is not None]
    refusal = _refusal_by_auth_events(event, auth, create, is_rejected=kept.is_rejected)
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
        refusal = _refusal(event, {key: one.for_rules for key, one in state.items()}, create)
    if not all(one.is_as_judged for one in asked):
        return
    if refusal is not None and not kept.is_rejected:
        raise Unsound(f"{source} not allow it: {refusal}")
    if refusal is None and kept.is_rejected:
        raise Unsound("it is said to be rejected, and the rules allow it")


def _create_of(event: Event, find: Find) -> Kept | None:
    """The m.room.create that a room of version 12 or later has without naming it."""
    return find(create_event_id_of(event.room_id)) if event.version.room_id_is_create_hash else None


def _refusal_by_auth_events(
    event: Event, auth: Sequence[Kept], create: Kept | None, *, is_rejected: bool
) -> str | None:
    if event.version.room_id_is_create_hash and create is None:
        return "the room's m.room.create event is not here"
    others = [*auth, *([] if create is None else [create])]
    # What was accepted for some time may or may not have been when it was asked.
    rejected = frozenset(
        one.event.event_id for one in others if one.is_rejected and (is_rejected or not one.was_accepted)
    )
    listed = [one.for_rules for one in auth]
    try:
        check_auth_events(event, listed, create=None if create is None else create.event, rejected=rejected)
    except AuthRejected as refused:
        return refused.reason
    except MissingEvents:
        return "an auth event is of another room"
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
        if not redaction.counts_as_redaction:
            raise Unsound(f"it is said to be redacted by {kept.redacted_by}, which is no redaction")
        if _says_what(redaction) and _redacts(redaction, kept, select) is False:
            raise Unsound(f"it is said to be redacted by {kept.redacted_by}, which does not redact it")
    if kept.counts_as_redaction and event.redacts is not None:
        target = find(event.redacts)
        if target is not None and target.is_whole and _redacts(kept, target, select):
            raise Unsound(f"it redacts {event.redacts}, which is kept whole")


def _says_what(redaction: Kept) -> bool:
    """Whether it is known what a redaction redacts: one that was redacted itself may not say it any more."""
    return redaction.redacted_by is None or redaction.event.redacts is not None


def _redacts(redaction: Kept, target: Kept, select: Select) -> bool | None:
    """Whether a redaction counts; None where that cannot be known any more."""
    if redaction.root_before is None:
        return None
    try:
        state = select(redaction.root_before, (CREATE, POWER_LEVELS))
    except UnknownState:
        return None
    if not all(one.is_as_judged for one in state.values()):
        return None
    return may_redact(redaction.event, target.event, {key: one.for_rules for key, one in state.items()})
