"""The authorisation rules of m.room.member: join, invite, leave and kick, ban, knock.

Spec: rooms/v1 to rooms/v12, #authorisation-rules. The rules of every other type are in auth_rules.py. That the server
of `join_authorised_via_users_server` has signed the event is verified with its other signatures, when it arrives.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from homeserver.core.auth_selection import JOIN_RULES, POWER_LEVELS
from homeserver.core.canonical_json import encode_for
from homeserver.core.errors import AuthRejected, BadIdentifier, BadJson
from homeserver.core.event import Event
from homeserver.core.identifiers import KeyID, parse_user_id
from homeserver.core.power_levels import PowerLevels, creator, read_power_levels
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import VerifyKey
from homeserver.core.unpadded_base64 import decode_base64

State = Mapping[tuple[str, str], Event]

# Hundreds of keys and signatures fit into two events; without a limit their pairs would be minutes of work. Identity
# servers give two keys and one signature.
_MAX_THIRD_PARTY_KEYS: Final = 32
_MAX_THIRD_PARTY_SIGNATURES: Final = 32


def authorise_membership(event: Event, state: State, create: Event) -> None:
    """Raise AuthRejected unless the m.room.member event is allowed in this state."""
    target = event.state_key
    if target is None:
        raise AuthRejected("an m.room.member event needs a state key")
    if "membership" not in event.content:
        raise AuthRejected("an m.room.member event needs a membership")
    if event.version.restricted_joins and "join_authorised_via_users_server" in event.content:
        _check_authoriser_is_user(event.content["join_authorised_via_users_server"])
    membership = event.content["membership"]
    if membership == "join":
        _authorise_join(event, target, state, create)
    elif membership == "invite":
        _authorise_invite(event, target, state, create)
    elif membership == "leave":
        _authorise_leave(event, target, state, create)
    elif membership == "ban":
        _authorise_ban(event, target, state, create)
    elif membership == "knock" and event.version.knocking:
        _authorise_knock(event, target, state)
    else:
        raise AuthRejected("the membership is not known in this room version")


def membership_of(state: State, user_id: str) -> str | None:
    """The membership of a user in a state; None for a user without a member event, or with a garbage one."""
    return membership_said(state.get(("m.room.member", user_id)))


def membership_said(member: Event | None) -> str | None:
    """The membership in a member event; None without one, or for a garbage one."""
    membership = None if member is None else member.content.get("membership")
    return membership if isinstance(membership, str) else None


def join_rule_of(state: State) -> str | None:
    """The join rule in a state: `invite` unless it says something else, None for garbage, which lets nobody join."""
    event = state.get(JOIN_RULES)
    rule = "invite" if event is None else event.content.get("join_rule", "invite")
    return rule if isinstance(rule, str) else None


def is_restricted_rule(join_rule: str | None, version: RoomVersion) -> bool:
    """True for a join rule under which a member may vouch for one who joins."""
    if join_rule == "restricted":
        return version.restricted_joins
    return join_rule == "knock_restricted" and version.knock_restricted_joins


def is_knock_rule(join_rule: str | None, version: RoomVersion) -> bool:
    """True for a join rule under which one may knock."""
    if join_rule == "knock":
        return version.knocking
    return join_rule == "knock_restricted" and version.knock_restricted_joins


def _authorise_join(event: Event, target: str, state: State, create: Event) -> None:
    if event.prev_event_ids == (create.event_id,) and target == creator(create):
        return
    if event.sender != target:
        raise AuthRejected("nobody can join for somebody else")
    membership = membership_of(state, target)
    if membership == "ban":
        raise AuthRejected("the user is banned")
    join_rule = join_rule_of(state)
    if join_rule == "public":
        return
    if is_restricted_rule(join_rule, event.version):
        if membership not in ("join", "invite"):
            _check_authoriser_may_invite(event, state, create)
        return
    if join_rule == "invite" or is_knock_rule(join_rule, event.version):
        if membership not in ("join", "invite"):
            raise AuthRejected("the room needs an invite to join")
        return
    raise AuthRejected("the join rule lets nobody join")


def _check_authoriser_is_user(authoriser: object) -> None:
    """Without a user there is no server whose signature could have been verified."""
    if not isinstance(authoriser, str):
        raise AuthRejected("join_authorised_via_users_server is not a user ID")
    try:
        parse_user_id(authoriser)
    except BadIdentifier as error:
        raise AuthRejected("join_authorised_via_users_server is not a user ID") from error


def _check_authoriser_may_invite(event: Event, state: State, create: Event) -> None:
    authoriser = event.content.get("join_authorised_via_users_server")
    if not isinstance(authoriser, str):
        raise AuthRejected("the join rule is restricted and nobody vouches for the join")
    if membership_of(state, authoriser) != "join":
        raise AuthRejected("the user who vouches for the join is not in the room")
    levels = _power_levels(event, state, create)
    if levels.user_level(authoriser) < levels.invite:
        raise AuthRejected("the user who vouches for the join may not invite")


def _authorise_invite(event: Event, target: str, state: State, create: Event) -> None:
    if "third_party_invite" in event.content:
        _authorise_third_party_invite(event, target, state)
        return
    _check_sender_is_joined(event, state)
    if membership_of(state, target) in ("join", "ban"):
        raise AuthRejected("the invited user is in the room or banned from it")
    levels = _power_levels(event, state, create)
    if levels.user_level(event.sender) < levels.invite:
        raise AuthRejected("the sender's power level is too low to invite")


def _authorise_third_party_invite(event: Event, target: str, state: State) -> None:
    if membership_of(state, target) == "ban":
        raise AuthRejected("the invited user is banned")
    invite = event.content["third_party_invite"]
    signed = invite.get("signed") if isinstance(invite, dict) else None
    if not isinstance(signed, dict):
        raise AuthRejected("a third-party invite needs a `signed` object")
    token = signed.get("token")
    if "mxid" not in signed or not isinstance(token, str):
        raise AuthRejected("the `signed` object needs `mxid` and `token`")
    if signed["mxid"] != target:
        raise AuthRejected("the third-party invite was signed for another user")
    issued = state.get(("m.room.third_party_invite", token))
    if issued is None:
        raise AuthRejected("the room has no third-party invite with this token")
    if issued.sender != event.sender:
        raise AuthRejected("the third-party invite is somebody else's")
    if not _is_signed_with_a_key_of(issued, signed, event.version):
        raise AuthRejected("no key of the third-party invite has signed this one")


def _is_signed_with_a_key_of(issued: Event, signed: Mapping[str, Any], version: RoomVersion) -> bool:
    try:
        message = encode_for(version, {key: signed[key] for key in signed if key not in ("signatures", "unsigned")})
    except BadJson:
        return False
    keys = _third_party_keys(issued.content)[:_MAX_THIRD_PARTY_KEYS]
    signatures = _third_party_signatures(signed)[:_MAX_THIRD_PARTY_SIGNATURES]
    return any(key.has_signed(message, signature) for signature, key in product(signatures, keys))


def _third_party_keys(content: Mapping[str, Any]) -> list[VerifyKey]:
    """The Ed25519 keys in an m.room.third_party_invite, each once. They have no names there."""
    written = [content.get("public_key")]
    several = content.get("public_keys")
    if isinstance(several, list):
        written += [entry.get("public_key") for entry in several if isinstance(entry, dict)]
    decoded = (_from_base64(key, size_bytes=32) for key in written)
    return list(dict.fromkeys(VerifyKey(KeyID("ed25519:"), key) for key in decoded if key is not None))


def _third_party_signatures(signed: Mapping[str, Any]) -> list[bytes]:
    """The Ed25519 signatures of a `signed` object, each once, whoever claims to have made them."""
    by_server = signed.get("signatures")
    if not isinstance(by_server, dict):
        return []
    decoded = (
        _from_base64(signature, size_bytes=64)
        for by_key in by_server.values()
        if isinstance(by_key, dict)
        for key_id, signature in by_key.items()
        if key_id.startswith("ed25519:")
    )
    return list(dict.fromkeys(signature for signature in decoded if signature is not None))


def _from_base64(text: object, *, size_bytes: int) -> bytes | None:
    """That many bytes from base64 of either alphabet, padded or not; None for everything else."""
    decoded = decode_base64(text.replace("-", "+").replace("_", "/")) if isinstance(text, str) else None
    return decoded if decoded is not None and len(decoded) == size_bytes else None


def _authorise_leave(event: Event, target: str, state: State, create: Event) -> None:
    membership = membership_of(state, target)
    if event.sender == target:
        if membership in ("join", "invite") or (membership == "knock" and event.version.knocking):
            return
        raise AuthRejected("the sender is not in the room and has nothing to leave")
    _check_sender_is_joined(event, state)
    levels = _power_levels(event, state, create)
    sender_level = levels.user_level(event.sender)
    if membership == "ban" and sender_level < levels.ban:
        raise AuthRejected("the sender's power level is too low to lift a ban")
    if sender_level < levels.kick:
        raise AuthRejected("the sender's power level is too low to remove a user")
    if levels.user_level(target) >= sender_level:
        raise AuthRejected("the user to remove has no lower power level than the sender")


def _authorise_ban(event: Event, target: str, state: State, create: Event) -> None:
    _check_sender_is_joined(event, state)
    levels = _power_levels(event, state, create)
    sender_level = levels.user_level(event.sender)
    if sender_level < levels.ban:
        raise AuthRejected("the sender's power level is too low to ban")
    if levels.user_level(target) >= sender_level:
        raise AuthRejected("the user to ban has no lower power level than the sender")


def _authorise_knock(event: Event, target: str, state: State) -> None:
    if not is_knock_rule(join_rule_of(state), event.version):
        raise AuthRejected("the join rule lets nobody knock")
    if event.sender != target:
        raise AuthRejected("nobody can knock for somebody else")
    if membership_of(state, target) in ("ban", "invite", "join"):
        raise AuthRejected("the user is in the room, invited to it or banned from it")


def _check_sender_is_joined(event: Event, state: State) -> None:
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("the sender is not in the room")


def _power_levels(event: Event, state: State, create: Event) -> PowerLevels:
    return read_power_levels(create, state.get(POWER_LEVELS), event.version)
