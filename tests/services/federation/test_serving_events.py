"""Events that servers ask for: by ID, before some, between some and others; and who is told nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.retention import RetentionPolicy
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.federation.serving_events import MOST_BACKFILLED, MOST_MISSING
from tests.services.federation.others import FAR, FAY, NEAR, NED, join_remotely, remote_event, take
from tests.services.federation.serving import Serving, bodies, read
from tests.services.world import ALICE, SERVER, now

NO_ID = EventID("$" + "A" * 43)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def event(serving: Serving, event_id: EventID) -> Any:
    return read(now(serving.events.event(FAR, event_id)))


def before(serving: Serving, room_id: RoomID, *event_ids: EventID, limit: int = 100) -> list[Any]:
    pdus: list[Any] = read(now(serving.events.before(FAR, room_id, event_ids, limit)))["pdus"]
    return pdus


def missing(serving: Serving, room_id: RoomID, **asked: Any) -> list[Any]:
    wanted: dict[str, Any] = {"earliest": [], "latest": [], "limit": 10, "min_depth": 0, **asked}
    events: list[Any] = read(now(serving.events.missing(FAR, room_id, **wanted)))
    return events


def heads(serving: Serving, room_id: RoomID) -> list[EventID]:
    return [serving.world.send(ALICE, room_id, "newest")]


def test_an_event_comes_as_a_transaction_of_its_own(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id, "hello")

    answer = event(serving, event_id)

    assert answer["origin"] == SERVER
    assert answer["origin_server_ts"] == serving.world.clock.now_ms()
    assert bodies(answer["pdus"]) == ["hello"]


def test_what_has_expired_is_given_without_what_it_said(serving: Serving) -> None:
    world, room_id = serving.world, serving.room()
    join_remotely(world, FAY, room_id)
    world.lifetimes.policy = RetentionPolicy(is_enabled=True, default_ms=60_000)
    event_id = world.send(ALICE, room_id, "hello")
    fresh = event(serving, event_id)["pdus"]

    world.clock.advance(61)

    assert bodies(fresh) == ["hello"]
    (pdu,) = event(serving, event_id)["pdus"]
    assert pdu["content"] == {}
    assert pdu["hashes"] == fresh[0]["hashes"]


def test_an_event_of_a_third_server_is_given_too(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    join_remotely(serving.world, NED, room_id)
    sent = take(serving.world, remote_event(serving.world, NED, room_id, "m.room.message", {"body": "from afar"}))

    assert bodies(event(serving, sent)["pdus"]) == ["from afar"]


def test_an_event_of_a_room_without_the_server_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    room_id = serving.room("world_readable")
    event_id = serving.world.send(ALICE, room_id)

    refusals = []
    for asked in (event_id, NO_ID):
        with pytest.raises(NotFound) as refused:
            event(serving, asked)
        refusals.append(refused.value.reason)

    assert refusals[0] == refusals[1]


def test_a_server_that_is_shut_out_gets_nothing(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)
    serving.shut_out(room_id, FAR)

    for asking in (
        serving.events.event(FAR, event_id),
        serving.events.before(FAR, room_id, [event_id], 10),
        serving.events.missing(FAR, room_id, earliest=[], latest=[event_id], limit=10, min_depth=0),
    ):
        with pytest.raises(Forbidden):
            now(asking)


def test_a_room_without_the_server_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    room_id = serving.room("world_readable")
    event_id = serving.world.send(ALICE, room_id)

    refusals = []
    for asked in (room_id, RoomID("!nowhere:example.org")):
        for asking in (
            serving.events.before(FAR, asked, [event_id], 10),
            serving.events.missing(FAR, asked, earliest=[], latest=[event_id], limit=10, min_depth=0),
        ):
            with pytest.raises(Forbidden) as refused:
                now(asking)
            refusals.append(refused.value.reason)

    assert len(set(refusals)) == 1


def test_backfilling_goes_from_the_events_on_backwards(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    sent = [serving.world.send(ALICE, room_id, str(number)) for number in range(5)]

    assert bodies(before(serving, room_id, sent[3], limit=3)) == ["3", "2", "1"]
    assert bodies(before(serving, room_id, sent[3], sent[1], limit=2)) == ["3", "2"]


def test_backfilling_ends_at_the_beginning_of_the_room(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)

    pdus = before(serving, room_id, *heads(serving, room_id))

    assert pdus[-1]["type"] == "m.room.create"


@pytest.mark.parametrize("limit", [0, -1])
def test_who_asks_for_nothing_gets_nothing(serving: Serving, limit: int) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    newest = heads(serving, room_id)

    assert before(serving, room_id, *newest, limit=limit) == []
    assert missing(serving, room_id, latest=newest, limit=limit) == []


def test_no_more_is_given_than_at_most(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    for number in range(MOST_BACKFILLED):
        serving.world.send(ALICE, room_id, str(number))
    newest = heads(serving, room_id)

    assert len(before(serving, room_id, *newest, limit=2**53)) == MOST_BACKFILLED
    assert len(missing(serving, room_id, latest=newest, limit=2**53)) == MOST_MISSING


def test_events_of_another_room_count_as_not_there(serving: Serving) -> None:
    room_id, other = serving.room(), serving.room()
    join_remotely(serving.world, FAY, room_id)
    elsewhere = serving.world.send(ALICE, other, "elsewhere")

    assert before(serving, room_id, elsewhere, NO_ID, EventID("$\0"), EventID("x")) == []
    assert missing(serving, room_id, latest=[elsewhere, NO_ID, EventID("$\0"), EventID("x")]) == []


def test_what_was_before_a_server_came_is_redacted(serving: Serving) -> None:
    room_id = serving.room("joined")
    serving.world.send(ALICE, room_id, "before")
    join_remotely(serving.world, FAY, room_id)
    serving.world.send(ALICE, room_id, "after")
    newest = heads(serving, room_id)

    assert bodies(before(serving, room_id, *newest)) == ["newest", "after", None]
    assert bodies(missing(serving, room_id, latest=newest)) == [None, "after"]


def test_what_is_missing_is_told_oldest_first_without_the_ends(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    sent = [serving.world.send(ALICE, room_id, str(number)) for number in range(6)]

    between = missing(serving, room_id, earliest=[sent[1]], latest=[sent[5]])

    assert bodies(between) == ["2", "3", "4"]
    assert bodies(missing(serving, room_id, earliest=[sent[1]], latest=[sent[5]], limit=2)) == ["3", "4"]
    assert missing(serving, room_id, earliest=[sent[5]], latest=[sent[5]]) == []


def test_what_is_not_deep_enough_is_left_out(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    sent = [serving.world.send(ALICE, room_id, str(number)) for number in range(4)]
    depth = event(serving, sent[2])["pdus"][0]["depth"]

    assert bodies(missing(serving, room_id, latest=[sent[3]], min_depth=depth)) == ["2"]


def test_both_sides_of_a_fork_are_missing(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    root = serving.world.send(ALICE, room_id, "root")
    fork = remote_event(serving.world, FAY, room_id, "m.room.message", {"body": "fork"})
    serving.world.send(ALICE, room_id, "here")
    take(serving.world, fork)
    joining = serving.world.send(ALICE, room_id, "joining")

    assert sorted(map(str, bodies(missing(serving, room_id, earliest=[root], latest=[joining])))) == ["fork", "here"]


def test_what_was_rejected_is_given_to_nobody(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    encoded = remote_event(serving.world, UserID(f"@stranger:{NEAR}"), room_id, "m.room.message", {"body": "rejected"})
    with pytest.raises(AssertionError):
        take(serving.world, encoded)  # it was not accepted, and is kept

    with pytest.raises(NotFound):
        event(serving, encoded.event.event_id)
    assert bodies(before(serving, room_id, encoded.event.event_id)) == []
