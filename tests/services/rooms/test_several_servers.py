"""What it comes to when none of several servers gives what was asked for."""

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused, Unreachable
from homeserver.services.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    NotFound,
    RefusedElsewhere,
    RemoteFailed,
    ServiceError,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)
from homeserver.services.rooms.several_servers import MOST_SERVERS, candidates, failure_of, first_answer
from tests.services.world import now

FORBIDDEN = RemoteRefused(403, "M_FORBIDDEN", "403", {"error": "you are banned"})
UNKNOWN = RemoteRefused(404, "M_NOT_FOUND", "404", {"error": "no such room"})
OTHER_VERSION = RemoteRefused(400, "M_INCOMPATIBLE_ROOM_VERSION", "400", {"room_version": "99"})
CANNOT_TELL = RemoteRefused(400, "M_UNABLE_TO_AUTHORISE_JOIN", "400", {})
CANNOT_GRANT = RemoteRefused(400, "M_UNABLE_TO_GRANT_JOIN", "400")
FULL = RemoteRefused(400, "ORG.EXAMPLE_FULL", "400", {"error": "the room is full"})
AWAY = Unreachable("no answer")


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ([], NotFound),
        ([FORBIDDEN], Forbidden),
        ([FORBIDDEN, UNKNOWN], Forbidden),
        ([UNKNOWN, UNKNOWN], NotFound),
        ([FORBIDDEN, AWAY], RemoteFailed),
        ([UNKNOWN, AWAY], RemoteFailed),
        ([RemoteNonsense("what?")], RemoteFailed),
        ([OTHER_VERSION, AWAY], IncompatibleRoomVersion),
        ([CANNOT_TELL, FORBIDDEN], UnableToAuthoriseJoin),
        ([CANNOT_GRANT, CANNOT_TELL], UnableToGrantJoin),
        ([RemoteRefused(500, None, "500")], RemoteFailed),
        ([FULL], RefusedElsewhere),
        ([FORBIDDEN, FULL], RefusedElsewhere),
        ([FULL, AWAY], RemoteFailed),
        ([RemoteRefused(500, "ORG.EXAMPLE_FULL", "500")], RemoteFailed),
        ([RemoteRefused(400, None, "400")], RemoteFailed),
        ([RemoteRefused(400, "no errcode", "400")], RemoteFailed),
        ([RemoteRefused(400, "M_UNKNOWN_TOKEN", "400")], RemoteFailed),
        ([RemoteRefused(400, "M_INVALID_PARAM", "400")], RemoteFailed),
    ],
)
def test_the_failures_of_servers_amount_to_one(failures: list[RemoteError], kind: type[ServiceError]) -> None:
    assert type(failure_of(failures)) is kind


def test_what_a_server_says_is_passed_on_in_part() -> None:
    full = failure_of([FULL])
    assert isinstance(full, RefusedElsewhere)
    assert (full.errcode, full.reason) == ("ORG.EXAMPLE_FULL", "the room is full")
    assert failure_of([FORBIDDEN]).reason == "you are banned"
    assert len(failure_of([RemoteRefused(404, None, "404", {"error": "x" * 10_000})]).reason) == 200
    assert failure_of([RemoteRefused(404, None, "404", {"error": ["x"]})]).reason == "404"


def test_servers_are_asked_until_one_answers_and_not_for_ever() -> None:
    asked: list[str] = []

    async def ask(server: ServerName) -> str:
        asked.append(server)
        if server != "5.example":
            raise AWAY
        return "here"

    servers = [ServerName(f"{number}.example") for number in range(20)]

    assert now(first_answer(servers, ask)) == "here"
    assert len(asked) == 6
    with pytest.raises(RemoteFailed):
        now(first_answer(servers[6:], ask))
    assert len(asked) == 6 + MOST_SERVERS


def test_candidates_are_other_servers_each_once_in_their_order() -> None:
    own = ServerName("example.org")

    found = candidates(own, ["b.example", "example.org"], ["no server!", "", "a.example", "b.example"])

    assert found == ["b.example", "a.example"]
