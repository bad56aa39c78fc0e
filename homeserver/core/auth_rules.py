"""The authorisation rules: whether an event is allowed by a set of state. Spec: rooms/v1 to rooms/v12

The rules of m.room.member are in membership_rules.py. Signatures and hashes are verified before, in signing.py and
hashing.py.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS, auth_types_for
from homeserver.core.errors import AuthRejected, MissingEvents
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, is_user_id, server_name_of, server_name_of_user
from homeserver.core.membership_rules import State, authorise_membership, membership_of
from homeserver.core.power_levels import LEVEL_DEFAULTS, Level, creators, read_level, read_power_levels
from homeserver.core.room_versions import RoomVersion

_NO_EVENTS: Final[AbstractSet[EventID]] = frozenset()


def check_auth_events(
    event: Event,
    auth_events: Sequence[Event],
    *,
    create: Event | None = None,
    rejected: AbstractSet[EventID] = _NO_EVENTS,
) -> None:
    """Raise AuthRejected unless the list of the event's auth events is as the rules want it.

    `auth_events` are the events that `event.auth_event_ids` names, in any order; whether they authorise the event is
    asked of `authorise`. `create` is the room's m.room.create event: needed from version 12 on, where no event lists
    it. `rejected` holds the IDs of those of all these events that were rejected.

    Raises MissingEvents(ids) when `auth_events`, or from version 12 on `create`, is lacking; load them and call again.
    """
    listed = event.auth_event_ids
    if event.type == "m.room.create":
        if listed:
            raise AuthRejected("an m.room.create event has no auth events")
        return
    if event.version.room_id_is_create_hash:
        _check_room_has_create(event, create, rejected)
    if len(set(listed)) != len(listed):
        raise AuthRejected("an auth event is listed twice")
    by_id = {auth_event.event_id: auth_event for auth_event in auth_events}
    missing = [event_id for event_id in listed if event_id not in by_id]
    if missing:
        raise MissingEvents(missing)

    selected = auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    seen = set()
    for event_id in listed:
        auth_event = by_id[event_id]
        if auth_event.room_id != event.room_id:
            raise AuthRejected("an auth event is of another room")
        if auth_event.state_key is None or (auth_event.type, auth_event.state_key) not in selected:
            raise AuthRejected("an auth event has no say about this event")
        entry = (auth_event.type, auth_event.state_key)
        if entry in seen:
            raise AuthRejected("two auth events are of the same type and state key")
        if event_id in rejected:
            raise AuthRejected("an auth event was rejected")
        seen.add(entry)
    if CREATE in selected and CREATE not in seen:
        raise AuthRejected("the m.room.create event is not among the auth events")


def _check_room_has_create(event: Event, create: Event | None, rejected: AbstractSet[EventID]) -> None:
    create_id = EventID("$" + event.room_id[1:])
    if create is None:
        raise MissingEvents([create_id])
    if create.event_id != create_id or create.type != "m.room.create" or create_id in rejected:
        raise AuthRejected("the room ID is not that of an accepted m.room.create event")


def authorise(event: Event, state: State, create: Event | None = None) -> None:
    """Raise AuthRejected unless the event is allowed in this state.

    `state` is the room state, or as much of it as auth_types_for selects: the event's auth events, the state before
    it, or the current state. `create` is the room's m.room.create event, where `state` may lack it.
    """
    event_type = event.type
    if event_type == "m.room.create":
        _authorise_create(event)
        return
    if create is None:
        create = state.get(CREATE)
    if create is None or not _is_create_of(create, event):
        raise AuthRejected("the room has no m.room.create event")
    if create.content.get("m.federate") is False and not _have_same_server(event, create):
        raise AuthRejected("the room does not federate")
    if event_type == "m.room.member":
        authorise_membership(event, state, create)
        return
    version = event.version
    if event_type == "m.room.aliases" and version.special_aliases_auth:
        if event.state_key is None or server_name_of_user(event.sender) != event.state_key:
            raise AuthRejected("aliases are set under the sender's own server name")
        return
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("the sender is not in the room")

    levels = read_power_levels(create, state.get(POWER_LEVELS), version)
    sender_level = levels.user_level(event.sender)
    if event_type == "m.room.third_party_invite":
        if sender_level < levels.invite:
            raise AuthRejected("the sender's power level is too low to invite")
        return
    if sender_level < levels.event_level(event_type, is_state=event.state_key is not None):
        raise AuthRejected("the sender's power level is too low for this type of event")
    if event.state_key is not None and event.state_key.startswith("@") and event.state_key != event.sender:
        raise AuthRejected("the state key is another user's")
    if event_type == "m.room.power_levels":
        _authorise_power_levels(event, state.get(POWER_LEVELS), create, sender_level)
    elif event_type == "m.room.redaction" and not version.event_ids_are_hashes:
        _authorise_assigned_id_redaction(event, sender_level, levels.redact)


def may_redact(redaction: Event, target: Event, state: State, create: Event | None = None) -> bool:
    """True when an authorised redaction is to be applied to its target; `state` is that before the redaction.

    Before version 3 the authorisation rules decide that already: `authorise` has let only such redactions pass.
    Spec: rooms/v3/#handling-redactions
    """
    if redaction.redacts != target.event_id or redaction.room_id != target.room_id:
        return False
    if redaction.event_id == target.event_id:  # IDs that servers choose allow this circle
        return False
    # Not in the specification: without its content a create event would speak of another room version.
    if target.type == "m.room.create":
        return False
    create = state.get(CREATE) if create is None else create
    if create is None:
        return False
    if redaction.version.event_ids_are_hashes:
        is_own = _have_same_server(redaction, target)
    else:
        is_own = server_name_of(redaction.event_id) == server_name_of(target.event_id)
    if is_own:
        return True
    levels = read_power_levels(create, state.get(POWER_LEVELS), redaction.version)
    return levels.user_level(redaction.sender) >= levels.redact


def _is_create_of(create: Event, event: Event) -> bool:
    if create.type != "m.room.create":
        return False
    if event.version.room_id_is_create_hash:
        return create.event_id[1:] == event.room_id[1:]
    return create.room_id == event.room_id


def _have_same_server(event: Event, other: Event) -> bool:
    return server_name_of_user(event.sender) == server_name_of_user(other.sender)


def _authorise_create(event: Event) -> None:
    version = event.version
    # Not among the rules: with another state key, or none, it would be no state that any rule could find.
    if event.state_key != "":
        raise AuthRejected("an m.room.create event has an empty state key")
    if event.prev_event_ids:
        raise AuthRejected("an m.room.create event has no previous events")
    if version.room_id_is_create_hash:
        if "room_id" in event.pdu:
            raise AuthRejected("an m.room.create event of this room version carries no room ID")
    elif server_name_of(event.room_id) != server_name_of_user(event.sender):
        raise AuthRejected("the room ID is not of the sender's server")
    # The rule asks for a version that is known; an event read by the rules of another one must not pass either.
    if event.content.get("room_version", "1") != version.name:
        raise AuthRejected("the room version is not known, or not that of the room")
    if not version.implicit_creator and "creator" not in event.content:
        raise AuthRejected("the content names no creator")
    if version.privileged_creators and "additional_creators" in event.content:
        additional = event.content["additional_creators"]
        if not isinstance(additional, list) or not all(is_user_id(user) for user in additional):
            raise AuthRejected("additional_creators is not a list of user IDs")


def _authorise_assigned_id_redaction(event: Event, sender_level: Level, redact_level: int) -> None:
    if sender_level >= redact_level:
        return
    if event.redacts is None or server_name_of(event.redacts) != server_name_of(event.event_id):
        raise AuthRejected("the sender's power level is too low to redact another server's event")


def _authorise_power_levels(event: Event, current: Event | None, create: Event, sender_level: Level) -> None:
    version = event.version
    content = event.content
    if version.integer_power_levels:
        _check_integers(content)
    users = _read_levels(content, "users", version)
    if not all(is_user_id(user) for user in users):
        raise AuthRejected("`users` lists something that is no user ID")
    if version.privileged_creators and not creators(create).isdisjoint(users):
        raise AuthRejected("`users` lists a creator of the room")
    if current is None:
        return

    for key in LEVEL_DEFAULTS:
        old = read_level(current.content.get(key), version)
        _check_change(key, old, _read_new_level(content, key, version), sender_level)
    for group in ("events", "notifications") if version.limits_notification_levels else ("events",):
        old_levels = _read_old_levels(current.content, group, version)
        new_levels = _read_levels(content, group, version)
        for name in old_levels.keys() | new_levels.keys():
            _check_change(name, old_levels.get(name), new_levels.get(name), sender_level)
    old_users = _read_old_levels(current.content, "users", version)
    for user in old_users.keys() | users.keys():
        old, new = old_users.get(user), users.get(user)
        if old != new and old is not None and old >= sender_level and user != event.sender:
            raise AuthRejected("the sender changes the power level of a user who has no lower one")
        _check_change(user, old, new, sender_level)


def _check_integers(content: Mapping[str, Any]) -> None:
    """Refuse an m.room.power_levels with anything but integers: version 10 and later."""
    if any(key in content and type(content[key]) is not int for key in LEVEL_DEFAULTS):
        raise AuthRejected("a power level is not an integer")
    for group in ("events", "notifications", "users"):
        levels = content.get(group, {})
        if not isinstance(levels, dict) or any(type(level) is not int for level in levels.values()):
            raise AuthRejected(f"`{group}` is not an object of integers")


def _read_new_level(content: Mapping[str, Any], key: str, version: RoomVersion) -> int | None:
    """A level of an event under judgement; None when absent. Garbage is refused: it cannot be compared."""
    if key not in content:
        return None
    level = read_level(content[key], version)
    if level is None:
        raise AuthRejected(f"`{key}` is not a power level")
    return level


def _read_levels(content: Mapping[str, Any], group: str, version: RoomVersion) -> dict[str, int]:
    """An object of levels in an event under judgement; empty when absent. Garbage is refused."""
    levels = content.get(group, {})
    if not isinstance(levels, dict):
        raise AuthRejected(f"`{group}` is not an object")
    read = {name: read_level(level, version) for name, level in levels.items()}
    known = {name: level for name, level in read.items() if level is not None}
    if len(known) != len(read):
        raise AuthRejected(f"`{group}` has a value that is not a power level")
    return known


def _read_old_levels(content: Mapping[str, Any], group: str, version: RoomVersion) -> dict[str, int]:
    """An object of levels in the current event, where garbage counts as absent, as it does in force."""
    levels = content.get(group)
    if not isinstance(levels, dict):
        return {}
    read = {name: read_level(level, version) for name, level in levels.items()}
    return {name: level for name, level in read.items() if level is not None}


def _check_change(name: str, old: int | None, new: int | None, sender_level: Level) -> None:
    """Refuse a change from, or to, a level above the sender's. None is an entry that isn't there."""
    if old == new:
        return
    if old is not None and old > sender_level:
        raise AuthRejected(f"the level of {name!r:.80} is above the sender's and cannot be changed")
    if new is not None and new > sender_level:
        raise AuthRejected(f"the level of {name!r:.80} cannot be set above the sender's")
