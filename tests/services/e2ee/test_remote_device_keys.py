"""Asking other servers for keys: all at once, for as long as somebody waits, and believing little."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.device_keys import KeyClaim, KeyQuery
from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.core.signing import SigningKey
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.runtime.clock import ManualClock
from homeserver.services.e2ee.remote_device_keys import (
    AT_ONCE,
    MOST_AT_ONCE,
    MOST_SERVERS,
    REQUESTS_OF_SERVER,
    RemoteDeviceKeys,
)
from tests.fakes.key_servers import KeyServers
from tests.services.e2ee.signed_keys import LAPTOP, PHONE, device_keys, identity, one_time_key
from tests.services.world import SERVER, now

T = TypeVar("T")
ONE, TWO = ServerName("one.example"), ServerName("two.example")
EVE, MAL = UserID(f"@eve:{ONE}"), UserID(f"@mal:{TWO}")
SIGNED = "signed_curve25519"


class Setting:
    """What asks, and what is asked."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.servers = KeyServers()
        client = FederationClient(self.servers, OpenGate(), SERVER, SigningKey("test", bytes(32)), self.clock)
        self.asking = RemoteDeviceKeys(client, self.clock)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def all_of(*user_ids: UserID) -> list[KeyQuery]:
    return [KeyQuery(user_id, frozenset()) for user_id in user_ids]


def begun(work: Coroutine[Any, Any, T]) -> "Deferred[T]":
    return Deferred.fromCoroutine(work)


def outcome(done: "Deferred[T]") -> T:
    """What has been returned by now."""
    values: list[T] = []
    done.addCallback(values.append)
    return values[0]


def test_each_server_is_asked_once_for_all_of_its_users(setting: Setting) -> None:
    eva = UserID(f"@eva:{ONE}")
    for user_id in (EVE, eva, MAL):
        setting.servers.person(user_id).devices[PHONE] = device_keys(user_id)
    setting.servers.person(EVE).names[PHONE] = "Eve's phone"

    found = now(setting.asking.query(all_of(EVE, eva, MAL), 10))

    assert setting.servers.operations() == [(ONE, "query"), (TWO, "query")]
    assert found.unreachable == set()
    assert found.users[EVE].devices[PHONE].keys == device_keys(EVE)
    assert found.users[EVE].devices[PHONE].display_name == "Eve's phone"
    assert found.users.keys() == {EVE, eva, MAL}


def test_for_very_many_users_a_server_is_asked_in_several_requests(setting: Setting) -> None:
    users = [UserID(f"@user{number}:{ONE}") for number in range(2 * MOST_AT_ONCE + 1)]
    for user_id in users:
        setting.servers.person(user_id).devices[PHONE] = device_keys(user_id)
    claims = [KeyClaim(user_id, PHONE, SIGNED) for user_id in users]

    found = now(setting.asking.query(all_of(*users), 10))
    now(setting.asking.claim(claims, 10))

    assert found.users.keys() == set(users)
    assert setting.servers.operations() == [(ONE, "query")] * 3 + [(ONE, "claim")] * 3
    asked = [len(content.get("device_keys", content.get("one_time_keys"))) for _, _, content in setting.servers.asked]
    assert asked == [MOST_AT_ONCE, MOST_AT_ONCE, 1] * 2


def test_a_server_that_fails_is_not_asked_for_the_others(setting: Setting) -> None:
    users = [UserID(f"@user{number}:{ONE}") for number in range(20 * MOST_AT_ONCE)]
    setting.servers.failures[ONE] = Unreachable("gone")

    found = now(setting.asking.query(all_of(*users), 10))

    assert found.unreachable == {ONE}
    assert len(setting.servers.asked) <= REQUESTS_OF_SERVER


@pytest.mark.parametrize("failure", [Unreachable("gone"), 500, 404, 429])
def test_a_server_that_fails_is_reported_and_the_others_are_heard(setting: Setting, failure: Exception | int) -> None:
    setting.servers.person(MAL).devices[PHONE] = device_keys(MAL)
    setting.servers.person(MAL).one_time[PHONE] = {f"{SIGNED}:1": one_time_key(MAL)}
    setting.servers.failures[ONE] = failure

    found = now(setting.asking.query(all_of(EVE, MAL), 10))
    claims = [KeyClaim(user_id, PHONE, SIGNED) for user_id in (EVE, MAL)]
    claimed = now(setting.asking.claim(claims, 10))

    assert found.unreachable == claimed.unreachable == {ONE}
    assert found.users.keys() == claimed.keys.keys() == {MAL}


def test_servers_are_asked_at_the_same_time_and_given_up_when_the_time_is_over(setting: Setting) -> None:
    setting.servers.held[ONE] = Deferred()
    setting.servers.person(MAL).devices[PHONE] = device_keys(MAL)

    asking = begun(setting.asking.query(all_of(EVE, MAL), 2))
    asked = setting.servers.operations()
    setting.clock.advance(1.9)
    was_waiting = not asking.called
    setting.clock.advance(0.2)

    assert asked == [(ONE, "query"), (TWO, "query")]
    assert was_waiting
    found = outcome(asking)
    assert found.unreachable == {ONE}
    assert found.users.keys() == {MAL}


def test_only_so_many_servers_are_asked_at_once_and_those_that_come_too_late_not_at_all(setting: Setting) -> None:
    users = [UserID(f"@eve:s{number}.example") for number in range(AT_ONCE + 5)]
    for number in range(AT_ONCE + 5):
        setting.servers.held[ServerName(f"s{number}.example")] = Deferred()

    asking = begun(setting.asking.query(all_of(*users), 2))
    at_once = len(setting.servers.asked)
    setting.clock.advance(2)

    assert at_once == len(setting.servers.asked) == AT_ONCE
    assert len(outcome(asking).unreachable) == AT_ONCE + 5


def test_one_request_does_not_make_this_server_ask_the_whole_world(setting: Setting) -> None:
    users = [UserID(f"@eve:s{number}.example") for number in range(MOST_SERVERS + 1)]

    found = now(setting.asking.query(all_of(*users), 10))

    assert len(setting.servers.asked) == MOST_SERVERS
    assert found.unreachable == {ServerName(f"s{MOST_SERVERS}.example")}


def test_only_the_devices_that_were_asked_for_are_taken(setting: Setting) -> None:
    person = setting.servers.person(EVE)
    person.devices = {PHONE: device_keys(EVE), LAPTOP: device_keys(EVE, LAPTOP)}
    setting.servers.tampers["query"] = lambda answer: {
        **answer,
        "device_keys": {**answer["device_keys"], EVE: person.devices, MAL: {PHONE: device_keys(MAL)}},
    }

    found = now(setting.asking.query([KeyQuery(EVE, frozenset({PHONE}))], 10))

    assert setting.servers.asked[0][2] == {"device_keys": {EVE: [PHONE]}}
    assert {user_id: set(keys.devices) for user_id, keys in found.users.items()} == {EVE: {PHONE}}


def test_a_server_says_nothing_of_users_of_other_servers(setting: Setting) -> None:
    """What it is not asked for is not taken, whoever it is about."""
    setting.servers.person(EVE).devices[PHONE] = device_keys(EVE)
    lie = {"device_keys": {EVE: {}, MAL: {PHONE: device_keys(MAL)}}, "master_keys": {MAL: identity(MAL)["master_key"]}}
    setting.servers.tampers["query"] = lambda _: lie
    setting.servers.failures[TWO] = Unreachable("gone")

    found = now(setting.asking.query(all_of(EVE, MAL), 10))

    assert found.users.keys() == {EVE}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"device_keys": []},
        b"<html>",
        {"device_keys": {}, "one_time_keys": 1},
    ],
)
def test_an_answer_that_makes_no_sense_is_none(setting: Setting, answer: Any) -> None:
    setting.servers.tampers["query"] = setting.servers.tampers["claim"] = lambda _: answer

    found = now(setting.asking.query(all_of(EVE), 10))
    claimed = now(setting.asking.claim([KeyClaim(EVE, PHONE, SIGNED)], 10))

    assert found.users == {}
    assert claimed.keys == {}
    assert claimed.unreachable == {ONE}


@pytest.mark.parametrize("of_user", [None, 1, [], {PHONE: 1}, {PHONE: []}, {"": {}}, {PHONE: {"keys": {}}}])
def test_what_is_malformed_in_an_answer_spoils_nothing_else(setting: Setting, of_user: Any) -> None:
    eva = UserID(f"@eva:{ONE}")
    setting.servers.person(eva).devices[PHONE] = device_keys(eva)
    setting.servers.tampers["query"] = lambda answer: {
        "device_keys": {**answer["device_keys"], EVE: of_user},
        "master_keys": of_user,
        "self_signing_keys": {EVE: of_user},
    }

    found = now(setting.asking.query(all_of(EVE, eva), 10))

    assert found.users[eva].devices.keys() == {PHONE}
    assert found.users[EVE].devices == {}
    assert found.users[EVE].identity.keys == ()


def test_a_claimed_key_is_that_of_the_device_and_algorithm(setting: Setting) -> None:
    key = {**one_time_key(EVE), "org.example.more": [1]}
    setting.servers.person(EVE).one_time[PHONE] = {f"{SIGNED}:1": key, "other:2": "plain"}

    claimed = now(setting.asking.claim([KeyClaim(EVE, PHONE, SIGNED), KeyClaim(EVE, LAPTOP, SIGNED)], 10))

    assert setting.servers.operations() == [(ONE, "claim")]
    assert claimed.keys == {EVE: {PHONE: {f"{SIGNED}:1": key}}}


@pytest.mark.parametrize(
    "given",
    [
        None,
        {PHONE: []},
        {PHONE: {f"{SIGNED}:1": "not signed"}},
        {PHONE: {f"{SIGNED}:1": {"key": "no signatures"}}},
        {PHONE: {"another:1": "key"}},
        {PHONE: {f"{SIGNED}:": one_time_key(EVE)}},
        {PHONE: {f"{SIGNED}:1": {**one_time_key(EVE), "float": 0.5}}},
        {PHONE: {f"{SIGNED}:1": {**one_time_key(EVE), "large": "x" * 20_000}}},
        {"OTHER": {f"{SIGNED}:1": one_time_key(EVE)}},
    ],
)
def test_a_malformed_one_time_key_is_none(setting: Setting, given: Any) -> None:
    setting.servers.tampers["claim"] = lambda _: {"one_time_keys": {EVE: given}}

    claimed = now(setting.asking.claim([KeyClaim(EVE, DeviceID(PHONE), SIGNED)], 10))

    assert claimed.keys == {}
    assert claimed.unreachable == set()
