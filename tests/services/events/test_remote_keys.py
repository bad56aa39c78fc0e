"""Keys of other servers: where they are looked for, how often, and what is believed."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import COMPROMISED_KEYS, LONGEST_VALIDITY_MS, PublishedKey
from homeserver.core.signing import SigningKey, sign_json
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.runtime.caches import CacheBudget
from homeserver.services.events.remote_keys import (
    _BOUNDS,
    ASKING,
    MARGIN_MS,
    MOST_REMEMBERED,
    OWN_WORD_MS,
    PATIENCE_BEFORE_NOTARIES_S,
    Purpose,
    RemoteKeys,
    Wish,
)
from homeserver.storage.server_keys import server_keys_of
from tests.fakes.key_source import FakeKeySource, Publisher
from tests.services.world import World, now

ONE, TWO, NOTARY = (ServerName(f"{name}.example") for name in ("one", "two", "notary"))
HOUR_MS = 3600 * 1000
Found = Mapping[ServerName, Sequence[PublishedKey]]


def key(name: str = "a", seed: int = 1) -> SigningKey:
    return SigningKey(name, bytes([seed]) * 32)


class Ring:
    """A key ring, and the servers around it."""

    def __init__(self, world: World, *notaries: ServerName) -> None:
        self.world = world
        self.source = FakeKeySource()
        self.notaries = notaries
        self.restart()

    def restart(self) -> None:
        """Forget what is in memory."""
        budget = CacheBudget(1 << 20)
        self.keys = RemoteKeys(self.world.database, self.source, self.notaries, budget, self.world.clock)

    @property
    def now_ms(self) -> int:
        return self.world.clock.now_ms()

    def publisher(self, name: ServerName = ONE, signing_key: SigningKey | None = None) -> Publisher:
        """A server that publishes its key for an hour."""
        publisher = Publisher(name, signing_key or key(), self.now_ms + HOUR_MS)
        self.source.publish(publisher)
        return publisher

    def find(self, *key_ids: str, server: ServerName = ONE) -> list[PublishedKey]:
        """Keys of a server, for events."""
        return list(now(self.keys.keys_of({server: {KeyID(each) for each in key_ids}})).get(server, ()))

    def find_for_request(self, *key_ids: str, server: ServerName = ONE) -> list[PublishedKey]:
        return now(self.keys.keys_for_request(server, {KeyID(each) for each in key_ids}))

    def start(self, wanted: Mapping[ServerName, AbstractSet[str]]) -> "Deferred[Found]":
        """Begin to look for keys."""
        wishes = {server: {KeyID(each) for each in key_ids} for server, key_ids in wanted.items()}
        return Deferred.fromCoroutine(self.keys.keys_of(wishes))

    def kept_for_events(self, server: ServerName = ONE) -> set[str]:
        stored = self.world.sync_database.read(server_keys_of, [server]).get(server, [])
        return {each.key_id for each in stored if each.is_for_events}

    def pass_s(self, elapsed_s: float) -> None:
        self.world.clock.advance(elapsed_s)


@pytest.fixture
def ring(world: World) -> Ring:
    return Ring(world)


def test_a_key_is_fetched_from_its_server_once(ring: Ring) -> None:
    publisher = ring.publisher()

    assert ring.find("ed25519:a") == [publisher.published]
    assert ring.find("ed25519:a") == [publisher.published]
    ring.restart()
    assert ring.find("ed25519:a") == [publisher.published]
    assert ring.source.asked == [ONE]


def test_what_is_known_and_fresh_costs_no_transaction(ring: Ring) -> None:
    ring.publisher()
    ring.find("ed25519:a")
    counts = ring.world.sync_database.counts
    before = (counts.reads, counts.writes)

    ring.find("ed25519:a")

    assert (counts.reads, counts.writes) == before


def test_old_keys_are_found_too_and_never_fetched_again(ring: Ring) -> None:
    old = PublishedKey(key("old", 2).verify_key, ring.now_ms - 5, ring.now_ms - 5)
    publisher = ring.publisher()
    publisher.old = [old]
    ring.source.publish(publisher)

    assert ring.find("ed25519:old") == [old]
    ring.pass_s(10 * 24 * 3600)
    assert ring.find("ed25519:old") == [old]
    assert ring.source.asked == [ONE]


def test_a_key_whose_publication_runs_out_is_renewed(ring: Ring) -> None:
    publisher = ring.publisher()
    ring.find("ed25519:a")
    ring.pass_s((HOUR_MS - MARGIN_MS) / 1000 + 1)
    renewed = ring.publisher()
    assert renewed.valid_until_ms > publisher.valid_until_ms

    assert ring.find("ed25519:a") == [renewed.published]
    assert ring.source.asked == [ONE, ONE]


def test_a_key_stays_known_when_its_server_is_gone(ring: Ring) -> None:
    publisher = ring.publisher()
    ring.find("ed25519:a")
    ring.source.documents.clear()
    ring.pass_s(10 * 24 * 3600)

    assert ring.find("ed25519:a") == [publisher.published]
    assert ring.find_for_request("ed25519:a") == []


def test_two_keys_of_one_id_are_both_kept(ring: Ring) -> None:
    first = ring.publisher()
    ring.find("ed25519:a")
    ring.pass_s(1)
    changed_ms = ring.now_ms
    second = ring.publisher(signing_key=key(seed=2))
    ring.pass_s(HOUR_MS / 1000)
    ring.find("ed25519:a")

    assert set(ring.find("ed25519:a")) == {first.published, second.published}
    assert first.valid_until_ms > changed_ms


def test_a_key_that_was_replaced_signs_no_request_any_more(ring: Ring) -> None:
    ring.publisher()
    assert ring.find_for_request("ed25519:a") != []
    ring.publisher(signing_key=key("b", 2))

    assert ring.find_for_request("ed25519:b") != []
    ring.pass_s(1)
    assert ring.find_for_request("ed25519:a") == []


def test_old_keys_sign_no_requests(ring: Ring) -> None:
    publisher = ring.publisher()
    publisher.old = [PublishedKey(key("old", 2).verify_key, ring.now_ms, ring.now_ms)]
    ring.source.publish(publisher)

    assert ring.find_for_request("ed25519:a", "ed25519:old") == [publisher.published]


def test_only_the_wanted_keys_are_given(ring: Ring) -> None:
    publisher = ring.publisher()
    publisher.old = [PublishedKey(key("old", 2).verify_key, 5, 5)]
    ring.source.publish(publisher)

    assert ring.find("ed25519:a") == [publisher.published]
    assert ring.find("ed25519:old") == publisher.old
    assert ring.find("ed25519:nobody") == []


def test_no_key_counts_for_longer_than_a_week(ring: Ring) -> None:
    publisher = ring.publisher()
    publisher.valid_until_ms = 1 << 52
    ring.source.publish(publisher)

    assert ring.find("ed25519:a") == [PublishedKey(key().verify_key, ring.now_ms + LONGEST_VALIDITY_MS)]


def spoiled_documents(publisher: Publisher) -> list[Any]:
    document = publisher.document
    compromised = {"ed25519:a": {"key": min(COMPROMISED_KEYS)}}
    return [
        {},
        {**document, "server_name": TWO},
        {**document, "valid_until_ts": document["valid_until_ts"] + 1},
        {**document, "signatures": {}},
        {**document, "verify_keys": []},
        {**document, "old_verify_keys": {"ed25519:x": {"key": "x"}}},
        sign_json({**document, "signatures": {}, "verify_keys": compromised}, ONE, publisher.key),
        sign_json({**document, "signatures": {"x": {"y": 1.5}}}, ONE, publisher.key),
        {"server_name": "\ud800"},
    ]


@pytest.mark.parametrize("number", range(9))
def test_a_document_that_is_wrong_somewhere_is_not_believed(ring: Ring, number: int) -> None:
    publisher = ring.publisher()
    known = ring.find("ed25519:a")
    ring.pass_s(HOUR_MS / 1000)
    ring.source.documents[ONE] = spoiled_documents(replace(publisher, valid_until_ms=ring.now_ms + HOUR_MS))[number]

    assert ring.find("ed25519:a") == known
    assert ring.source.asked == [ONE, ONE]


def test_what_a_document_has_unsigned_does_no_harm(ring: Ring) -> None:
    publisher = ring.publisher()
    ring.source.documents[ONE] = {**publisher.document, "unsigned": {"float": 1.5}}

    assert ring.find("ed25519:a") == [publisher.published]


@pytest.mark.parametrize(
    "failure", [RemoteRefused(404, "M_UNRECOGNIZED", "no"), RemoteNonsense("no JSON"), RemoteError("whatever")]
)
def test_a_server_that_does_not_tell_has_no_keys(ring: Ring, failure: RemoteError) -> None:
    ring.source.failures[ONE] = failure

    assert ring.find("ed25519:a") == []


# How often


def test_one_that_has_not_the_key_is_not_asked_for_ever(ring: Ring) -> None:
    ring.publisher()

    for number in range(50):
        assert ring.find(f"ed25519:x{number}") == []
        assert ring.find_for_request(f"ed25519:y{number}") == []

    assert len(ring.source.asked) == ASKING.burst
    ring.pass_s(60)
    ring.find("ed25519:x")
    ring.find("ed25519:x")
    assert len(ring.source.asked) == ASKING.burst + 1


def test_those_who_want_keys_of_one_server_at_the_same_time_wait_for_one_answer(ring: Ring) -> None:
    publisher = ring.publisher()
    ring.source.held[ONE] = Deferred()

    waiting = [ring.start({ONE: {"ed25519:a"}}) for _ in range(20)]
    assert not any(each.called for each in waiting)
    ring.source.held.pop(ONE).callback(None)

    assert [each.result for each in waiting] == [{ONE: [publisher.published]}] * 20
    assert ring.source.asked == [ONE]


def test_those_who_wait_for_a_server_that_fails_do_not_ask_it_again_one_after_another(ring: Ring) -> None:
    ring.source.held[ONE] = Deferred()

    waiting = [ring.start({ONE: {"ed25519:a"}}) for _ in range(5)]
    ring.source.held.pop(ONE).callback(None)

    assert [each.result for each in waiting] == [{}] * 5
    assert ring.source.asked == [ONE]


def test_only_so_many_servers_are_asked_at_once(ring: Ring) -> None:
    servers = [ServerName(f"s{number}.example") for number in range(_BOUNDS[Purpose.EVENTS].at_once + 30)]
    for server in servers:
        ring.publisher(server)
        ring.source.held[server] = Deferred()

    got: dict[ServerName, Sequence[PublishedKey]] = {}
    found = ring.start({server: {"ed25519:a"} for server in servers})
    at_once = ring.source.under_way
    for server in servers:
        ring.source.held[server].callback(None)

    assert at_once == ring.source.most_under_way == _BOUNDS[Purpose.EVENTS].at_once
    found.addCallback(got.update)
    assert set(got) == set(servers)


def test_whoever_sends_requests_does_not_wait_for_the_servers_of_a_large_batch(ring: Ring) -> None:
    slow = [ServerName(f"s{number}.example") for number in range(_BOUNDS[Purpose.EVENTS].at_once + 30)]
    ring.source.held = {server: Deferred() for server in slow}
    found = ring.start({server: {"ed25519:a"} for server in slow})
    publisher = ring.publisher()

    assert ring.find_for_request("ed25519:a") == [publisher.published]
    assert not found.called
    for held in ring.source.held.values():
        held.callback(None)
    assert found.called


def test_after_a_while_no_further_server_of_a_batch_is_asked(ring: Ring) -> None:
    servers = [ServerName(f"s{number}.example") for number in range(_BOUNDS[Purpose.EVENTS].at_once + 30)]
    ring.source.held = {server: Deferred() for server in servers}
    found = ring.start({server: {"ed25519:a"} for server in servers})
    ring.pass_s(_BOUNDS[Purpose.EVENTS].patience_s + 1)

    for held in ring.source.held.values():
        held.callback(None)

    assert found.result == {}
    assert len(ring.source.asked) == _BOUNDS[Purpose.EVENTS].at_once


def test_a_batch_asks_only_so_many_servers(ring: Ring) -> None:
    most = _BOUNDS[Purpose.EVENTS].most_servers

    now(ring.keys.keys_of({ServerName(f"s{number}.example"): {KeyID("ed25519:a")} for number in range(most + 5)}))

    assert len(ring.source.asked) == most


def test_strangers_who_send_requests_do_not_pile_up(ring: Ring) -> None:
    bounds = _BOUNDS[Purpose.REQUESTS]
    strangers = [ServerName(f"s{number}.example") for number in range(bounds.at_once + bounds.most_waiting + 5)]
    ring.source.held = {server: Deferred() for server in strangers}

    waiting = [Deferred.fromCoroutine(ring.keys.keys_for_request(server, {KeyID("ed25519:a")})) for server in strangers]

    assert [each.called for each in waiting].count(True) == 5
    for held in ring.source.held.values():
        held.callback(None)
    assert all(each.called for each in waiting)


def test_what_is_remembered_of_servers_that_were_asked_is_bounded(ring: Ring) -> None:
    for number in range(MOST_REMEMBERED + 3):
        ring.keys._note_asked(ServerName(f"s{number}.example"))

    assert len(ring.keys._asked) == MOST_REMEMBERED


def test_the_keys_of_one_who_sends_are_fetched_although_it_did_not_answer_lately(ring: Ring) -> None:
    ring.find_for_request("ed25519:a")
    ring.find("ed25519:a", server=TWO)

    assert ring.source.asked == [ONE, TWO]
    assert ring.source.ignoring_backoff == [ONE]


# What stays


def test_keys_that_an_event_wanted_are_kept_for_good(ring: Ring) -> None:
    publisher = ring.publisher()
    publisher.old = [PublishedKey(key("old", 2).verify_key, 5, 5)]
    ring.source.publish(publisher)

    ring.find_for_request("ed25519:a")
    for_requests = ring.kept_for_events()
    ring.find("ed25519:old")
    for_one_event = ring.kept_for_events()
    ring.publisher()
    ring.pass_s(HOUR_MS / 1000)
    ring.find("ed25519:a")

    assert for_requests == set()
    assert for_one_event == {"ed25519:old"}
    assert ring.kept_for_events() == {"ed25519:old", "ed25519:a"}


def test_a_key_that_was_fetched_for_an_event_is_kept_from_the_beginning(ring: Ring) -> None:
    ring.publisher()

    ring.find("ed25519:a")

    assert ring.kept_for_events() == {"ed25519:a"}


# Notaries


def test_a_notary_is_asked_when_the_server_does_not_answer(world: World) -> None:
    ring = Ring(world, NOTARY)
    gone = Publisher(ONE, key(), ring.now_ms + HOUR_MS)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), gone)

    assert ring.find("ed25519:a") == [gone.published]
    assert ring.source.asked == [ONE, NOTARY]
    assert ring.source.asked_notaries == [(NOTARY, {ONE: {KeyID("ed25519:a"): ring.now_ms + MARGIN_MS}})]


def test_a_notary_is_not_asked_for_what_the_server_tells_itself(world: World) -> None:
    ring = Ring(world, NOTARY)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)))
    publisher = ring.publisher()

    assert ring.find("ed25519:a") == [publisher.published]
    assert ring.source.asked_notaries == []


def test_however_many_servers_there_are_each_is_asked_before_a_notary_is(world: World) -> None:
    ring = Ring(world, NOTARY)
    servers = [ServerName(f"s{number}.example") for number in range(100)]
    publishers = [ring.publisher(server) for server in servers[1:]]
    gone = Publisher(servers[0], key(), ring.now_ms + HOUR_MS)
    false = [Publisher(server, key(seed=7), ring.now_ms + HOUR_MS) for server in servers[1:]]
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), gone, *false)

    found = now(ring.keys.keys_of({server: {KeyID("ed25519:a")} for server in servers}))

    assert found == {each.name: [each.published] for each in (gone, *publishers)}
    assert ring.source.asked == [*servers, NOTARY]
    assert [set(wanted) for _, wanted in ring.source.asked_notaries] == [{servers[0]}]


def test_servers_that_keep_silent_leave_those_behind_them_to_the_notaries(world: World) -> None:
    ring = Ring(world, NOTARY)
    at_once = _BOUNDS[Purpose.EVENTS].at_once
    servers = [ServerName(f"s{number}.example") for number in range(at_once + 3)]
    publishers = [Publisher(server, key(), ring.now_ms + HOUR_MS) for server in servers]
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), *publishers)
    ring.source.held = {server: Deferred() for server in servers}

    found = ring.start({server: {"ed25519:a"} for server in servers})
    ring.pass_s(PATIENCE_BEFORE_NOTARIES_S + 1)
    for held in ring.source.held.values():
        held.callback(None)

    assert ring.source.asked == [*servers[:at_once], NOTARY]
    assert found.result == {each.name: [each.published] for each in publishers}


def test_what_the_notary_has_not_signed_is_not_believed(world: World) -> None:
    ring = Ring(world, NOTARY)
    gone = Publisher(ONE, key(), ring.now_ms + HOUR_MS)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), gone, signer=key("n", 8))

    assert ring.find("ed25519:a") == []


def test_a_notary_whose_own_keys_are_unknown_is_not_asked(world: World) -> None:
    ring = Ring(world, NOTARY)
    ring.source.of_notaries[NOTARY] = []

    assert ring.find("ed25519:a") == []
    assert ring.source.asked_notaries == []


def test_what_a_notary_shows_of_servers_that_nobody_asked_for_is_ignored(world: World) -> None:
    ring = Ring(world, NOTARY)
    notary = ring.publisher(NOTARY, key("n", 9))
    ring.source.show(notary, Publisher(TWO, key(), ring.now_ms + HOUR_MS))
    ring.source.of_notaries[NOTARY] += [None, [], {}, {"server_name": []}, {"server_name": ONE}]

    assert ring.find("ed25519:a") == []
    assert ring.world.sync_database.read(server_keys_of, [TWO]) == {}


def test_a_notary_cannot_bring_an_old_key_back_to_life(world: World) -> None:
    ring = Ring(world, NOTARY)
    stale = Publisher(ONE, key(), ring.now_ms + HOUR_MS)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), stale)
    publisher = ring.publisher(signing_key=key("b", 2))
    publisher.old = [PublishedKey(key().verify_key, ring.now_ms, ring.now_ms)]
    ring.source.publish(publisher)
    ring.find("ed25519:b")
    ring.source.documents.pop(ONE)

    assert ring.find("ed25519:a", "ed25519:x") == publisher.old
    assert ring.source.asked_notaries != []
    assert ring.find_for_request("ed25519:a") == []


def test_a_notary_knows_no_better_than_a_server_that_has_just_told_of_its_keys(world: World) -> None:
    ring = Ring(world, NOTARY)
    publisher, forger = ring.publisher(), Publisher(ONE, key("forged", 3), ring.now_ms + HOUR_MS)
    forger.old = [PublishedKey(key().verify_key, 1, 1)]
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), forger)

    assert ring.find_for_request("ed25519:forged") == []
    assert ring.find_for_request("ed25519:a") == [publisher.published]
    [ended] = ring.find("ed25519:forged")
    assert ended.expired_ms == ring.now_ms
    assert ring.find("ed25519:a") == [publisher.published]


def test_a_notary_is_believed_of_a_server_that_has_told_nothing_for_a_while(world: World) -> None:
    ring = Ring(world, NOTARY)
    ring.publisher()
    ring.find_for_request("ed25519:a")
    ring.pass_s(OWN_WORD_MS / 1000)
    ring.source.documents.pop(ONE)
    renewed = Publisher(ONE, key("b", 2), ring.now_ms + HOUR_MS)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), renewed)

    assert ring.find_for_request("ed25519:b") == [renewed.published]


def test_this_server_as_a_notary_asks_no_other_one(world: World) -> None:
    ring = Ring(world, NOTARY)
    ring.source.show(ring.publisher(NOTARY, key("n", 9)), Publisher(ONE, key(), ring.now_ms + HOUR_MS))

    found = now(ring.keys.known({ONE: Wish({KeyID("ed25519:a"): 0})}, Purpose.NOTARY))

    assert found == {}
    assert ring.source.asked_notaries == []


def test_a_notary_that_is_gone_is_not_asked_for_its_own_keys_for_ever(world: World) -> None:
    ring = Ring(world, NOTARY)

    for number in range(30):
        ring.find("ed25519:a", server=ServerName(f"s{number}.example"))

    assert ring.source.asked.count(NOTARY) == ASKING.burst


# Wishes


def test_half_of_a_publication_s_time_makes_it_stale_for_those_who_pass_it_on(ring: Ring) -> None:
    ring.publisher()
    ring.find("ed25519:a")
    wish = Wish({}, ring.now_ms, fresh_at_ms=ring.now_ms)

    fresh = now(ring.keys.known({ONE: wish}, Purpose.NOTARY))
    ring.pass_s(HOUR_MS / 2000 + 1)
    later = replace(wish, fresh_at_ms=ring.now_ms)

    assert wish.is_granted_by(fresh[ONE])
    assert not later.is_granted_by(fresh[ONE])
    now(ring.keys.known({ONE: later}, Purpose.NOTARY))
    assert ring.source.asked == [ONE, ONE]
