"""How asking goes wrong."""

import pytest

from homeserver.outbound.errors import NotAsked, RemoteError, RemoteRefused, Unreachable


@pytest.mark.parametrize(
    ("status", "errcode", "is_unrecognized"),
    [
        (404, "M_UNRECOGNIZED", True),
        (400, "M_UNRECOGNIZED", True),
        (404, None, True),
        (405, None, True),
        (404, "M_NOT_FOUND", False),
        (400, None, False),
        (500, None, False),
    ],
)
def test_an_endpoint_is_unrecognized_if_the_server_says_so_or_says_nothing(
    status: int, errcode: str | None, is_unrecognized: bool
) -> None:
    refused = RemoteRefused(status, errcode, "no")

    assert refused.is_unrecognized == is_unrecognized


def test_a_server_that_was_not_asked_was_not_reached() -> None:
    assert isinstance(NotAsked("blocked"), Unreachable)
    assert isinstance(Unreachable("no"), RemoteError)
    assert NotAsked("blocked").reason == "blocked"
