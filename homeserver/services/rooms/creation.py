"""Creating a room: from the client's wishes to its first events, in one write.

Spec: client-server-api/#post_matrixclientv3createroom, whose order of events this file follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from homeserver.core.errors import AuthRejected, BadIdentifier, UnsupportedRoomVersion
from homeserver.core.identifiers import (
    RoomAlias,
    RoomID,
    ServerName,
    UserID,
    is_legible_localpart,
    parse_room_alias,
    server_name_of,
)
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import InvalidParameter, InvalidRoomState, RoomInUse, ServiceError, UnsupportedVersion
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.aliases import ILLEGIBLE
from homeserver.services.rooms.draft_checks import check_canonical_alias
from homeserver.services.rooms.invite_permission import check_accepts_invites
from homeserver.services.rooms.remote_invites import RemoteInviting
from homeserver.storage.aliases import Alias, insert_alias
from homeserver.storage.database import Transaction
from homeserver.storage.profiles import member_profile
from homeserver.storage.rooms import set_published

log = get_logger(__name__)

MOST_INVITES: Final = 100
MOST_INITIAL_STATE: Final = 100


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset sets. Spec: the table of presets under createRoom."""

    join_rule: str
    history_visibility: str
    guest_access: str
    invite_level: int
    invitees_have_power: bool = False


PRESETS: Final[Mapping[str, Preset]] = {
    "private_chat": Preset("invite", "shared", "can_join", invite_level=0),
    "trusted_private_chat": Preset("invite", "shared", "can_join", invite_level=0, invitees_have_power=True),
    "public_chat": Preset("public", "shared", "forbidden", invite_level=50),
}


@dataclass(frozen=True, slots=True)
class InitialState:
    """A state event that the client wants in the new room."""

    type: str
    state_key: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoomWishes:
    """What a client asks of a new room. `preset` None means: as `is_public` suggests."""

    room_version: str | None = None
    preset: str | None = None
    is_public: bool = False
    alias_localpart: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[UserID] = ()
    is_direct: bool = False
    initial_state: Sequence[InitialState] = ()
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    power_levels: Mapping[str, Any] = field(default_factory=dict)


class RoomCreation:
    """Creates rooms."""

    def __init__(
        self,
        creation: EventCreation,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
        default_version: str,
        inviting: RemoteInviting,
        admission: Admission,
    ) -> None:
        self._creation = creation
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._default_version = default_version
        self._inviting = inviting
        self._admission = admission

    async def create_room(self, creator: UserID, wishes: RoomWishes) -> RoomID:
        """Create a room in one write, or nothing at all. Users of other servers are invited once it is there.

        Who of these cannot be invited is not; the room stays.
        Raises InvalidParameter, InvalidRoomState, UnsupportedVersion, RoomInUse (the alias), EventTooLarge, BadJson,
        LimitExceeded (the invites).
        """
        preset = self._preset(wishes)
        if len(wishes.invite) > MOST_INVITES or len(wishes.initial_state) > MOST_INITIAL_STATE:
            raise InvalidParameter("Too many invites, or too many initial state events")
        if self._creation.reaches_nobody(creator):
            wishes = replace(wishes, invite=(), is_public=False)
        version = wished_version(wishes.room_version or self._default_version)
        alias = None if wishes.alias_localpart is None else self._alias(wishes.alias_localpart)
        invitees = [user_id for user_id in dict.fromkeys(wishes.invite) if user_id != creator]
        await self._admission.may_create_room(creator, invitees, alias, is_public=wishes.is_public)
        room_id = await self._creation.write(self._create, creator, wishes, preset, version, alias)
        content = {"is_direct": True} if wishes.is_direct else {}
        for user_id in dict.fromkeys(wishes.invite):
            if server_name_of(user_id) != self._server_name:
                await self._invite_elsewhere(creator, room_id, user_id, content)
        return room_id

    async def _invite_elsewhere(
        self, creator: UserID, room_id: RoomID, user_id: UserID, content: Mapping[str, Any]
    ) -> None:
        try:
            await self._inviting.invite_elsewhere(creator, room_id, user_id, content)
        except (ServiceError, AuthRejected) as failure:
            log.info("a user was not invited to a new room", room_id=room_id, user_id=user_id, reason=failure.reason)

    def begin(self, tx: Transaction, creator: UserID, wishes: RoomWishes) -> RoomWrite:
        """Begin a room within a write of the caller, which EventCreation has begun, and who adds more and finishes it.

        It is in no directory, and users of other servers are not invited. Raises as `create_room` does.
        """
        version = wished_version(wishes.room_version or self._default_version)
        return self._begin(tx, creator, wishes, self._preset(wishes), version, None)

    def _create(
        self,
        tx: Transaction,
        creator: UserID,
        wishes: RoomWishes,
        preset: Preset,
        version: RoomVersion,
        alias: RoomAlias | None,
    ) -> RoomID:
        write = self._begin(tx, creator, wishes, preset, version, alias)
        write.finish()
        if wishes.is_public:
            set_published(tx, write.room_id, is_published=True)
        return write.room_id

    def _begin(
        self,
        tx: Transaction,
        creator: UserID,
        wishes: RoomWishes,
        preset: Preset,
        version: RoomVersion,
        alias: RoomAlias | None,
    ) -> RoomWrite:
        invitees = [user_id for user_id in dict.fromkeys(wishes.invite) if user_id != creator]
        draft = Draft("m.room.create", creator, self._create_content(creator, wishes, preset, version, invitees))
        room_id = None
        if not version.room_id_is_create_hash:
            room_id = RoomID(self._randomness.opaque_id("!", 18) + f":{self._server_name}")
        try:
            write = self._creation.begin_room(tx, draft, version, room_id)
            named = Alias(alias, write.room_id, creator) if alias is not None else None
            if named is not None and not insert_alias(tx, named, created_ms=self._clock.now_ms()):
                raise RoomInUse
            self._fill(tx, write, creator, wishes, preset, alias, invitees)
        except AuthRejected as rejected:
            # The creator's own wishes shut the creator out: power levels, or a state event that may not be sent.
            raise InvalidRoomState(f"The room cannot be made so: {rejected.reason}") from rejected
        return write

    def _fill(
        self,
        tx: Transaction,
        write: RoomWrite,
        creator: UserID,
        wishes: RoomWishes,
        preset: Preset,
        alias: RoomAlias | None,
        invitees: Sequence[UserID],
    ) -> None:
        def add(event_type: str, content: Mapping[str, Any], state_key: str = "") -> None:
            self._creation.add(write, Draft(event_type, creator, content, state_key=state_key), notifies=False)

        given = {(state.type, state.state_key) for state in wishes.initial_state}
        add("m.room.member", {"membership": "join", **member_profile(tx, creator)}, creator)
        add("m.room.power_levels", self._power_levels(write.version, creator, wishes, preset, invitees))
        if alias is not None:
            add("m.room.canonical_alias", {"alias": alias})
        if ("m.room.join_rules", "") not in given:
            add("m.room.join_rules", {"join_rule": preset.join_rule})
        if ("m.room.history_visibility", "") not in given:
            add("m.room.history_visibility", {"history_visibility": preset.history_visibility})
        if ("m.room.guest_access", "") not in given:
            add("m.room.guest_access", {"guest_access": preset.guest_access})
        for state in wishes.initial_state:
            if state.type in ("m.room.create", "m.room.member"):
                raise InvalidRoomState(f"{state.type} cannot be set as initial state")
            if state.type == "m.room.canonical_alias":
                check_canonical_alias(write, state.content, None)
            add(state.type, state.content, state.state_key)
        if wishes.name is not None:
            add("m.room.name", {"name": wishes.name})
        if wishes.topic is not None:
            rich = {"m.text": [{"body": wishes.topic, "mimetype": "text/plain"}]}
            add("m.room.topic", {"topic": wishes.topic, "m.topic": rich})
        invited = [user_id for user_id in invitees if server_name_of(user_id) == self._server_name]
        self._admission.count_invites(tx, creator, write.room_id, invited)
        for user_id in invited:
            check_accepts_invites(tx, user_id, creator)
            content: dict[str, Any] = {"membership": "invite", **member_profile(tx, user_id)}
            if wishes.is_direct:
                content["is_direct"] = True
            add("m.room.member", content, user_id)

    @staticmethod
    def _create_content(
        creator: UserID,
        wishes: RoomWishes,
        preset: Preset,
        version: RoomVersion,
        invitees: Sequence[UserID],
    ) -> dict[str, Any]:
        content = {**wishes.creation_content, "room_version": version.name}
        if version.implicit_creator:
            content.pop("creator", None)
        else:
            content["creator"] = creator
        if version.privileged_creators and preset.invitees_have_power and invitees:
            named = content.get("additional_creators", [])
            if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
                raise InvalidParameter("additional_creators is not a list of user IDs")
            content["additional_creators"] = list(dict.fromkeys([*named, *invitees]))
        return content

    @staticmethod
    def _power_levels(
        version: RoomVersion,
        creator: UserID,
        wishes: RoomWishes,
        preset: Preset,
        invitees: Sequence[UserID],
    ) -> dict[str, Any]:
        users: dict[str, int] = {}
        if not version.privileged_creators:
            users = {creator: 100}
            if preset.invitees_have_power:
                users.update(dict.fromkeys(invitees, 100))
        levels: dict[str, Any] = {
            "users": users,
            "users_default": 0,
            "events": {
                "m.room.name": 50,
                "m.room.avatar": 50,
                "m.room.canonical_alias": 50,
                "m.room.power_levels": 100,
                "m.room.history_visibility": 100,
                "m.room.encryption": 100,
                "m.room.server_acl": 100,
                **({} if version.privileged_creators else {"m.room.tombstone": 100}),
            },
            "events_default": 0,
            "state_default": 50,
            "ban": 50,
            "kick": 50,
            "redact": 50,
            "invite": preset.invite_level,
        }
        levels |= wishes.power_levels
        events, default = levels.get("events"), levels.get("state_default", 50)
        if version.privileged_creators and isinstance(events, dict) and type(default) is int:
            # Creators alone may replace a room whose creators stand above everybody.
            levels["events"] = {"m.room.tombstone": max(150, default + 1), **events}
        return levels

    @staticmethod
    def _preset(wishes: RoomWishes) -> Preset:
        name = wishes.preset or ("public_chat" if wishes.is_public else "private_chat")
        preset = PRESETS.get(name)
        if preset is None:
            raise InvalidParameter(f"There is no preset {name!r:.40}")
        return preset

    def _alias(self, localpart: str) -> RoomAlias:
        if not is_legible_localpart(localpart):
            raise InvalidParameter(f"room_alias_name: {ILLEGIBLE}")
        try:
            return parse_room_alias(f"#{localpart}:{self._server_name}")
        except BadIdentifier as bad:
            raise InvalidParameter(f"room_alias_name: {bad.reason}") from bad


def wished_version(name: str) -> RoomVersion:
    """The room version of this name. Raises UnsupportedVersion."""
    try:
        return room_version(name)
    except UnsupportedRoomVersion as unsupported:
        raise UnsupportedVersion(unsupported.reason) from unsupported
