"""Marks on handlers, and where their paths are served."""

import pytest

from homeserver.http.endpoint import (
    ADMIN,
    NoBody,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    Surface,
    admin_endpoint,
    endpoints_of,
    surfaces_of,
)
from homeserver.http.rate_limiting import RateClass


@pytest.mark.parametrize(
    ("path", "surfaces"),
    [
        ("/", {Surface.CLIENT}),
        ("/_matrix/client/v3/sync", {Surface.CLIENT}),
        ("/_matrix/client/v1/media/download/a/b", {Surface.CLIENT, Surface.MEDIA}),
        ("/_matrix/media/v3/upload", {Surface.MEDIA}),
        ("/_matrix/federation/v1/send/1", {Surface.FEDERATION}),
        ("/_matrix/federation/v1/media/download/a", {Surface.FEDERATION, Surface.MEDIA}),
        ("/_matrix/key/v2/server", {Surface.FEDERATION}),
        ("/.well-known/matrix/server", {Surface.CLIENT, Surface.FEDERATION}),
        ("/.well-known/matrix/client", {Surface.CLIENT}),
        ("/_synapse/admin/v1/register", {Surface.ADMIN}),
        ("/_columba/admin/v1/users", {Surface.ADMIN}),
        ("/_columba/metrics", {Surface.METRICS}),
        ("/_columba/health", set(Surface)),
    ],
)
def test_a_path_is_served_where_its_beginning_says(path: str, surfaces: set[Surface]) -> None:
    assert surfaces_of(path) == surfaces


def test_a_request_of_nobody_has_no_requester_and_no_peer() -> None:
    request = Request({"userId": "@a:b"}, NoQuery(), NoBody(), None, None, "192.0.2.1", "/", lambda _: None)

    assert request.path_user_id == "@a:b"
    assert request.user_agent == ""
    with pytest.raises(LookupError):
        _ = request.requester
    with pytest.raises(LookupError):
        _ = request.peer


def test_a_mark_for_administrators_lets_in_nobody_else() -> None:
    class Things:
        @admin_endpoint("GET", "/things", also=("/same",), waits=True, spec="for tests")
        async def all(self, _: PlainRequest) -> Reply:
            """All things."""
            return Reply({})

    (mark,) = endpoints_of(Things)

    assert (mark.auth, mark.limit, mark.guests) == (ADMIN, RateClass.GENERAL, False)
    assert (mark.paths, mark.waits, mark.spec) == (("/things", "/same"), True, "for tests")
