"""Transactions of other servers: taken once, answered at once, and refused where they say what they should not."""

from typing import Any

import pytest

from homeserver.core.event_format import PDU_LIMIT_BYTES
from homeserver.core.rate_limits import RateLimit
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.errors import LimitExceeded, MalformedRequest
from homeserver.services.federation.inbound_transactions import MOST_AT_ONCE, MOST_EDUS, MOST_PDUS
from homeserver.services.rate_limits import Counted
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.database import Backend
from homeserver.storage.events import Form
from homeserver.storage.inbound_transactions import first_staged
from homeserver.storage.memberships import find_membership
from tests.forked_rooms import ALICE
from tests.scenes import Scene
from tests.services.federation.receiving import ONE, TWO, Receiving
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import World, now


@pytest.fixture
def receiving(world: World) -> Receiving:
    """It has not begun to judge."""
    return Receiving(world)


def staged(receiving: Receiving) -> int:
    return len(receiving.world.sync_database.read(first_staged, receiving.room_id, limit=1_000))


def test_events_are_kept_and_answered_for_before_they_are_judged(receiving: Receiving) -> None:
    first, second = receiving.chain(2)

    results = receiving.send([first.pdu, second.pdu])

    assert results == {first.event_id: {}, second.event_id: {}}
    assert receiving.kept(first, second) == set()
    assert staged(receiving) == 2


def test_a_transaction_counts_once_by_its_server_and_id(receiving: Receiving) -> None:
    first, second = receiving.chain(2)

    answer = receiving.send([first.pdu], transaction_id="t")
    again = receiving.send([second.pdu], transaction_id="t")

    assert again == answer
    assert staged(receiving) == 1
    receiving.send([second.pdu], transaction_id="t", origin=TWO)
    assert staged(receiving) == 2


def test_the_largest_transaction_is_taken_and_a_larger_one_is_not(receiving: Receiving) -> None:
    (event,) = receiving.chain(1)

    receiving.send([event.pdu] * MOST_PDUS, [{}] * MOST_EDUS)

    for pdus, edus in ((MOST_PDUS + 1, 0), (0, MOST_EDUS + 1)):
        with pytest.raises(MalformedRequest):
            receiving.send([event.pdu] * pdus, [{}] * edus)
    assert staged(receiving) == MOST_PDUS


@pytest.mark.parametrize("body", [[], "text", None, {"pdus": {}}, {"edus": "x"}, {"origin": TWO}, {"origin": 1}])
def test_what_is_no_transaction_of_the_server_is_refused(receiving: Receiving, body: Any) -> None:
    with pytest.raises(MalformedRequest):
        now(receiving.inbound.receive(ONE, "t", body))


def test_the_server_may_name_itself(receiving: Receiving) -> None:
    (event,) = receiving.chain(1)

    assert receiving.send([event.pdu], origin=ONE) == {event.event_id: {}}


@pytest.mark.parametrize(
    "pdu", [None, 1, [], {}, {"room_id": 1}, {"room_id": "room"}, {"room_id": "!nowhere:one.example"}]
)
def test_what_is_no_event_of_a_known_room_is_passed_over(receiving: Receiving, pdu: Any) -> None:
    (event,) = receiving.chain(1)

    assert receiving.send([pdu, event.pdu]) == {event.event_id: {}}
    assert staged(receiving) == 1


def test_an_event_that_has_no_id_is_passed_over(receiving: Receiving) -> None:
    assert receiving.send([{"room_id": receiving.room_id, "content": 1}]) == {}
    assert staged(receiving) == 0


def test_an_event_that_is_too_large_is_refused(receiving: Receiving) -> None:
    (event,) = receiving.chain(1)
    pdu = {**event.pdu, "content": {"body": "x" * PDU_LIMIT_BYTES}}

    ((result,),) = [receiving.send([pdu]).values()]

    assert "larger" in result["error"]
    assert staged(receiving) == 0


def test_what_is_not_signed_is_not_kept(receiving: Receiving) -> None:
    (event,) = receiving.chain(1)

    receiving.send([{**event.pdu, "unsigned": {"age": 1}}])

    (one,) = receiving.world.sync_database.read(first_staged, receiving.room_id, limit=10)
    assert b"unsigned" not in one.pdu


def test_a_server_that_the_room_keeps_out_brings_no_events(receiving: Receiving) -> None:
    receiving.start()
    scene = receiving.scene
    acl = scene.send(ALICE, "m.room.server_acl", {"allow": ["*"], "deny": [TWO]}, after=[scene.last])
    receiving.send_events(acl)
    scene.last = acl
    (event,) = receiving.chain(1)

    results = receiving.send_events(event, origin=TWO)

    assert "error" in results[event.event_id]
    assert receiving.kept(event) == set()
    assert receiving.send_events(event, origin=ONE) == {event.event_id: {}}
    assert receiving.kept(event) == {event.event_id}


def test_events_that_were_judged_are_not_kept_again_however_often_they_come(receiving: Receiving) -> None:
    receiving.start()
    events = receiving.chain(20)
    before = receiving.send_events(*events)
    counts = receiving.world.sync_database.counts
    reads, writes = counts.reads, counts.writes

    answers = [receiving.send_events(*events, origin=origin) for origin in (ONE, TWO) for _ in range(5)]

    assert answers == [before] * 10
    assert (counts.reads - reads, counts.writes - writes) == (10, 0)
    assert receiving.receiver.outcomes["known"] == 200
    assert receiving.kept(*events) == {event.event_id for event in events}


def test_an_event_that_had_come_without_its_content_is_kept_when_it_comes_whole(receiving: Receiving) -> None:
    receiving.start()
    (event,) = receiving.chain(1)
    receiving.send([{**event.pdu, "content": {"body": "something else"}}])
    receiving.settle()
    bare = receiving.find(event)

    receiving.send_events(event)

    assert bare is not None
    assert bare.form is Form.WRONG_HASH
    whole = receiving.find(event)
    assert whole is not None
    assert whole.event.content == event.content


def test_no_server_fills_the_disk(world: World) -> None:
    receiving = Receiving(world, most_bytes_of_origin=2_000)
    events = receiving.chain(4)
    assert 1_000 < sum(len(str(event.pdu)) for event in events[:2]) < 2_000
    receiving.send([event.pdu for event in events[:2]])

    with pytest.raises(LimitExceeded):
        receiving.send([event.pdu for event in events[2:]])

    assert staged(receiving) == 2
    receiving.send([events[2].pdu], origin=TWO)
    receiving.start()
    receiving.send([events[3].pdu])


def test_all_servers_together_do_not_fill_the_disk(world: World) -> None:
    receiving = Receiving(world, most_bytes=1_000)
    first, second = receiving.chain(2)
    receiving.send([first.pdu])

    with pytest.raises(LimitExceeded):
        receiving.send([second.pdu], origin=TWO)


def test_a_server_sends_few_transactions_at_once(receiving: Receiving) -> None:
    locks = receiving.inbound._locks
    hold = locks(ONE)
    now(hold.__aenter__())
    waiting = [receiving.inbound.receive(ONE, f"w{number}", {}) for number in range(MOST_AT_ONCE)]
    for one in waiting:
        one.send(None)  # it waits for its turn

    with pytest.raises(LimitExceeded):
        now(receiving.inbound.receive(ONE, "one more", {}))

    now(receiving.inbound.receive(TWO, "another", {}))
    for one in waiting:
        one.close()


def test_an_invite_to_a_room_that_is_not_here_is_taken_back_by_a_transaction(receiving: Receiving) -> None:
    world = receiving.world
    world.sync_database.write(insert_account, Account(OUR_ALICE, AccountKind.USER, 0))
    scene = Scene(ROOM_VERSIONS["12"])
    invite = scene.member(OUR_ALICE, "invite", sender=ALICE, after=[scene.last])
    now(
        world.remote_invites.receive(
            ONE, invite.room_id, invite.event_id, scene.version, dict(invite.pdu), [scene.create.pdu]
        )
    )
    removal = scene.member(OUR_ALICE, "leave", sender=ALICE, after=[invite])

    receiving.send([removal.pdu])

    found = world.sync_database.read(find_membership, invite.room_id, OUR_ALICE)
    assert found is not None
    assert (found.membership, found.event_id) == ("leave", removal.event_id)


def test_a_server_that_sends_too_much_into_a_room_is_told_to_wait_and_loses_nothing(backend: Backend) -> None:
    world = World(backend, counted={Counted.EVENTS_BY_SERVER: RateLimit(1, 5)})
    receiving = Receiving(world)
    events = receiving.chain(8)
    receiving.send([event.pdu for event in events[:4]])

    with pytest.raises(LimitExceeded) as refused:
        receiving.send([event.pdu for event in events[4:]], transaction_id="t")

    assert refused.value.retry_after_ms == 3_000
    assert staged(receiving) == 4
    receiving.send([events[4].pdu], origin=TWO)
    world.clock.advance(3)
    receiving.send([event.pdu for event in events[4:]], transaction_id="t")
    assert staged(receiving) == 9
    world.close()


def test_what_is_known_already_does_not_count(backend: Backend) -> None:
    world = World(backend, counted={Counted.EVENTS_BY_SERVER: RateLimit(1, 5)})
    receiving = Receiving(world)
    receiving.start()
    events = receiving.chain(5)
    receiving.send_events(*events)

    for _ in range(5):
        receiving.send_events(*events)

    assert receiving.kept(*events) == {event.event_id for event in events}
    world.close()
