"""The signing keys of this server, and those of others as far as it knows them.

Nobody signs these requests: it is by these keys that signatures are checked.
"""

from dataclasses import dataclass

import msgspec
import orjson

from homeserver.core.identifiers import KeyID, ServerName, parse_server_name
from homeserver.http.endpoint import NONE, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.key_document import OwnKeyDocument
from homeserver.services.federation.key_notary import KeyNotary


class ValidityQuery(msgspec.Struct, frozen=True):
    """How long the keys should be valid; without, now."""

    minimum_valid_until_ts: int | None = None


class Criteria(msgspec.Struct, frozen=True):
    """How long one key should be valid; without, now."""

    minimum_valid_until_ts: int | None = None


class KeyQuery(msgspec.Struct, frozen=True):
    """Keys by server; no keys stand for all of a server."""

    server_keys: dict[str, dict[str, Criteria]]


@dataclass(frozen=True)
class FederationKeyEndpoints:
    """Keys by which servers sign."""

    own: OwnKeyDocument
    notary: KeyNotary

    @endpoint(
        "GET",
        "/_matrix/key/v2/server",
        auth=NONE,
        limit=RateClass.FREE,
        spec="server-server-api/#get_matrixkeyv2server",
        also=("/_matrix/key/v2/server/{keyId}",),  # as servers of before version 1.6 ask
    )
    async def own_keys(self, _: PlainRequest) -> Reply:
        """This server's keys, whichever were asked for."""
        return Reply(orjson.Fragment(self.own.encoded()))

    @endpoint(
        "GET",
        "/_matrix/key/v2/query/{serverName}",
        auth=NONE,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixkeyv2queryservername",
        query=ValidityQuery,
        also=("/_matrix/key/v2/query/{serverName}/{keyId}",),  # as above
    )
    async def keys_of_one(self, request: Request[ValidityQuery, NoBody]) -> Reply:
        """The keys of one server."""
        server, until_ms = ServerName(request.path["serverName"]), request.query.minimum_valid_until_ts
        if "keyId" in request.path:
            wanted = {server: {KeyID(request.path["keyId"]): until_ms}}
            return Reply({"server_keys": await self.notary.keys(wanted)})
        return Reply({"server_keys": await self.notary.all_keys(server, until_ms)})

    @endpoint(
        "POST",
        "/_matrix/key/v2/query",
        auth=NONE,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#post_matrixkeyv2query",
        body=KeyQuery,
    )
    async def keys_of_many(self, request: Request[NoQuery, KeyQuery]) -> Reply:
        """Keys of several servers."""
        wanted = {
            parse_server_name(server): {KeyID(key_id): each.minimum_valid_until_ts for key_id, each in keys.items()}
            for server, keys in request.body.server_keys.items()
        }
        return Reply({"server_keys": await self.notary.keys(wanted)})
