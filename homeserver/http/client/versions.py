"""Which versions of the specification, and which proposals, this server speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.http.endpoint import NONE, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass

# The r0 versions are for clients that know no others; their paths answer as those of v3.
VERSIONS: Final = (
    "r0.0.1",
    "r0.1.0",
    "r0.2.0",
    "r0.3.0",
    "r0.4.0",
    "r0.5.0",
    "r0.6.0",
    "r0.6.1",
    *(f"v1.{minor}" for minor in range(1, 20)),
)

# What clients look for by the name that it had before the specification; each is part of VERSIONS.
STABLE_BY_NOW: Final = (
    "org.matrix.e2e_cross_signing",
    "org.matrix.msc2285.stable",  # private read receipts
    "org.matrix.msc3440.stable",  # threads
    "org.matrix.msc3771",  # receipts in threads
    "org.matrix.msc3773",  # notification counts of threads
    "org.matrix.msc3827.stable",  # public rooms by their type
    "org.matrix.msc3916.stable",  # media for those who show a token
    "org.matrix.msc4380.stable",  # wanting no invites
    "uk.half-shot.msc2666.query_mutual_rooms",  # rooms shared with another user
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133.stable",  # further fields of profiles
)

# Served, and not in the specification yet.
PROPOSALS: Final = (
    "org.matrix.msc3814",  # dehydrated devices
    "org.matrix.msc4140",  # delayed events
    "org.matrix.msc4140.stable",
    "org.matrix.msc4143",  # where calls of many take place
    "org.matrix.msc4155",  # whose invites one wants
    "org.matrix.msc4306",  # subscriptions to threads
    "org.matrix.msc4308",  # changes of these, page by page and in sliding sync
    "org.matrix.simplified_msc3575",  # sliding sync, by the name of the proposal that it simplifies
)


@dataclass(frozen=True)
class VersionsEndpoints:
    """The same for everybody, with a token or without."""

    proposals: Sequence[str] = PROPOSALS

    @endpoint(
        "GET",
        "/_matrix/client/versions",
        auth=NONE,
        limit=RateClass.FREE,
        spec="client-server-api/#get_matrixclientversions",
    )
    async def versions(self, _: PlainRequest) -> Reply:
        """Every version up to the newest that this server implements."""
        return Reply(
            {"versions": VERSIONS, "unstable_features": dict.fromkeys((*STABLE_BY_NOW, *self.proposals), True)}
        )
