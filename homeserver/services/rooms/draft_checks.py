"""What this server asks of its own users' events beyond the authorisation rules, before it builds them.

The rules themselves are core/auth_rules.py: they let pass what one server may, not what each of its users may.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.identifiers import (
    ServerName,
    parse_event_id,
    parse_room_alias,
    parse_user_id,
    server_name_of_user,
)
from homeserver.core.power_levels import read_power_levels
from homeserver.core.relations import may_be_annotated, may_be_thread_root, relation_of
from homeserver.services.errors import (
    BadAlias,
    DuplicateAnnotation,
    Forbidden,
    InvalidParameter,
    MissingParameter,
    NestedThread,
    NotFound,
    RemoteFailed,
    UserSuspended,
)
from homeserver.services.events.creation import Draft
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.guests import check_member_draft
from homeserver.services.rooms.invite_permission import check_accepts_invites
from homeserver.services.rooms.notice_rooms import check_may_decline
from homeserver.services.rooms.readers import NOT_IN_ROOM, Readers
from homeserver.services.rooms.restricted_joins import find_authoriser
from homeserver.storage.aliases import find_alias
from homeserver.storage.profiles import member_profile
from homeserver.storage.relations import has_annotated

REDACTION: Final = "m.room.redaction"
NO_EVENT: Final = "There is no such event in this room"


def named_redaction(draft: Draft) -> Draft:
    """A redaction with what it redacts beside its content, whence building puts it where the room version reads it.

    Raises InvalidParameter, MissingParameter.
    """
    if draft.type != REDACTION or draft.redacts is not None:
        return draft
    named = draft.content.get("redacts")
    if named is None:
        raise MissingParameter("A redaction names the event that it redacts")
    try:
        redacts = parse_event_id(named) if isinstance(named, str) else None
    except BadIdentifier:
        redacts = None
    if redacts is None:
        raise InvalidParameter("redacts is not an event ID")
    return replace(
        draft, redacts=redacts, content={key: value for key, value in draft.content.items() if key != "redacts"}
    )


def check_redaction(write: RoomWrite, draft: Draft, readers: Readers, *, is_suspended: bool = False) -> None:
    """A redaction, by whichever endpoint it comes, is of one's own event, or of one who has the power for it.

    Who is suspended has no such power. Room versions 3 and later let any user of the sender's server redact.
    Raises Forbidden, InvalidParameter, UserSuspended, and NotFound, alike for what the sender may not see.
    """
    if draft.type == REDACTION and draft.state_key is not None:
        raise Forbidden("A redaction is no state")
    target_id = draft.redacts
    if target_id is None:
        return
    member_key = ("m.room.member", draft.sender)
    state = write.rules_state((CREATE, POWER_LEVELS, member_key))
    member = state.get(member_key)
    if member is None or member.content.get("membership") != "join":
        raise Forbidden(NOT_IN_ROOM)
    target = write.load((target_id,)).get(target_id)
    if target is None or target.event.room_id != write.room_id or target.verdict:
        raise NotFound(NO_EVENT)
    levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)
    has_power = not is_suspended and levels.user_level(draft.sender) >= levels.redact
    if target.event.sender != draft.sender and not has_power:
        if readers.find_visible(write.tx, write.room_id, draft.sender, target_id) is None:
            raise NotFound(NO_EVENT)
        if is_suspended:
            raise UserSuspended
        raise Forbidden("You may not redact this event")
    if target.event.type == "m.room.create":
        raise Forbidden("The event that created a room cannot be redacted")


def check_relation(write: RoomWrite, draft: Draft, readers: Readers) -> None:
    """Nobody reacts twice with the same key, or begins a thread inside a thread.

    What the parent is matters only where the sender may see it: nobody learns of it by relating to it.
    Raises DuplicateAnnotation, InvalidParameter, NestedThread.
    """
    relation = relation_of(draft.content)
    if relation is None:
        return
    parent = write.load((relation.event_id,)).get(relation.event_id)
    content = parent.event.content if parent is not None and parent.event.room_id == write.room_id else {}

    def is_seen() -> bool:
        return readers.find_visible(write.tx, write.room_id, draft.sender, relation.event_id) is not None

    if relation.rel_type == "m.annotation":
        if not may_be_annotated(content) and is_seen():
            raise InvalidParameter("An annotation or a replacement cannot be annotated")
        if relation.key is not None and has_annotated(
            write.tx,
            write.room_id,
            relation.event_id,
            sender=draft.sender,
            event_type=draft.type,
            aggregation_key=relation.key,
        ):
            raise DuplicateAnnotation
    elif relation.rel_type == "m.thread" and not may_be_thread_root(content) and is_seen():
        raise NestedThread


def check_canonical_alias(write: RoomWrite, content: Mapping[str, Any], current: Event | None) -> None:
    """Each alias that was not there before must point to this room. Raises BadAlias, InvalidParameter."""
    before = set() if current is None else set(_aliases_in(current.content))
    for alias in _aliases_in(content):
        try:
            room_alias = parse_room_alias(alias)
        except BadIdentifier:
            raise InvalidParameter(f"{alias!r:.80} is not a room alias") from None
        if alias in before:
            continue
        found = find_alias(write.tx, room_alias)
        if found is None or found.room_id != write.room_id:
            raise BadAlias(f"{alias} does not point to this room")


def checked_member(write: RoomWrite, draft: Draft, server_name: ServerName) -> Draft:
    """A member event that is set as state, held to what the endpoints for membership ask.

    Who authorises a restricted join is found here, never believed; the profile is added where it is not given.
    Raises InvalidParameter, RemoteFailed, Forbidden, GuestAccessForbidden, InviteBlocked, CannotLeaveServerNoticeRoom.
    """
    try:
        target = parse_user_id(draft.state_key or "")
    except BadIdentifier:
        raise InvalidParameter("The state key of m.room.member is a user ID") from None
    key = ("m.room.member", target)
    current = write.state((key,)).get(key)
    check_member_draft(write, draft, current)
    membership = draft.content.get("membership")
    is_local = server_name_of_user(target) == server_name
    if membership == "invite":
        if not is_local:
            raise RemoteFailed(f"The server of {target} cannot be reached from here")
        check_accepts_invites(write.tx, target, draft.sender)
    if membership == "leave" and target == draft.sender and _is_invite(current):
        check_may_decline(write.tx, write.room_id, target)
    content = {key: value for key, value in draft.content.items() if key != "join_authorised_via_users_server"}
    if is_local and membership in ("join", "invite", "knock"):
        content = {**member_profile(write.tx, target), **content}
    if membership == "join":
        authoriser = find_authoriser(write, target, current, server_name)
        if authoriser is not None:
            content["join_authorised_via_users_server"] = authoriser
    return replace(draft, content=content)


def _is_invite(member: Event | None) -> bool:
    return member is not None and member.content.get("membership") == "invite"


def _aliases_in(content: Mapping[str, Any]) -> list[str]:
    """All aliases of an m.room.canonical_alias. Raises InvalidParameter for what is no string."""
    main, others = content.get("alias"), content.get("alt_aliases")
    aliases = [] if main is None or main == "" else [main]
    if others is not None:
        if not isinstance(others, list):
            raise InvalidParameter("alt_aliases is not a list")
        aliases += others
    if not all(isinstance(alias, str) for alias in aliases):
        raise InvalidParameter("A room alias is not a string")
    return aliases
