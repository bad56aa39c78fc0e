"""Client-server API: the keys by which users sign keys, and their signatures."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.client.interactive_auth import AuthData, attempt
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.errors import reply_to
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.interactive_auth import InteractiveAuth
from homeserver.services.e2ee.cross_signing import CrossSigning


class DeviceSigningBody(msgspec.Struct, frozen=True):
    """Keys that sign other keys."""

    master_key: dict[str, Any] | None = None
    self_signing_key: dict[str, Any] | None = None
    user_signing_key: dict[str, Any] | None = None
    auth: AuthData | None = None


@dataclass(frozen=True)
class CrossSigningEndpoints:
    """How users vouch for their devices, and for each other."""

    cross_signing: CrossSigning
    interactive_auth: InteractiveAuth

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/device_signing/upload",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3keysdevice_signingupload",
        also=("/_matrix/client/unstable/keys/device_signing/upload",),  # its name before it was in the specification
        body=DeviceSigningBody,
    )
    async def upload_keys(self, request: Request[NoQuery, DeviceSigningBody]) -> Reply:
        """Publish the user's keys; to replace them by others the user authenticates anew."""
        requester = request.requester
        keys = msgspec.structs.asdict(request.body)
        is_appservice = requester.appservice_id is not None
        if not await self.cross_signing.upload_keys(requester.user_id, keys, is_authenticated=is_appservice):
            asked = attempt("POST /keys/device_signing/upload", request.body)
            await self.interactive_auth.confirm_user(requester.user_id, asked)
            await self.cross_signing.upload_keys(requester.user_id, keys, is_authenticated=True)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/signatures/upload",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3keyssignaturesupload",
        also=("/_matrix/client/unstable/keys/signatures/upload",),  # as above
        body=JsonObject,
    )
    async def upload_signatures(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Add signatures to keys."""
        failures = await self.cross_signing.upload_signatures(request.requester.user_id, request.body)
        shown = {
            user_id: {key_id: reply_to(failure).body for key_id, failure in by_key.items()}
            for user_id, by_key in failures.items()
        }
        return Reply({"failures": shown})
