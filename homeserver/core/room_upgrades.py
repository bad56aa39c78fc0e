"""Room upgrades: what of a room goes into the room that replaces it, and how it reads in another room version.

Who may replace a room, and how that is written, is in services/rooms/upgrades.py.
Spec: client-server-api/#room-upgrades
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from homeserver.core.canonical_json import INTEGER_LIMIT, check_canonical
from homeserver.core.errors import BadJson
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, UserID, is_user_id
from homeserver.core.membership_rules import is_knock_rule, is_restricted_rule
from homeserver.core.power_levels import LEVEL_DEFAULTS, LONE_CREATOR_LEVEL, creators, read_level, read_power_levels
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import StateKey

# Power levels and the canonical alias go with it too, not as they are. What only its sender can vouch for, and what
# names events of the old room, stays behind.
TRANSFERRED_TYPES: Final = (
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.server_acl",
    "m.room.policy",
    "m.room.encryption",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
)
SPACE: Final = "m.space"
SPACE_PARENT: Final = "m.space.parent"
SPACE_CHILD: Final = "m.space.child"

TOMBSTONE: Final = "m.room.tombstone"
TOMBSTONE_KEY: Final[StateKey] = (TOMBSTONE, "")
TOMBSTONE_LEVEL: Final = 150  # where creators stand above all levels: they alone, unless somebody is given more
RESTRICTED_LEVEL: Final = 50
_LEVEL_GROUPS: Final = ("events", "notifications", "users")


def is_space(create: Event) -> bool:
    """True for the m.room.create event of a space."""
    return create.content.get("type") == SPACE


def create_content(
    old_create: Event,
    version: RoomVersion,
    creator: UserID,
    additional_creators: Collection[UserID],
    last_event_id: EventID | None,
) -> dict[str, Any]:
    """The content of the new room's m.room.create. `last_event_id` is the last event of the old room, if known.

    `additional_creators` mean nothing to versions that have none.
    """
    content: dict[str, Any] = {"room_version": version.name}
    if isinstance(room_type := old_create.content.get("type"), str):
        content["type"] = room_type
    if old_create.content.get("m.federate") is False:
        content["m.federate"] = False
    content["predecessor"] = {"room_id": old_create.room_id}
    if last_event_id is not None:
        content["predecessor"]["event_id"] = last_event_id
    if not version.implicit_creator:
        content["creator"] = creator
    if version.privileged_creators and additional_creators:
        content["additional_creators"] = list(additional_creators)
    return content


def transferred_content(event: Event, version: RoomVersion) -> Mapping[str, Any] | None:
    """What a state event of the old room says in the new one; None when it says nothing that could be said there."""
    content = event.content
    if event.type == "m.room.join_rules" and event.state_key == "":
        content = _adapted_join_rules(content, version)
    if not content or not _can_carry(content, event.version, version):
        return None
    return content


def transferred_power_levels(
    create: Event, power_levels: Event | None, version: RoomVersion, new_creators: Collection[UserID]
) -> dict[str, Any]:
    """The content of the new room's m.room.power_levels, in which nobody can do more than in the old room.

    Those who stood above all levels in the old room get the highest level there is, unless they are `new_creators` of a
    room where creators stand above all levels: these are named in no list.
    """
    levels = _readable_levels(create, power_levels, version)
    users: dict[str, int] = levels.setdefault("users", {})
    if create.version.privileged_creators:
        highest = _highest_user_level(levels) if version.privileged_creators else _highest_level(levels)
        users.update(dict.fromkeys(sorted(_user_ids(creators(create))), highest))
    if version.privileged_creators:
        for user_id in new_creators:
            users.pop(user_id, None)
        if not create.version.privileged_creators:
            old_level = read_power_levels(create, power_levels, create.version).event_level(TOMBSTONE, is_state=True)
            events = levels.setdefault("events", {})
            events[TOMBSTONE] = max(TOMBSTONE_LEVEL, _bounded(old_level, version))
    return levels


def restricted_power_levels(create: Event, power_levels: Event | None) -> dict[str, Any] | None:
    """Power levels by which ordinary users of the old room can send and invite no more; None if that is so already."""
    current = read_power_levels(create, power_levels, create.version)
    level = max(RESTRICTED_LEVEL, current.users_default + 1)
    if current.events_default >= level and current.invite >= level:
        return None
    levels = _readable_levels(create, power_levels, create.version)
    levels["events_default"] = _bounded(max(level, current.events_default), create.version)
    levels["invite"] = _bounded(max(level, current.invite), create.version)
    return levels


def split_aliases(
    content: Mapping[str, Any], moved: Collection[str]
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """An m.room.canonical_alias for the new room and one for the old room, when the aliases `moved` point to the new.

    None for the new room when it has no alias to show; None for the old one when nothing changes there.
    """
    alias, others = content.get("alias"), content.get("alt_aliases")
    listed = [other for other in others if isinstance(other, str)] if isinstance(others, list) else []
    goes = [other for other in listed if other in moved]
    new: dict[str, Any] = {"alias": alias} if isinstance(alias, str) and alias in moved else {}
    if goes:
        new["alt_aliases"] = goes
    if not new:
        return None, None
    old = {key: value for key, value in content.items() if key not in ("alias", "alt_aliases")}
    if alias is not None and "alias" not in new:
        old["alias"] = alias
    if stays := [other for other in listed if other not in moved]:
        old["alt_aliases"] = stays
    return new, old


def _adapted_join_rules(content: Mapping[str, Any], version: RoomVersion) -> Mapping[str, Any]:
    """Join rules as a version can read them that may not know the rule: then the next one that lets in fewer."""
    rule = content.get("join_rule")
    if rule not in ("restricted", "knock", "knock_restricted"):
        return content
    if is_restricted_rule(rule, version) or is_knock_rule(rule, version):
        return content
    known = "restricted" if rule == "knock_restricted" and version.restricted_joins else "invite"
    if rule == "knock_restricted" and known == "invite" and version.knocking:
        known = "knock"
    return {**content, "join_rule": known}


def _can_carry(content: Mapping[str, Any], old: RoomVersion, new: RoomVersion) -> bool:
    """False for floats and large integers, which older versions let pass."""
    if old.strict_canonical_json or not new.strict_canonical_json:
        return True
    try:
        check_canonical(content)
    except BadJson:
        return False
    return True


def _readable_levels(create: Event, power_levels: Event | None, version: RoomVersion) -> dict[str, Any]:
    """The power levels of a room as integers, as `version` can carry them; what is no power level is left out."""
    old = create.version
    if power_levels is None:
        if old.privileged_creators:
            return {}
        return {"users": dict.fromkeys(_user_ids(creators(create)), LONE_CREATOR_LEVEL)}
    content = power_levels.content
    known = {*LEVEL_DEFAULTS, *_LEVEL_GROUPS}
    levels: dict[str, Any] = {
        key: value for key, value in content.items() if key not in known and _can_carry({key: value}, old, version)
    }
    for key in LEVEL_DEFAULTS:
        level = read_level(content.get(key), old)
        if level is not None:
            levels[key] = _bounded(level, version)
    for group in _LEVEL_GROUPS:
        entries = content.get(group)
        if isinstance(entries, dict):
            read = {name: read_level(value, old) for name, value in entries.items()}
            levels[group] = {name: _bounded(level, version) for name, level in read.items() if level is not None}
    if "users" in levels:
        valid = _user_ids(levels["users"])
        levels["users"] = {user_id: level for user_id, level in levels["users"].items() if user_id in valid}
    return levels


def _bounded(level: int, version: RoomVersion) -> int:
    """The level, or the nearest one that the version can write."""
    return max(-INTEGER_LIMIT, min(level, INTEGER_LIMIT)) if version.strict_canonical_json else level


def _highest_user_level(levels: Mapping[str, Any]) -> int:
    """The highest level that a user has, and as much as a creator has elsewhere at least."""
    held: list[int] = [levels.get("users_default", 0), *levels["users"].values()]
    return max(LONE_CREATOR_LEVEL, *held)


def _highest_level(levels: Mapping[str, Any]) -> int:
    """The highest level that a user has or that anything asks for."""
    asked: list[int] = [levels.get(key, default) for key, default in LEVEL_DEFAULTS.items()]
    for group in ("events", "notifications"):
        asked += levels.get(group, {}).values()
    return max(_highest_user_level(levels), *asked)


def _user_ids(values: Collection[str]) -> set[str]:
    """Those of the values that are user IDs."""
    return {value for value in values if is_user_id(value)}
