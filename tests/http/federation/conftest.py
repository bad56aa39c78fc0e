"""What is served to other servers, over HTTP, on the reactor's thread where its database is used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.http.endpoint import Surface
from homeserver.http.federation.events import FederationEventEndpoints
from homeserver.http.federation.hierarchy import FederationHierarchyEndpoints
from homeserver.http.federation.history import FederationHistoryEndpoints
from homeserver.http.federation.invites import FederationInviteEndpoints
from homeserver.http.federation.joins import FederationJoinEndpoints
from homeserver.http.federation.knocks import FederationKnockEndpoints
from homeserver.http.federation.leaves import FederationLeaveEndpoints
from homeserver.http.federation.public_rooms import FederationPublicRoomsEndpoints
from homeserver.http.federation.queries import FederationQueryEndpoints
from homeserver.http.federation.state import FederationStateEndpoints
from homeserver.http.federation.timestamps import FederationTimestampEndpoints
from tests.http.conftest import Serve, Served, in_reactor
from tests.services.federation.serving import Serving


@pytest.fixture
def serving(tmp_path: Path, running_reactor: None) -> Iterator[Serving]:
    """A server's services, made on the reactor's thread."""
    made: Serving = in_reactor(lambda: Serving(tmp_path))
    yield made
    in_reactor(made.close)


@pytest.fixture
def served(serve: Serve, serving: Serving) -> Served:
    """All that is served to other servers; who asks is believed to be whom the header names."""
    return serve(
        FederationEventEndpoints(serving.events),
        FederationHistoryEndpoints(serving.events),
        FederationHierarchyEndpoints(serving.hierarchy),
        FederationInviteEndpoints(serving.invites),
        FederationJoinEndpoints(serving.joins),
        FederationKnockEndpoints(serving.knocks),
        FederationLeaveEndpoints(serving.leaves),
        FederationPublicRoomsEndpoints(serving.world.directory),
        FederationQueryEndpoints(serving.queries),
        FederationStateEndpoints(serving.states),
        FederationTimestampEndpoints(serving.timestamps),
        served={Surface.FEDERATION},
    )
