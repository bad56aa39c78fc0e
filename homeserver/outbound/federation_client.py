"""Requests to other servers: signed, let through by the gate, and one method per operation of the federation API.

Answers are looked at from outside only: a caller gets the object or list that the operation promises, and must judge
what is in it. How a request travels is in agent.py. Media are asked for elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import quote, urlencode

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.identifiers import EventID, KeyID, RoomAlias, RoomID, ServerName, UserID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import Signer
from homeserver.outbound.errors import NotAsked, RemoteNonsense, RemoteRefused, Unreachable
from homeserver.outbound.exchange import Agent, Answer, Ask, within
from homeserver.outbound.gate import Gate
from homeserver.outbound.json_answers import a_list, an_object, decode_json, text_of
from homeserver.outbound.json_pieces import JsonPieces
from homeserver.runtime.clock import Clock

TIMEOUT_S: Final = 30.0
LONG_TIMEOUT_S: Final = 180.0  # to find out the state of a large room is much work
MIB: Final = 1 << 20
MOST_BYTES: Final = 16 * MIB
MOST_BYTES_OF_A_STATE: Final = 128 * MIB
MOST_BYTES_OF_A_JOIN: Final = 512 * MIB  # read piece by piece

V1: Final = "/_matrix/federation/v1"
V2: Final = "/_matrix/federation/v2"
KEYS: Final = "/_matrix/key/v2"

# JSON is `Any` in this file: objects and lists whose contents nobody has looked at yet.
Json = Mapping[str, Any]
Query = Mapping[str, str | int | Sequence[str]]


class Terms(TypedDict, total=False):
    """On which terms a request is made; each has a default."""

    timeout_s: float  # for all of it, from finding the server to the last byte of the answer
    most_bytes: int  # of the answer
    ignores_backoff: bool  # asks also a server that should have time to recover, because a user waits for it
    is_signed: bool  # False where the operation needs no authentication


class FederationClient:
    """Asks other servers in the name of this one.

    Every method raises Unreachable (NotAsked when the gate is shut, or for this server itself, whoever says that it
    should be asked), RemoteRefused or RemoteNonsense.
    """

    def __init__(self, agent: Agent, gate: Gate, server_name: ServerName, signer: Signer, clock: Clock) -> None:
        self._agent = agent
        self._gate = gate
        self._server_name = server_name
        self._signer = signer
        self._clock = clock

    # What all operations are made of. `path` is percent-encoded: see `path_of`.

    async def get(
        self, destination: ServerName, path: str, *, query: Query | None = None, **terms: Unpack[Terms]
    ) -> Any:
        """The JSON that a GET comes to."""
        return decode_json(await self._asked(destination, "GET", _uri(path, query), None, None, **terms))

    async def put(
        self,
        destination: ServerName,
        path: str,
        *,
        content: Json | bytes,
        query: Query | None = None,
        **terms: Unpack[Terms],
    ) -> Any:
        """The JSON that a PUT of `content` comes to. Bytes are canonical JSON already."""
        return decode_json(await self._asked(destination, "PUT", _uri(path, query), content, None, **terms))

    async def post(
        self, destination: ServerName, path: str, *, content: Json, query: Query | None = None, **terms: Unpack[Terms]
    ) -> Any:
        """The JSON that a POST of `content` comes to."""
        return decode_json(await self._asked(destination, "POST", _uri(path, query), content, None, **terms))

    # About the server itself

    async def version(self, destination: ServerName, **terms: Unpack[Terms]) -> dict[str, Any]:
        """What software the server says it is: {"name": …, "version": …}, or less."""
        answer = await self.get(destination, f"{V1}/version", **_unsigned(terms))
        return an_object(an_object(answer).get("server", {}))

    async def server_keys(self, destination: ServerName, **terms: Unpack[Terms]) -> dict[str, Any]:
        """The server's own document of its keys."""
        return an_object(await self.get(destination, f"{KEYS}/server", **_unsigned(terms)))

    async def notary_keys(
        self, notary: ServerName, wanted: Mapping[ServerName, Mapping[KeyID, int]], **terms: Unpack[Terms]
    ) -> list[Any]:
        """Documents of other servers' keys that the notary has signed.

        `wanted` has for each key the moment until which it should be valid, in ms; no keys ask for all of a server.
        """
        asked = {
            server: {key_id: {"minimum_valid_until_ts": until_ms} for key_id, until_ms in keys.items()}
            for server, keys in wanted.items()
        }
        answer = await self.post(notary, f"{KEYS}/query", content={"server_keys": asked}, **_unsigned(terms))
        return a_list(answer, "server_keys")

    # Transactions

    async def send_transaction(
        self, destination: ServerName, txn_id: str, content: bytes, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """Hand over PDUs and EDUs, in canonical JSON; what became of each PDU is under "pdus"."""
        return an_object(await self.put(destination, path_of(V1, "send", txn_id), content=content, **terms))

    # Memberships through another server

    async def make_membership(
        self,
        destination: ServerName,
        membership: str,
        room_id: RoomID,
        user_id: UserID,
        versions: Iterable[str] | None,
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """A template for a join, a knock or a leave: an object "event", and the room's version.

        `versions` are those that the room may have; None for a leave, which is not asked for them.
        """
        query: Query = {} if versions is None else {"ver": list(versions)}
        path = path_of(V1, f"make_{membership}", room_id, user_id)
        return an_object(await self.get(destination, path, query=query, **terms), objects=("event",))

    async def send_join(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        event: Json,
        take: Callable[[str, Any], None],
        *,
        omit_members: bool,
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """Hand over a signed join. What the room is, is given to `take` event by event while it arrives.

        `take(name, event)` is called with "state" or "auth_chain", in any order. It holds up the reactor, so it should
        only put the event aside. The object that is returned has what else was answered, those two left empty.
        """
        wide: Terms = {"timeout_s": LONG_TIMEOUT_S, "most_bytes": MOST_BYTES_OF_A_JOIN, **terms}
        uri = _uri(path_of(V2, "send_join", room_id, event_id), {"omit_members": _flag(omit_members)})
        pieces = JsonPieces(("state", "auth_chain"), take)
        try:
            await self._asked(destination, "PUT", uri, event, pieces.feed, **wide)
        except RemoteRefused as refused:
            if not _knows_v1_alone(refused):
                raise
            return await self._send_join_v1(destination, room_id, event_id, event, take, **wide)
        return an_object(pieces.finish(), lists=("state", "auth_chain"))

    async def _send_join_v1(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        event: Json,
        take: Callable[[str, Any], None],
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """As the specification had it once: servers that are old know no other way. Their rooms are small."""
        small: Terms = {**terms, "most_bytes": min(terms.get("most_bytes", MOST_BYTES), MOST_BYTES_OF_A_STATE)}
        path = path_of(V1, "send_join", room_id, event_id)
        answer = _unwrapped(await self.put(destination, path, content=event, **small))
        an_object(answer, lists=("state", "auth_chain"))
        for name in ("state", "auth_chain"):
            for one in answer[name]:
                take(name, one)
        return {**answer, "state": [], "auth_chain": []}

    async def send_leave(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, event: Json, **terms: Unpack[Terms]
    ) -> None:
        """Hand over a signed leave; to an old server as the specification had it once."""
        try:
            await self.put(destination, path_of(V2, "send_leave", room_id, event_id), content=event, **terms)
        except RemoteRefused as refused:
            if not _knows_v1_alone(refused):
                raise
            await self.put(destination, path_of(V1, "send_leave", room_id, event_id), content=event, **terms)

    async def send_knock(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, event: Json, **terms: Unpack[Terms]
    ) -> list[Any]:
        """Hand over a signed knock; the stripped state of the room."""
        answer = await self.put(destination, path_of(V1, "send_knock", room_id, event_id), content=event, **terms)
        # Servers wrote it under this name before the specification chose the other.
        return a_list({"knock_room_state": an_object(answer).get("knock_state_events"), **answer}, "knock_room_state")

    async def invite(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        event: Json,
        version: RoomVersion,
        room_state: Sequence[Json],
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """Invite a user of that server; the event as it comes back, with the server's signature.

        A server that does not know version 2 of the operation is asked by version 1, which knows only old rooms.
        """
        content = {"event": event, "room_version": version.name, "invite_room_state": list(room_state)}
        try:
            answer = await self.put(destination, path_of(V2, "invite", room_id, event_id), content=content, **terms)
        except RemoteRefused as refused:
            if version.event_ids_are_hashes or not _knows_v1_alone(refused):
                raise
            return await self._invite_v1(destination, room_id, event_id, event, room_state, **terms)
        return an_object(an_object(answer, objects=("event",))["event"])

    async def _invite_v1(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        event: Json,
        room_state: Sequence[Json],
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        unsigned = {**event.get("unsigned", {}), "invite_room_state": list(room_state)}
        content = {**event, "unsigned": unsigned}
        answer = await self.put(destination, path_of(V1, "invite", room_id, event_id), content=content, **terms)
        return an_object(an_object(_unwrapped(answer), objects=("event",))["event"])

    async def exchange_third_party_invite(
        self, destination: ServerName, room_id: RoomID, event: Json, **terms: Unpack[Terms]
    ) -> None:
        """Ask a server of the room to turn an invite by third-party ID into one of the user it belongs to."""
        await self.put(destination, path_of(V1, "exchange_third_party_invite", room_id), content=event, **terms)

    # Events and states of rooms

    async def backfill(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_ids: Iterable[EventID],
        limit: int,
        **terms: Unpack[Terms],
    ) -> list[Any]:
        """Events before and including `event_ids`, newest first as a rule."""
        query: Query = {"v": list(event_ids), "limit": limit}
        return a_list(await self.get(destination, path_of(V1, "backfill", room_id), query=query, **terms), "pdus")

    async def get_missing_events(
        self,
        destination: ServerName,
        room_id: RoomID,
        *,
        earliest: Sequence[EventID],
        latest: Sequence[EventID],
        limit: int,
        min_depth: int = 0,
        **terms: Unpack[Terms],
    ) -> list[Any]:
        """Events between `earliest`, which we have, and `latest`, whose predecessors we lack."""
        content = {
            "earliest_events": list(earliest),
            "latest_events": list(latest),
            "limit": limit,
            "min_depth": min_depth,
        }
        path = path_of(V1, "get_missing_events", room_id)
        return a_list(await self.post(destination, path, content=content, **terms), "events")

    async def event(self, destination: ServerName, event_id: EventID, **terms: Unpack[Terms]) -> dict[str, Any]:
        """One event."""
        match a_list(await self.get(destination, path_of(V1, "event", event_id), **terms), "pdus"):
            case [event]:
                return an_object(event)
        raise RemoteNonsense("the answer has not one event")

    async def state(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """The state before an event, whole: the lists "pdus" and "auth_chain"."""
        wide: Terms = {"timeout_s": LONG_TIMEOUT_S, "most_bytes": MOST_BYTES_OF_A_STATE, **terms}
        answer = await self.get(destination, path_of(V1, "state", room_id), query={"event_id": event_id}, **wide)
        return an_object(answer, lists=("pdus", "auth_chain"))

    async def state_in_pieces(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        take: Callable[[str, Any], None],
        **terms: Unpack[Terms],
    ) -> None:
        """As `state`, but each PDU is given to `take` with "pdus" or "auth_chain" while it arrives; see send_join."""
        wide: Terms = {"timeout_s": LONG_TIMEOUT_S, "most_bytes": MOST_BYTES_OF_A_JOIN, **terms}
        uri = _uri(path_of(V1, "state", room_id), {"event_id": event_id})
        pieces = JsonPieces(("pdus", "auth_chain"), take)
        await self._asked(destination, "GET", uri, None, pieces.feed, **wide)
        an_object(pieces.finish(), lists=("pdus", "auth_chain"))

    async def state_ids(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """The state before an event: the lists "pdu_ids" and "auth_chain_ids"."""
        wide: Terms = {"timeout_s": LONG_TIMEOUT_S, "most_bytes": MOST_BYTES_OF_A_STATE, **terms}
        answer = await self.get(destination, path_of(V1, "state_ids", room_id), query={"event_id": event_id}, **wide)
        return an_object(answer, lists=("pdu_ids", "auth_chain_ids"))

    async def event_auth(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, **terms: Unpack[Terms]
    ) -> list[Any]:
        """The whole auth chain of an event."""
        wide: Terms = {"timeout_s": LONG_TIMEOUT_S, "most_bytes": MOST_BYTES_OF_A_STATE, **terms}
        return a_list(await self.get(destination, path_of(V1, "event_auth", room_id, event_id), **wide), "auth_chain")

    async def timestamp_to_event(
        self, destination: ServerName, room_id: RoomID, at_ms: int, *, backwards: bool, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """The event nearest to a moment: "event_id" and "origin_server_ts"."""
        query: Query = {"ts": at_ms, "dir": "b" if backwards else "f"}
        return an_object(await self.get(destination, path_of(V1, "timestamp_to_event", room_id), query=query, **terms))

    async def hierarchy(
        self, destination: ServerName, room_id: RoomID, *, suggested_only: bool, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """A space and its children: an object "room", lists "children" and "inaccessible_children"."""
        query: Query = {"suggested_only": _flag(suggested_only)}
        answer = an_object(await self.get(destination, path_of(V1, "hierarchy", room_id), query=query, **terms))
        answer.setdefault("inaccessible_children", [])  # some servers leave it out where there are none
        return an_object(answer, lists=("children", "inaccessible_children"), objects=("room",))

    async def sign_by_policy_server(
        self, destination: ServerName, event: Json, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """The policy server's signatures of an event, by server name and key ID. Spec: …/#policy-servers"""
        return an_object(await self.post(destination, "/_matrix/policy/v1/sign", content=event, **terms))

    # Directories

    async def public_rooms(
        self,
        destination: ServerName,
        *,
        limit: int | None = None,
        since: str | None = None,
        search: Json | None = None,
        include_all_networks: bool = False,
        third_party_instance_id: str | None = None,
        **terms: Unpack[Terms],
    ) -> dict[str, Any]:
        """A page of the server's published rooms: the list "chunk", perhaps "next_batch". `search` is a filter."""
        asked: dict[str, Any] = {"limit": limit, "since": since, "third_party_instance_id": third_party_instance_id}
        asked = {name: value for name, value in asked.items() if value is not None}
        path = f"{V1}/publicRooms"
        if search is None:
            query = {**asked, "include_all_networks": _flag(include_all_networks)}
            answer = await self.get(destination, path, query=query, **terms)
        else:
            content = {**asked, "include_all_networks": include_all_networks, "filter": search}
            answer = await self.post(destination, path, content=content, **terms)
        return an_object(answer, lists=("chunk",))

    async def query_directory(
        self, destination: ServerName, alias: RoomAlias, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """The room of an alias: "room_id", and the list "servers"."""
        query: Query = {"room_alias": alias}
        return an_object(await self.get(destination, f"{V1}/query/directory", query=query, **terms), lists=("servers",))

    async def query_profile(
        self, destination: ServerName, user_id: UserID, field: str | None = None, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """A user's profile, or one field of it."""
        query: Query = {"user_id": user_id} if field is None else {"user_id": user_id, "field": field}
        return an_object(await self.get(destination, f"{V1}/query/profile", query=query, **terms))

    # Users' devices and keys

    async def user_devices(self, destination: ServerName, user_id: UserID, **terms: Unpack[Terms]) -> dict[str, Any]:
        """A user's devices: the list "devices", "stream_id", and cross-signing keys."""
        return an_object(
            await self.get(destination, path_of(f"{V1}/user/devices", user_id), **terms), lists=("devices",)
        )

    async def user_keys_query(
        self, destination: ServerName, device_keys: Mapping[UserID, Sequence[str]], **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """Keys of devices, an empty list being all of a user's: the object "device_keys", and cross-signing keys."""
        content = {"device_keys": {user_id: list(device_ids) for user_id, device_ids in device_keys.items()}}
        answer = await self.post(destination, f"{V1}/user/keys/query", content=content, **terms)
        return an_object(answer, objects=("device_keys",))

    async def user_keys_claim(
        self, destination: ServerName, one_time_keys: Mapping[UserID, Mapping[str, str]], **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """One-time keys by user and device. `one_time_keys` has the algorithm for each device."""
        content = {"one_time_keys": one_time_keys}
        answer = await self.post(destination, f"{V1}/user/keys/claim", content=content, **terms)
        return an_object(an_object(answer, objects=("one_time_keys",))["one_time_keys"])

    async def openid_userinfo(
        self, destination: ServerName, access_token: str, **terms: Unpack[Terms]
    ) -> dict[str, Any]:
        """Whose OpenID token it is: the user ID is "sub"."""
        query: Query = {"access_token": access_token}
        return an_object(await self.get(destination, f"{V1}/openid/userinfo", query=query, **_unsigned(terms)))

    # How it is done

    async def _asked(
        self,
        destination: ServerName,
        method: str,
        uri: str,
        content: Json | bytes | None,
        take: Callable[[bytes], None] | None,
        *,
        timeout_s: float = TIMEOUT_S,
        most_bytes: int = MOST_BYTES,
        ignores_backoff: bool = False,
        is_signed: bool = True,
    ) -> bytes:
        """The body of the answer, which is a success; empty when `take` had it."""
        if destination == self._server_name:
            raise NotAsked("This server does not ask itself")
        self._gate.check(destination, ignores_backoff=ignores_backoff)
        headers = {"Accept": "application/json"}
        body = content if content is None or isinstance(content, bytes) else encode_lenient(content)
        if is_signed:
            headers["Authorization"] = self._authorization(method, uri, destination, body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        ask = Ask(destination, method, uri, headers, body, most_bytes)
        try:
            answer = await within(self._clock, timeout_s, self._agent.exchange(ask, take), destination)
        except Unreachable:
            self._gate.failed(destination)
            raise
        except RemoteNonsense:  # too much, or no HTTP: it is there
            self._gate.succeeded(destination)
            raise
        if answer.status >= 500:
            self._gate.failed(destination)
        else:
            self._gate.succeeded(destination)
        if not 200 <= answer.status < 300:
            raise _refusal(destination, answer)
        return answer.body

    def _authorization(self, method: str, uri: str, destination: ServerName, body: bytes | None) -> str:
        """The header that signs a request with a body in canonical JSON, or without one.

        Spec: server-server-api/#request-authentication
        """
        asked = {"method": method, "uri": uri, "origin": self._server_name, "destination": destination}
        signed = encode_lenient(asked)
        if body is not None:
            signed = b'{"content":' + body + b"," + signed[1:]  # its name is the first in the order of names
        key_id, signature = self._signer.key_and_signature(signed)
        return f'X-Matrix origin="{self._server_name}",destination="{destination}",key="{key_id}",sig="{signature}"'


def path_of(prefix: str, *segments: str) -> str:
    """A path below `prefix`, which is percent-encoded already; each segment is encoded whole, with its slashes."""
    return "/".join((prefix, *(quote(segment, safe="") for segment in segments)))


def _knows_v1_alone(refused: RemoteRefused) -> bool:
    """Whether a server may know the operation by its first version, since it does not know the second."""
    return refused.status in (400, 404, 405) and refused.is_unrecognized


def _unwrapped(answer: Any) -> dict[str, Any]:
    """What an operation's first version answers: in a list, after the status. Raises RemoteNonsense."""
    match answer:
        case [200, dict() as told]:
            return told
    raise RemoteNonsense("the answer is not [200, {…}]")


def _uri(path: str, query: Query | None) -> str:
    return f"{path}?{urlencode(query, doseq=True, quote_via=quote)}" if query else path


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _unsigned(terms: Terms) -> Terms:
    # A server that is asked for its keys cannot first ask us for ours.
    return {**terms, "is_signed": False}


def _refusal(destination: ServerName, answer: Answer) -> RemoteRefused:
    try:
        body = an_object(decode_json(answer.body))
    except RemoteNonsense:
        return RemoteRefused(answer.status, None, f"{destination} answered with {answer.status}")
    errcode, error = text_of(body, "errcode"), text_of(body, "error")
    return RemoteRefused(
        answer.status, errcode, f"{destination} answered with {answer.status} {errcode}: {error!r:.200}", body
    )
