"""Exchanges of third-party invites over HTTP: what is asked, and how refusals look."""

import pytest

from homeserver.http.endpoint import Surface
from homeserver.http.federation.third_party_invites import FederationThirdPartyInviteEndpoints
from tests.http.conftest import Serve, Served
from tests.http.federation.asking import ask, refusal
from tests.services.federation.serving import Serving

EVENT = {
    "type": "m.room.member",
    "room_id": "!room:example.org",
    "sender": "@alice:example.org",
    "state_key": "@x:elsewhere.example",
    "content": {"membership": "invite", "third_party_invite": {"signed": {}}},
}


@pytest.fixture
def exchanging(serve: Serve, serving: Serving) -> Served:
    """The endpoints alone."""
    return serve(FederationThirdPartyInviteEndpoints(serving.third_party_invites), served={Surface.FEDERATION})


def test_what_is_no_invite_is_refused(exchanging: Served) -> None:
    answer = ask(exchanging, "PUT", "exchange_third_party_invite", "!room:example.org", content=EVENT)

    assert refusal(answer) == (400, "M_INVALID_PARAM")


def test_a_room_that_is_not_here_is_not_found(exchanging: Served) -> None:
    signed = {"mxid": "@x:far.example", "token": "t", "signatures": {}}
    content = {"membership": "invite", "third_party_invite": {"display_name": "x", "signed": signed}}
    event = {**EVENT, "state_key": "@x:far.example", "content": content}

    answer = ask(exchanging, "PUT", "exchange_third_party_invite", "!room:example.org", content=event)

    assert refusal(answer) == (404, "M_NOT_FOUND")
