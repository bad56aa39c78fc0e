"""Third-party invites over HTTP, exchanged or redeemed here: what is asked, and how refusals look."""

from typing import Any

import orjson
import pytest

from homeserver.http.endpoint import Surface
from homeserver.http.federation.third_party_invites import FederationThirdPartyInviteEndpoints
from tests.http.conftest import Serve, Served, in_reactor
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
    endpoints = FederationThirdPartyInviteEndpoints(serving.third_party_invites, serving.addresses)
    return serve(endpoints, served={Surface.FEDERATION})


def test_what_is_no_invite_is_refused(exchanging: Served) -> None:
    answer = ask(exchanging, "PUT", "exchange_third_party_invite", "!room:example.org", content=EVENT)

    assert refusal(answer) == (400, "M_INVALID_PARAM")


def test_a_room_that_is_not_here_is_not_found(exchanging: Served) -> None:
    signed = {"mxid": "@x:far.example", "token": "t", "signatures": {}}
    content = {"membership": "invite", "third_party_invite": {"display_name": "x", "signed": signed}}
    event = {**EVENT, "state_key": "@x:far.example", "content": content}

    answer = ask(exchanging, "PUT", "exchange_third_party_invite", "!room:example.org", content=event)

    assert refusal(answer) == (404, "M_NOT_FOUND")


def bound(**changes: Any) -> dict[str, Any]:  # Any: JSON
    """What an identity server tells of a user who is not here."""
    address = {"medium": "email", "address": "x@example.org", "mxid": "@nobody:example.org"}
    signed = {"mxid": "@nobody:example.org", "token": "t", "signatures": {}}
    invite = {**address, "room_id": "!room:example.org", "sender": "@alice:example.org", "signed": signed}
    return {**address, "invites": [{**invite, **changes}]}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_identity_servers_need_no_signature_of_a_homeserver(exchanging: Served, method: str) -> None:
    answer = exchanging.request(method, "/_matrix/federation/v1/3pid/onbind", orjson.dumps(bound()))

    assert refusal(answer) == (403, "M_FORBIDDEN")


def test_an_address_without_invites_is_nothing_new(exchanging: Served, serving: Serving) -> None:
    user_id = in_reactor(lambda: serving.named("dora", "Dora"))

    answer = ask(exchanging, "PUT", "3pid", "onbind", content={**bound(), "mxid": user_id, "invites": []})

    assert (answer.status, answer.json) == (200, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"mxid": "@other:example.org"},
        {"mxid": "nobody"},
        {"room_id": "room"},
        {"sender": "alice"},
        {"signed": {"mxid": "@nobody:example.org", "token": 1, "signatures": {}}},
        {"signed": {}},
    ],
)
def test_what_no_identity_server_would_tell_is_refused(exchanging: Served, changes: dict[str, Any]) -> None:
    answer = ask(exchanging, "PUT", "3pid", "onbind", content=bound(**changes))

    assert refusal(answer) == (400, "M_INVALID_PARAM")
