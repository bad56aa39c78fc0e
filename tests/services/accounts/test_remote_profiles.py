"""Profiles of users of other servers."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName, UserID
from homeserver.core.signing import SigningKey
from homeserver.outbound.errors import NotAsked, Unreachable
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.remote_profiles import (
    ABSENCE_REMEMBERED_S,
    MOST_WAITING,
    REMEMBERED_S,
    TIMEOUT_S,
    RemoteProfileQueries,
)
from homeserver.services.errors import Forbidden, LimitExceeded, NotFound, RemoteFailed
from tests.fakes.key_servers import KeyServers
from tests.services.world import SERVER, now

FAR = ServerName("far.example")
FAY = UserID(f"@fay:{FAR}")


class Setting:
    """What asks, and what is asked."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.servers = KeyServers()
        client = FederationClient(self.servers, OpenGate(), SERVER, SigningKey("test", bytes(32)), self.clock)
        self.profiles = RemoteProfileQueries(client, CacheBudget(1 << 20), self.clock)

    def profile(self, user_id: UserID = FAY) -> Any:
        return orjson.loads(orjson.dumps(dict(now(self.profiles.profile(user_id)))))

    def times_asked(self) -> int:
        return len(self.servers.asked)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def answer(setting: Setting, tamper: Callable[[Any], Any]) -> None:
    setting.servers.person(FAY)
    setting.servers.tampers["profile"] = tamper


def test_a_profile_is_asked_for_of_the_users_server(setting: Setting) -> None:
    told = {"displayname": "Fay", "avatar_url": "mxc://far.example/a", "m.tz": "Europe/Paris", "org.example": {"a": 1}}
    setting.servers.person(FAY).profile = told

    assert setting.profile() == told
    assert setting.servers.asked == [(FAR, "profile", {"user_id": FAY})]


def test_it_is_remembered_for_a_while(setting: Setting) -> None:
    setting.servers.person(FAY).profile = {"displayname": "Fay"}
    first = setting.profile()
    setting.servers.person(FAY).profile = {"displayname": "Fay Way"}

    setting.clock.advance(REMEMBERED_S - 1)
    still = setting.profile()
    setting.clock.advance(1)
    later = setting.profile()

    assert (first, still, later) == ({"displayname": "Fay"}, {"displayname": "Fay"}, {"displayname": "Fay Way"})
    assert setting.times_asked() == 2


def test_that_there_is_no_such_user_is_remembered_more_shortly(setting: Setting) -> None:
    for _ in range(2):
        with pytest.raises(NotFound):
            setting.profile()
    before = setting.times_asked()
    setting.servers.person(FAY).profile = {"displayname": "Fay"}
    setting.clock.advance(ABSENCE_REMEMBERED_S)

    assert before == 1
    assert setting.profile() == {"displayname": "Fay"}


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Unreachable("gone"), RemoteFailed),
        (NotAsked("blocked"), RemoteFailed),
        (500, RemoteFailed),
        (429, RemoteFailed),
        (400, RemoteFailed),
        (403, Forbidden),
        (404, NotFound),
    ],
)
def test_what_a_server_answers_is_told_as_far_as_it_helps(
    setting: Setting, failure: Exception | int, error: type[Exception]
) -> None:
    setting.servers.person(FAY)
    setting.servers.failures[FAR] = failure

    with pytest.raises(error):
        setting.profile()


def test_a_failure_is_not_remembered(setting: Setting) -> None:
    setting.servers.person(FAY).profile = {"displayname": "Fay"}
    setting.servers.failures[FAR] = Unreachable("gone")
    with pytest.raises(RemoteFailed):
        setting.profile()

    setting.servers.failures.clear()

    assert setting.profile() == {"displayname": "Fay"}


@pytest.mark.parametrize(
    "field",
    [
        {"displayname": 1},
        {"displayname": None},
        {"avatar_url": ["mxc://a/b"]},
        {"NOT A KEY": "x"},
        {"x" * 256: "x"},
        {"": "x"},
        {"org.float": 0.5},
        {"org.large": 2**70},
    ],
)
def test_a_field_that_can_be_none_is_left_out(setting: Setting, field: dict[str, Any]) -> None:
    answer(setting, lambda _: {"m.tz": "UTC", **field})

    assert setting.profile() == {"m.tz": "UTC"}


@pytest.mark.parametrize("told", [[], b"<html>", 1, {"org.example": ["x" * 1000] * 70}])
def test_what_is_no_profile_is_a_failure(setting: Setting, told: Any) -> None:
    answer(setting, lambda _: told)

    with pytest.raises(RemoteFailed):
        setting.profile()


def test_who_asks_at_the_same_time_asks_once(setting: Setting) -> None:
    setting.servers.person(FAY).profile = {"displayname": "Fay"}
    setting.servers.held[FAR] = Deferred()
    askers = [Deferred.fromCoroutine(setting.profiles.profile(FAY)) for _ in range(3)]

    setting.servers.held.pop(FAR).callback(None)

    assert [asker.called for asker in askers] == [True] * 3
    assert setting.times_asked() == 1


def test_strangers_cannot_have_this_server_ask_without_end(setting: Setting) -> None:
    setting.servers.held[FAR] = Deferred()
    users = [UserID(f"@user{number}:{FAR}") for number in range(MOST_WAITING)]
    failures: list[Any] = []
    for user_id in users:
        asking = Deferred.fromCoroutine(setting.profiles.profile(user_id))
        asking.addErrback(lambda failure: failures.append(failure.type))

    with pytest.raises(LimitExceeded):
        setting.profile()
    setting.clock.advance(TIMEOUT_S)

    assert failures == [RemoteFailed] * MOST_WAITING
    setting.servers.held.clear()
    setting.servers.person(FAY).profile = {"displayname": "Fay"}
    assert setting.profile() == {"displayname": "Fay"}
