"""Client-server API: server-side key backups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
import orjson

from homeserver.core.identifiers import RoomID, parse_room_id
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.e2ee.key_backups import BackupState, KeyBackups, SessionKey
from homeserver.services.errors import NotFound
from homeserver.storage.key_backups import BackedUpKey, KeyBackup

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class CreateBody(msgspec.Struct, frozen=True):
    """How the keys of a new version are encrypted."""

    algorithm: str
    auth_data: dict[str, Any]


class UpdateBody(msgspec.Struct, frozen=True):
    """How the keys of a version are encrypted; the algorithm must stay as it is."""

    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class VersionQuery(msgspec.Struct, frozen=True):
    """The version that is meant."""

    version: str


class SessionBody(msgspec.Struct, frozen=True):
    """The encrypted key of one session."""

    first_message_index: Count
    forwarded_count: Count
    is_verified: bool
    session_data: dict[str, Any]

    def key(self) -> SessionKey:
        """The same, as the service takes it."""
        return SessionKey(self.is_verified, self.first_message_index, self.forwarded_count, self.session_data)


class RoomBody(msgspec.Struct, frozen=True):
    """The keys of a room by session ID."""

    sessions: dict[str, SessionBody]


class RoomsBody(msgspec.Struct, frozen=True):
    """Keys by room ID and session ID."""

    rooms: dict[str, RoomBody]


@dataclass(frozen=True)
class KeyBackupsEndpoints:
    """Keys of rooms, encrypted for their user."""

    backups: KeyBackups

    @endpoint(
        "POST",
        "/_matrix/client/v3/room_keys/version",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3room_keysversion",
        body=CreateBody,
    )
    async def create_version(self, request: Request[NoQuery, CreateBody]) -> Reply:
        """Begin a new version."""
        version = await self.backups.create(request.requester.user_id, request.body.algorithm, request.body.auth_data)
        return Reply({"version": version})

    @endpoint(
        "GET",
        "/_matrix/client/v3/room_keys/version",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3room_keysversion",
    )
    async def current_version(self, request: PlainRequest) -> Reply:
        """The newest version."""
        return _backup(await self.backups.version(request.requester.user_id, None))

    @endpoint(
        "GET",
        "/_matrix/client/v3/room_keys/version/{version}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3room_keysversionversion",
    )
    async def version(self, request: PlainRequest) -> Reply:
        """One version."""
        return _backup(await self.backups.version(request.requester.user_id, request.path["version"]))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/room_keys/version/{version}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#put_matrixclientv3room_keysversionversion",
        body=UpdateBody,
    )
    async def update_version(self, request: Request[NoQuery, UpdateBody]) -> Reply:
        """Change a version's auth_data."""
        body = request.body
        await self.backups.update(
            request.requester.user_id, request.path["version"], body.algorithm, body.auth_data, body.version
        )
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/room_keys/version/{version}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#delete_matrixclientv3room_keysversionversion",
    )
    async def delete_version(self, request: PlainRequest) -> Reply:
        """Delete a version and its keys."""
        await self.backups.delete(request.requester.user_id, request.path["version"])
        return EMPTY

    @endpoint(
        "PUT",
        "/_matrix/client/v3/room_keys/keys",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#put_matrixclientv3room_keyskeys",
        query=VersionQuery,
        body=RoomsBody,
    )
    async def add_keys(self, request: Request[VersionQuery, RoomsBody]) -> Reply:
        """Add keys of several rooms."""
        keys = {
            (parse_room_id(room_id), session_id): session.key()
            for room_id, room in request.body.rooms.items()
            for session_id, session in room.sessions.items()
        }
        return await self._add(request, keys)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/room_keys/keys/{roomId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomid",
        query=VersionQuery,
        body=RoomBody,
    )
    async def add_keys_of_room(self, request: Request[VersionQuery, RoomBody]) -> Reply:
        """Add keys of one room."""
        keys = {(request.room_id, name): session.key() for name, session in request.body.sessions.items()}
        return await self._add(request, keys)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid",
        query=VersionQuery,
        body=SessionBody,
    )
    async def add_key_of_session(self, request: Request[VersionQuery, SessionBody]) -> Reply:
        """Add the key of one session."""
        return await self._add(request, {(request.room_id, request.path["sessionId"]): request.body.key()})

    @endpoint(
        "GET",
        "/_matrix/client/v3/room_keys/keys",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3room_keyskeys",
        query=VersionQuery,
    )
    async def keys(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """All keys of a version."""
        rooms: dict[RoomID, list[BackedUpKey]] = {}
        for key in await self.backups.keys(request.requester.user_id, request.query.version):
            rooms.setdefault(key.room_id, []).append(key)
        return Reply({"rooms": {room_id: _sessions(keys) for room_id, keys in rooms.items()}})

    @endpoint(
        "GET",
        "/_matrix/client/v3/room_keys/keys/{roomId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomid",
        query=VersionQuery,
    )
    async def keys_of_room(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """The keys of a room."""
        keys = await self.backups.keys(request.requester.user_id, request.query.version, request.room_id)
        return Reply(_sessions(keys))

    @endpoint(
        "GET",
        "/_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid",
        query=VersionQuery,
    )
    async def key_of_session(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """The key of a session."""
        keys = await self.backups.keys(
            request.requester.user_id, request.query.version, request.room_id, request.path["sessionId"]
        )
        if not keys:
            raise NotFound("The key backup has no key of this session")
        return Reply(_session(keys[0]))

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/room_keys/keys",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#delete_matrixclientv3room_keyskeys",
        query=VersionQuery,
    )
    async def delete_keys(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """Delete all keys of a version."""
        return _state(await self.backups.delete_keys(request.requester.user_id, request.query.version))

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/room_keys/keys/{roomId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomid",
        query=VersionQuery,
    )
    async def delete_keys_of_room(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """Delete the keys of a room."""
        user_id, version = request.requester.user_id, request.query.version
        return _state(await self.backups.delete_keys(user_id, version, request.room_id))

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid",
        query=VersionQuery,
    )
    async def delete_key_of_session(self, request: Request[VersionQuery, NoBody]) -> Reply:
        """Delete the key of a session."""
        user_id, version = request.requester.user_id, request.query.version
        state = await self.backups.delete_keys(user_id, version, request.room_id, request.path["sessionId"])
        return _state(state)

    async def _add(self, request: Request[VersionQuery, Any], keys: Mapping[tuple[RoomID, str], SessionKey]) -> Reply:
        """Any: each endpoint's own body."""
        return _state(await self.backups.add_keys(request.requester.user_id, request.query.version, keys))


def _backup(backup: KeyBackup) -> Reply:
    return Reply(
        {
            "version": str(backup.version),
            "algorithm": backup.algorithm,
            "auth_data": orjson.Fragment(backup.auth_data),
            "count": backup.key_count,
            "etag": str(backup.etag),
        }
    )


def _sessions(keys: Iterable[BackedUpKey]) -> dict[str, object]:
    return {"sessions": {key.session_id: _session(key) for key in keys}}


def _session(key: BackedUpKey) -> dict[str, object]:
    return {
        "first_message_index": key.first_message_index,
        "forwarded_count": key.forwarded_count,
        "is_verified": key.is_verified,
        "session_data": orjson.Fragment(key.session_data),
    }


def _state(state: BackupState) -> Reply:
    return Reply({"etag": state.etag, "count": state.count})
