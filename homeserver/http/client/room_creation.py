"""Client-server API: room creation."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.endpoint import ACCESS_TOKEN, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.creation import MOST_INITIAL_STATE, MOST_INVITES, InitialState, RoomCreation, RoomWishes


class StateEventBody(msgspec.Struct, frozen=True):
    """One event of `initial_state`."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class CreateRoomBody(msgspec.Struct, frozen=True):
    """All that may be asked of a new room."""

    visibility: Literal["public", "private"] = "private"
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: Annotated[list[str], msgspec.Meta(max_length=MOST_INVITES)] = []
    invite_3pid: list[dict[str, Any]] = []
    room_version: str | None = None
    creation_content: dict[str, Any] = {}
    initial_state: Annotated[list[StateEventBody], msgspec.Meta(max_length=MOST_INITIAL_STATE)] = []
    preset: Literal["private_chat", "public_chat", "trusted_private_chat"] | None = None
    is_direct: bool = False
    power_level_content_override: dict[str, Any] = {}


@dataclass(frozen=True)
class RoomCreationEndpoints:
    """Creating rooms."""

    rooms: RoomCreation

    @endpoint(
        "POST",
        "/_matrix/client/v3/createRoom",
        auth=ACCESS_TOKEN,
        limit=RateClass.CREATE_ROOM,
        spec="client-server-api/#post_matrixclientv3createroom",
        body=CreateRoomBody,
        suspended=False,
    )
    async def create_room(self, request: Request[NoQuery, CreateRoomBody]) -> Reply:
        """Create a room with the wished-for state, all of it or nothing."""
        body = request.body
        if body.invite_3pid:
            raise InvalidParameter("This server cannot invite by third-party identifiers")
        wishes = RoomWishes(
            room_version=body.room_version,
            preset=body.preset,
            is_public=body.visibility == "public",
            alias_localpart=body.room_alias_name,
            name=body.name,
            topic=body.topic,
            invite=[parse_user_id(user_id) for user_id in body.invite],
            is_direct=body.is_direct,
            initial_state=[InitialState(state.type, state.state_key, state.content) for state in body.initial_state],
            creation_content=body.creation_content,
            power_levels=body.power_level_content_override,
        )
        return Reply({"room_id": await self.rooms.create_room(request.requester.user_id, wishes)})
