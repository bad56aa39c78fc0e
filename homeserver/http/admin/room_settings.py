"""Administration: what a room is, changed by the server's hand: its power levels, names, servers and successor."""

from dataclasses import dataclass
from typing import Final, TypedDict

import msgspec

from homeserver.core.identifiers import parse_room_id
from homeserver.core.power_levels import Level
from homeserver.http.admin.answers import EventAnswer
from homeserver.http.endpoint import EMPTY, NoQuery, Nothing, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.room_acls import AclChange, AclLists, RoomAcls
from homeserver.services.admin.room_names import Names, RoomNames
from homeserver.services.admin.room_powers import RoomPowers
from homeserver.services.admin.room_replacement import RoomReplacement

HERE: Final = "for administrators: docs/moderation.md"


class LevelBody(msgspec.Struct, frozen=True):
    """Which power level; without, the one of everybody."""

    level: int | None = None


class UpgradeBody(msgspec.Struct, frozen=True):
    """By what the room is to be replaced."""

    new_version: str
    additional_creators: list[str] = []


class TombstoneBody(msgspec.Struct, frozen=True):
    """By which room the room is replaced, and what is said of it."""

    replacement_room: str
    reason: str | None = None


class AliasBody(msgspec.Struct, frozen=True):
    """Whether it is to be the room's main alias."""

    main: bool = False


class PublishedBody(msgspec.Struct, frozen=True):
    """Whether the public directory is to show the room."""

    published: bool


class AclBody(msgspec.Struct, frozen=True):
    """What is added to the lists, and taken out of them."""

    allow: list[str] = []
    deny: list[str] = []
    allow_no_more: list[str] = []
    deny_no_more: list[str] = []
    allow_ip_literals: bool | None = None


class LevelAnswer(TypedDict):
    """The power level that a user has now."""

    level: Level


class UpgradeAnswer(TypedDict):
    """The new room."""

    replacement_room: str


class PublishedAnswer(TypedDict):
    """Whether the public directory shows a room."""

    published: bool


class AclAnswer(TypedDict):
    """Which servers may take part in a room; null where the room does not say."""

    acl: AclLists | None


@dataclass(frozen=True)
class RoomSettingAdminEndpoints:
    """Rooms, as those who look after the server want them."""

    powers: RoomPowers
    names: RoomNames
    acls: RoomAcls
    replacement: RoomReplacement

    @admin_endpoint("PUT", "/_columba/admin/v1/rooms/{roomId}/members/{userId}/power", body=LevelBody, spec=HERE)
    async def set_power(self, request: Request[NoQuery, LevelBody]) -> Reply[LevelAnswer]:
        """Give a user a power level."""
        level = await self.powers.set_level(request.room_id, request.path_user_id, request.body.level)
        return Reply({"level": level})

    @admin_endpoint("POST", "/_columba/admin/v1/rooms/{roomId}/members/{userId}/mute", spec=HERE)
    async def mute(self, request: PlainRequest) -> Reply[LevelAnswer]:
        """Give a user a power level at which they can send nothing."""
        return Reply({"level": await self.powers.mute(request.room_id, request.path_user_id)})

    @admin_endpoint("POST", "/_columba/admin/v1/rooms/{roomId}/upgrade", body=UpgradeBody, spec=HERE)
    async def upgrade(self, request: Request[NoQuery, UpgradeBody]) -> Reply[UpgradeAnswer]:
        """Replace a room by a new one of another version."""
        body = request.body
        room_id = await self.replacement.upgrade(request.room_id, body.new_version, body.additional_creators)
        return Reply({"replacement_room": room_id})

    @admin_endpoint("POST", "/_columba/admin/v1/rooms/{roomId}/tombstone", body=TombstoneBody, spec=HERE)
    async def close(self, request: Request[NoQuery, TombstoneBody]) -> Reply[EventAnswer]:
        """Replace a room by one that is there."""
        replacement = parse_room_id(request.body.replacement_room)
        event_id = await self.replacement.close(request.room_id, replacement, request.body.reason)
        return Reply({"event_id": event_id})

    @admin_endpoint("GET", "/_columba/admin/v1/rooms/{roomId}/aliases", spec=HERE)
    async def aliases(self, request: PlainRequest) -> Reply[Names]:
        """The names of a room on this server, and the one that it says is its main one."""
        return Reply(await self.names.of_room(request.room_id))

    @admin_endpoint("PUT", "/_columba/admin/v1/rooms/{roomId}/aliases/{roomAlias}", body=AliasBody, spec=HERE)
    async def add_alias(self, request: Request[NoQuery, AliasBody]) -> Reply[Nothing]:
        """Name a room."""
        await self.names.add(request.room_id, request.room_alias, is_main=request.body.main)
        return EMPTY

    @admin_endpoint("DELETE", "/_columba/admin/v1/rooms/{roomId}/aliases/{roomAlias}", spec=HERE)
    async def remove_alias(self, request: PlainRequest) -> Reply[Nothing]:
        """Take a name from a room."""
        await self.names.remove(request.room_id, request.room_alias)
        return EMPTY

    @admin_endpoint("GET", "/_columba/admin/v1/rooms/{roomId}/directory", spec=HERE)
    async def is_published(self, request: PlainRequest) -> Reply[PublishedAnswer]:
        """Whether the public directory shows a room."""
        return Reply({"published": await self.names.is_published(request.room_id)})

    @admin_endpoint("PUT", "/_columba/admin/v1/rooms/{roomId}/directory", body=PublishedBody, spec=HERE)
    async def publish(self, request: Request[NoQuery, PublishedBody]) -> Reply[PublishedAnswer]:
        """Show a room in the public directory, or hide it."""
        await self.names.publish(request.room_id, is_published=request.body.published)
        return Reply({"published": request.body.published})

    @admin_endpoint("GET", "/_columba/admin/v1/rooms/{roomId}/acl", spec=HERE)
    async def acl(self, request: PlainRequest) -> Reply[AclAnswer]:
        """Which servers may take part in a room; null where the room does not say."""
        return Reply({"acl": await self.acls.show(request.room_id)})

    @admin_endpoint("POST", "/_columba/admin/v1/rooms/{roomId}/acl", body=AclBody, spec=HERE)
    async def change_acl(self, request: Request[NoQuery, AclBody]) -> Reply[AclAnswer]:
        """Change which servers may take part in a room."""
        body = request.body
        lists = await self.acls.change(
            request.room_id,
            AclChange(body.allow, body.deny, body.allow_no_more, body.deny_no_more, body.allow_ip_literals),
        )
        return Reply({"acl": lists})
