"""Events on their way to other servers: to whom, in which order, and what a crash or a failure does to them."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused, Unreachable
from homeserver.runtime.metrics import Metrics
from homeserver.services.federation.sender import IDLE_S
from homeserver.services.federation.transactions import MOST_PDUS
from homeserver.storage.database import DatabaseUnavailable
from homeserver.storage.outboxes import find_outboxes, outgoing_position
from tests.services.federation.others import (
    FAR,
    FAY,
    NEAR,
    NED,
    Sending,
    invite,
    join_remotely,
    leave_remotely,
    remote_event,
    take,
)
from tests.services.world import ALICE, BOB, SERVER, World, now

SILENT = Unreachable("it does not answer")


@pytest.fixture
def sending(world: World) -> Sending:
    return Sending(world)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """Alice's public room, with Fay and Ned of other servers."""
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    join_remotely(world, NED, room_id)
    return room_id


def say(sending: Sending, room_id: RoomID, *texts: str) -> list[EventID]:
    """Say something in a room, and let what follows from it happen."""
    event_ids = [sending.world.send(ALICE, room_id, text) for text in texts]
    sending.settle()
    return event_ids


# Who gets what


def test_a_message_goes_once_to_each_server_in_the_room(sending: Sending, room_id: RoomID) -> None:
    sending.settle()

    say(sending, room_id, "one", "two")
    say(sending, room_id, "three")

    assert sending.client.said_to(FAR) == sending.client.said_to(NEAR) == ["one", "two", "three"]
    assert {sent.destination for sent in sending.client.attempts} == {FAR, NEAR}
    assert len(sending.client.attempts) == 4
    assert len({sent.transaction_id for sent in sending.client.attempts}) == 4


def test_a_transaction_is_what_the_specification_says(sending: Sending, room_id: RoomID) -> None:
    sending.settle()

    say(sending, room_id, "hello")

    sent = sending.client.taken_by(FAR)[0]
    assert set(sent.body) == {"edus", "origin", "origin_server_ts", "pdus"}
    assert (sent.body["origin"], sent.body["edus"]) == (SERVER, [])
    assert sent.body["origin_server_ts"] == sending.world.clock.now_ms()
    (pdu,) = sent.body["pdus"]
    assert (pdu["room_id"], pdu["sender"], pdu["content"]["body"]) == (room_id, ALICE, "hello")
    assert set(pdu["signatures"]) == {SERVER}
    assert sending.client.taken_by(NEAR)[0].content == sent.content


def test_a_room_of_this_server_alone_costs_nothing(sending: Sending) -> None:
    world = sending.world
    local = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, local)
    sending.settle()
    reads, writes = world.database.counts.reads, world.database.counts.writes

    say(sending, local, "one", "two")

    assert world.database.counts.reads == reads
    assert world.database.counts.writes == writes + 2
    assert sending.client.attempts == []


def test_what_other_servers_say_is_not_sent_on(sending: Sending, room_id: RoomID) -> None:
    sending.settle()

    take(sending.world, remote_event(sending.world, FAY, room_id, "m.room.message", {"body": "hello"}))
    sending.settle()

    assert sending.client.attempts == []


def test_a_join_by_way_of_this_server_is_sent_to_the_others_alone(sending: Sending) -> None:
    world = sending.world
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, NED, room_id)
    sending.settle()

    join_remotely(world, FAY, room_id, relays=True)
    sending.settle()
    say(sending, room_id, "welcome")

    assert sending.client.said_to(NEAR) == ["m.room.member", "welcome"]
    assert sending.client.said_to(FAR) == ["welcome"]


def test_a_server_gets_what_was_said_while_it_was_there(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    say(sending, room_id, "one")
    leave_remotely(world, FAY, room_id)
    say(sending, room_id, "two")
    join_remotely(world, FAY, room_id)
    say(sending, room_id, "three")

    assert sending.client.said_to(FAR) == ["one", "three"]
    assert sending.client.said_to(NEAR) == ["one", "two", "three"]


def test_the_server_of_a_user_who_is_removed_hears_of_it(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    sending.settle()

    now(world.membership.kick(ALICE, room_id, FAY, None))
    now(world.membership.ban(ALICE, room_id, FAY, None))
    say(sending, room_id, "in peace")

    assert sending.client.said_to(FAR) == ["m.room.member", "m.room.member"]
    assert sending.client.said_to(NEAR) == ["m.room.member", "m.room.member", "in peace"]


def test_the_server_of_a_user_whose_invite_is_withdrawn_hears_of_it_alone(sending: Sending) -> None:
    world = sending.world
    local = world.create_room(ALICE)
    invite(world, ALICE, local, FAY)
    sending.settle()
    assert sending.client.attempts == []

    now(world.membership.kick(ALICE, local, FAY, None))
    say(sending, local, "alone again")

    assert sending.client.said_to(FAR) == ["m.room.member"]
    assert sending.client.taken_by(FAR)[0].body["pdus"][0]["content"]["membership"] == "leave"


def test_a_removal_reaches_a_server_that_was_away(sending: Sending) -> None:
    world = sending.world
    local = world.create_room(ALICE)
    invite(world, ALICE, local, FAY)
    sending.client.peer(FAR).error = SILENT
    now(world.membership.kick(ALICE, local, FAY, None))
    sending.settle()

    after = sending.crash()
    after.settle()
    after.wait(FAR)

    assert after.client.said_to(FAR) == ["m.room.member"]


# Order and number


def test_a_server_gets_one_transaction_after_another(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True

    for text in ("one", "two", "three"):
        say(sending, room_id, text)
    assert sending.client.said_to(NEAR) == ["one", "two", "three"]
    assert sending.client.said_to(FAR) == []
    sending.client.release(FAR)
    sending.settle()

    assert [sent.bodies for sent in sending.client.taken_by(FAR)] == [["one"], ["two", "three"]]


def test_a_transaction_has_no_more_events_than_it_may(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "first")
    texts = [str(number) for number in range(2 * MOST_PDUS + 3)]
    say(sending, room_id, *texts)

    sending.client.release(FAR)
    sending.settle()

    assert [len(sent.bodies) for sent in sending.client.taken_by(FAR)] == [1, MOST_PDUS, MOST_PDUS, 3]
    assert sending.client.said_to(FAR) == ["first", *texts]


def test_no_more_transactions_are_under_way_than_may_be(world: World) -> None:
    sending = Sending(world, most_sending=4)  # one of them for servers that have answered before
    room_id = world.create_room(ALICE, preset="public_chat")
    servers = [ServerName(f"s{number}.example") for number in range(10)]
    for server in servers:
        join_remotely(world, UserID(f"@user:{server}"), room_id)
        sending.client.peer(server).is_held = True
    sending.settle()

    say(sending, room_id, "hello")
    assert sending.client.most_under_way == 3
    for _ in servers:
        for server in servers:
            sending.client.release(server)
        sending.settle()

    assert sending.client.most_under_way == 3
    assert {sent.destination for sent in sending.client.taken} == set(servers)


def test_servers_that_keep_silent_leave_room_for_those_that_answer(world: World) -> None:
    sending = Sending(world, most_sending=4)
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    say(sending, room_id, "are you there?")
    silent = [ServerName(f"s{number}.example") for number in range(10)]
    for server in silent:
        join_remotely(world, UserID(f"@user:{server}"), room_id)
        sending.client.peer(server).is_held = True

    for text in ("one", "two", "three"):
        say(sending, room_id, text)

    assert sum(sending.client.under_way[server] for server in silent if server in sending.client.under_way) == 3
    assert sending.client.said_to(FAR)[-3:] == ["one", "two", "three"]


def test_a_server_that_has_ceased_to_answer_is_a_stranger_again(world: World) -> None:
    sending = Sending(world, most_sending=4)
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    outboxes = sending.sender.outboxes
    assert outboxes.is_stranger(FAR)

    say(sending, room_id, "one")
    assert not outboxes.is_stranger(FAR)
    sending.client.peer(FAR).error = Unreachable("no answer")
    say(sending, room_id, "two")

    assert outboxes.is_stranger(FAR)


# What it costs


def cost_of_a_message(sending: Sending, room_id: RoomID, text: str) -> tuple[int, int]:
    """How many reads and writes a message costs until it has arrived everywhere, and that is known."""
    counts = sending.world.database.counts
    before = (counts.reads, counts.writes)
    say(sending, room_id, text)
    sending.flush()
    return counts.reads - before[0], counts.writes - before[1]


def test_two_hundred_servers_cost_hardly_more_reads_and_writes_than_one(sending: Sending) -> None:
    world = sending.world
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    sending.settle()
    to_one = cost_of_a_message(sending, room_id, "to one")
    servers = [ServerName(f"s{number}.example") for number in range(199)]
    for server in servers[:99]:
        join_remotely(world, UserID(f"@user:{server}"), room_id)
    cost_of_a_message(sending, room_id, "to strangers")
    to_hundred = cost_of_a_message(sending, room_id, "to a hundred")
    for server in servers[99:]:
        join_remotely(world, UserID(f"@user:{server}"), room_id)
    cost_of_a_message(sending, room_id, "to strangers")
    to_all = cost_of_a_message(sending, room_id, "to all")

    assert to_one == to_hundred == (1, 3)  # the message itself, what leaves, what has arrived
    assert to_all == (2, 4)  # no more than a hundred leave at once
    assert all(sending.client.said_to(server)[-1] == "to all" for server in servers)
    assert len({id(sent.content) for sent in sending.client.taken if sent.bodies == ["to all"]}) == 2


def test_nothing_is_written_for_a_server_that_does_not_answer_beyond_that_it_is_behind(
    sending: Sending, room_id: RoomID
) -> None:
    world = sending.world
    sending.client.peer(FAR).error = sending.client.peer(NEAR).error = SILENT
    say(sending, room_id, "one")
    say(sending, room_id, "two")
    counts = world.database.counts
    writes = counts.writes

    say(sending, room_id, *(str(number) for number in range(20)))

    assert counts.writes == writes + 20


def test_an_outbox_that_is_empty_is_forgotten(sending: Sending, room_id: RoomID) -> None:
    metrics = Metrics()
    sending.sender.export(metrics)
    say(sending, room_id, "hello")
    sending.flush()

    shown = metrics.render().decode()

    assert 'columba_federation_sent_transactions_total{result="delivered"} 2.0' in shown
    assert 'columba_federation_sent_total{kind="pdu"} 2.0' in shown
    assert 'columba_federation_destinations{state="waiting"} 0.0' in shown
    assert len(sending.sender.outboxes) == 0


# Crashes


def test_what_was_said_before_a_crash_is_sent_after_it(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.sender.stop()
    say(sending, room_id, "one", "two")
    assert sending.client.attempts == []

    after = sending.crash()
    after.settle()

    assert after.client.said_to(FAR) == after.client.said_to(NEAR) == ["one", "two"]


def test_what_was_on_its_way_in_a_crash_is_sent_again_as_it_was(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "one", "two")
    say(sending, room_id, "three")
    (lost,) = [sent for sent in sending.client.attempts if sent.destination == FAR]

    after = sending.crash()
    after.settle()

    again = after.client.taken_by(FAR)
    assert (again[0].transaction_id, again[0].content) == (lost.transaction_id, lost.content)
    assert after.client.said_to(FAR) == ["one", "two", "three"]
    assert "one" not in after.client.said_to(NEAR) or after.client.said_to(NEAR) == ["one", "two", "three"]


def test_what_arrived_just_before_a_crash_is_sent_again_under_the_same_id_or_not_at_all(
    sending: Sending, room_id: RoomID
) -> None:
    sending.settle()
    say(sending, room_id, "one")
    (arrived,) = sending.client.taken_by(FAR)

    after = sending.crash()
    say(after, room_id, "two")

    again = after.client.taken_by(FAR)
    assert [sent.bodies for sent in again] == [["one"], ["two"]]
    assert (again[0].transaction_id, again[0].content) == (arrived.transaction_id, arrived.content)


def test_what_arrived_and_was_written_down_is_not_sent_again(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    say(sending, room_id, "one")
    sending.sender.stop()
    now(sending.sender.flush())

    after = sending.crash()
    say(after, room_id, "two")

    assert after.client.said_to(FAR) == ["two"]


def test_a_server_that_did_not_answer_gets_it_after_a_restart_when_its_time_has_come(
    sending: Sending, room_id: RoomID
) -> None:
    sending.client.peer(FAR).error = SILENT
    say(sending, room_id, "one")
    say(sending, room_id, "two")
    lost = sending.client.attempts[-1] if sending.client.attempts[-1].destination == FAR else None
    now(sending.destinations.flush())

    after = sending.crash()
    after.settle()
    assert after.client.taken_by(FAR) == []
    after.wait(FAR)

    assert after.client.said_to(FAR) == ["one", "two"]
    first = after.client.taken_by(FAR)[0]
    attempts = [sent for sent in sending.client.attempts if sent.destination == FAR]
    assert (first.transaction_id, first.content) == (attempts[0].transaction_id, attempts[0].content)
    assert lost is None or lost in attempts


def test_a_round_that_the_database_fails_is_gone_through_again(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    world = sending.world
    world.send(ALICE, room_id, "one")
    world.database._open = False
    sending.settle()
    assert sending.loops.counts["federation sender"].failures == 1
    with pytest.raises(DatabaseUnavailable):
        now(world.database.read(outgoing_position))

    world.database._open = True
    world.clock.advance(IDLE_S)

    assert sending.client.said_to(FAR) == ["one"]


# Failures


@pytest.mark.parametrize(
    "error",
    [
        SILENT,
        RemoteRefused(502, None, "bad gateway"),
        RemoteRefused(401, "M_UNAUTHORIZED", "who are you?"),
        RemoteRefused(404, "M_UNRECOGNIZED", "no such thing"),
        RemoteRefused(429, "M_LIMIT_EXCEEDED", "slowly"),
        RemoteNonsense("<html>"),
    ],
)
def test_a_transaction_of_unknown_outcome_is_sent_again_as_it_was_before_anything_else(
    sending: Sending, room_id: RoomID, error: RemoteError
) -> None:
    sending.settle()
    sending.client.peer(FAR).error = error
    say(sending, room_id, "one")
    for text in ("two", "three"):
        say(sending, room_id, text)
    assert len([sent for sent in sending.client.attempts if sent.destination == FAR]) == 1
    assert sending.client.said_to(NEAR) == ["one", "two", "three"]

    sending.wait(FAR)
    sending.client.peer(FAR).error = None
    sending.wait(FAR)

    attempts = [sent for sent in sending.client.attempts if sent.destination == FAR]
    assert {(sent.transaction_id, sent.content) for sent in attempts[:3]} == {
        (attempts[0].transaction_id, attempts[0].content)
    }
    assert sending.client.said_to(FAR) == ["one", "two", "three"]
    assert sending.destinations.find_failing(FAR) is None


def test_a_server_that_asks_something_is_sent_to_at_once(sending: Sending, room_id: RoomID) -> None:
    sending.client.peer(FAR).error = SILENT
    say(sending, room_id, "one")
    sending.client.peer(FAR).error = None
    sending.settle()
    assert sending.client.said_to(FAR) == []

    sending.destinations.heard_from(FAR)
    sending.settle()

    assert sending.client.said_to(FAR) == ["one"]


def test_an_administrator_has_a_server_tried_now(sending: Sending, room_id: RoomID) -> None:
    sending.client.peer(FAR).error = SILENT
    say(sending, room_id, "one")
    sending.client.peer(FAR).error = None

    sending.sender.retry(FAR)
    sending.settle()

    assert sending.client.said_to(FAR) == ["one"]


def test_a_blocked_server_gets_nothing_and_all_of_it_once_it_is_not_blocked_any_more(
    sending: Sending, room_id: RoomID
) -> None:
    sending.settle()
    now(sending.destinations.set_rule("far.*", is_blocked=True))
    say(sending, room_id, "one", "two")
    assert [sent.destination for sent in sending.client.attempts] == [NEAR]

    now(sending.destinations.remove_rule("far.*"))
    sending.settle()

    assert sending.client.said_to(FAR) == ["one", "two"]


# What a server will never take


def refuses(*texts: str, status: int = 400) -> Any:
    """A judge of transactions: one with such a message is refused."""

    def judge(body: Any) -> RemoteError | None:
        said = {event["content"].get("body") for event in body["pdus"]}
        return RemoteRefused(status, "M_BAD_JSON", "never") if said & set(texts) else None

    return judge


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("poison", ["0", "5", "10"])
def test_an_event_that_is_refused_is_found_and_left_out_and_the_others_go_on_in_order(
    sending: Sending, room_id: RoomID, poison: str, status: int
) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "first")
    texts = [str(number) for number in range(11)]
    say(sending, room_id, *texts)
    sending.client.peer(FAR).judge = refuses(poison, status=status)

    sending.client.release(FAR)
    sending.settle()
    say(sending, room_id, "last")

    assert sending.client.said_to(FAR) == ["first", *(text for text in texts if text != poison), "last"]
    assert sending.sender.delivery.counts.left_out == 1
    assert sending.destinations.find_failing(FAR) is None
    attempts = [sent for sent in sending.client.attempts if sent.destination == FAR]
    assert len({sent.transaction_id for sent in attempts}) == len(attempts)
    assert len(attempts) < 20


def test_the_search_for_what_is_refused_goes_on_after_a_crash(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "first")
    say(sending, room_id, "one", "bad", "two")
    after = sending.crash()
    after.client.peer(FAR).judge = refuses("bad", "first")
    after.settle()

    assert after.client.said_to(FAR) == ["one", "two"]
    assert after.sender.delivery.counts.left_out == 2


def test_a_server_that_refuses_whatever_it_gets_is_asked_less_often(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).error = RemoteRefused(400, "M_UNKNOWN", "never")

    say(sending, room_id, *(str(number) for number in range(40)))

    assert sending.sender.delivery.counts.left_out == 3
    assert sending.destinations.wait_ms(FAR) > 0
    attempts = len(sending.client.attempts)
    say(sending, room_id, "more")
    assert len(sending.client.attempts) == attempts + 1  # to the other server


# Away for long


def test_a_server_that_was_away_for_long_gets_the_newest_event_of_each_room(sending: Sending) -> None:
    world = sending.world
    rooms = [world.create_room(ALICE, preset="public_chat") for _ in range(3)]
    for room_id in rooms:
        join_remotely(world, FAY, room_id)
    sending.client.peer(FAR).error = SILENT
    say(sending, rooms[0], "the first")
    for number in range(80):
        for index, room_id in enumerate(rooms):
            world.send(ALICE, room_id, f"{index}:{number}")
    sending.settle()

    sending.client.peer(FAR).error = None
    sending.wait(FAR)

    assert sending.client.said_to(FAR) == ["the first", "0:79", "1:79", "2:79"]
    say(sending, rooms[1], "live again")
    assert sending.client.said_to(FAR)[-1] == "live again"
    sending.flush()
    row = world.sync_database.read(find_outboxes, [FAR])[FAR]
    assert (row.is_behind, row.transaction) == (False, None)


def test_many_rooms_are_caught_up_with_in_bounded_steps(sending: Sending) -> None:
    world = sending.world
    rooms = [world.create_room(ALICE, preset="public_chat") for _ in range(MOST_PDUS + 5)]
    for room_id in rooms:
        join_remotely(world, FAY, room_id)
    sending.client.peer(FAR).error = SILENT
    say(sending, rooms[0], "the first")
    for number in range(5):
        for index, room_id in enumerate(rooms):
            world.send(ALICE, room_id, f"{index}:{number}")
    sending.settle()
    after = sending.crash()

    after.settle()
    after.wait(FAR)

    sizes = [len(sent.bodies) for sent in after.client.taken_by(FAR)]
    assert max(sizes) <= MOST_PDUS
    assert after.client.said_to(FAR) == ["the first", *(f"{index}:4" for index in range(len(rooms)))]


def test_a_server_that_was_away_shortly_gets_all_of_it(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).error = SILENT
    texts = [str(number) for number in range(60)]
    say(sending, room_id, *texts)

    after = sending.crash()
    after.settle()
    after.wait(FAR)

    assert after.client.said_to(FAR) == texts


def test_a_server_that_is_slow_keeps_no_more_in_memory_than_may_be(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "first")
    for part in range(6):
        say(sending, room_id, *(f"{part}:{number}" for number in range(100)))
    outbox = sending.sender.outboxes.find(FAR)
    assert outbox is not None
    assert (len(outbox.positions), outbox.is_behind) == (0, True)

    sending.client.release(FAR)
    sending.settle()

    assert sending.client.said_to(FAR) == ["first", "5:99"]


def test_the_log_is_read_in_parts(sending: Sending, room_id: RoomID) -> None:
    world = sending.world
    sending.settle()
    sending.sender.stop()
    texts = [str(number) for number in range(130)]
    for text in texts:
        world.send(ALICE, room_id, text)

    after = sending.crash()
    after.settle()

    assert after.client.said_to(FAR) == after.client.said_to(NEAR) == texts
    after.flush()
    assert world.sync_database.read(outgoing_position) == world.database.position


def test_nothing_new_begins_once_it_was_stopped(sending: Sending, room_id: RoomID) -> None:
    sending.settle()
    sending.sender.stop()

    say(sending, room_id, "hello")
    world = sending.world
    world.clock.advance(2 * IDLE_S)

    assert sending.client.attempts == []


def test_what_is_on_its_way_when_the_server_stops_says_nothing_against_its_destination(
    sending: Sending, room_id: RoomID
) -> None:
    sending.settle()
    sending.client.peer(FAR).is_held = True
    say(sending, room_id, "hello")
    sending.sender.stop()

    stopping = Deferred.fromCoroutine(sending.loops.stop())
    sending.world.clock.advance(10)

    assert stopping.called
    assert sending.destinations.find_failing(FAR) is None
    after = sending.crash()
    after.settle()
    assert after.client.said_to(FAR) == ["hello"]


def test_a_fault_of_this_server_is_not_repeated_without_end(sending: Sending, room_id: RoomID) -> None:
    sending.settle()

    def stumble(_: Any) -> RemoteError | None:
        raise ZeroDivisionError

    sending.client.peer(FAR).judge = stumble
    say(sending, room_id, "hello")

    assert len([sent for sent in sending.client.attempts if sent.destination == FAR]) == 1
    assert sending.loops.counts["federation transaction"].failures == 1
    sending.client.peer(FAR).judge = None
    sending.wait(FAR)
    assert sending.client.said_to(FAR) == ["hello"]
