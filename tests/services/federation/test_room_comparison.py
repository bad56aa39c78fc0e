"""A room beside what other servers say of it: who agrees, who differs in what, and nothing is taken from anybody."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, ServerName
from homeserver.outbound.errors import RemoteRefused
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.federation.room_comparison import (
    Comparison,
    Difference,
    Finding,
    RoomComparison,
    ServerView,
    explained,
)
from homeserver.storage.database import Transaction
from tests.forked_rooms import BOB, ONE, TWO
from tests.services.federation.filling import Filling
from tests.services.world import SERVER, World, now

# Any: JSON, throughout.

NOWHERE = EventID("$" + "A" * 43)


@pytest.fixture
def filling(world: World) -> Filling:
    """Return a room into which our Alice came, of which the others have no more than we do."""
    filling = Filling(world)
    filling.join()
    return filling


def compare(filling: Filling, *servers: str) -> Comparison:
    world = filling.world
    comparison = RoomComparison(
        world.database, filling.source, world.receipt, world.intake, world.states, world.clock, SERVER
    )
    return now(comparison.compare(filling.room_id, servers))


def view_of(filling: Filling, server: ServerName = ONE) -> ServerView:
    [view] = compare(filling, server).servers
    return view


def stored(tx: Transaction) -> list[Any]:
    """What is kept of all rooms."""
    tables = ("events", "waiting_events", "rooms", "room_roots", "event_gaps", "memberships")
    return [sorted(map(repr, tx.all(f"SELECT * FROM {table}"))) for table in tables]


def test_servers_that_have_the_same_agree(filling: Filling) -> None:
    found = compare(filling)

    assert {view.server: view.finding for view in found.servers} == {ONE: Finding.AGREES, TWO: Finding.AGREES}
    assert [view.newer for view in found.servers] == [[], []]
    assert explained(found)[0].endswith("agrees about the state of the room")


def test_what_a_server_has_beyond_ours_is_named(filling: Filling) -> None:
    chain = filling.chain(4)

    view = view_of(filling)

    assert view.finding is Finding.AGREES
    assert set(view.newer) == {event.event_id for event in chain}
    assert view.newer[0] == chain[-1].event_id


def test_a_server_that_lacks_our_last_event_is_told_of(filling: Filling) -> None:
    [head] = filling.head.heads
    filling.holder().lacks.add(head)

    found = compare(filling, ONE)

    assert (found.servers[0].finding, found.servers[0].lacks) == (Finding.LACKS_OURS, [head])
    assert "they are to be sent once more" in explained(found)[0]


def test_a_state_that_differs_is_told_key_by_key_with_who_sent_what(filling: Filling) -> None:
    scene = filling.scene
    [head] = filling.head.heads
    ids = [one.event_id for one in filling.holder().state(head)]
    topic = scene.send(BOB, "m.room.topic", {"topic": "elsewhere"}, after=[scene.last])
    rules = scene.join_rules.event_id
    answer = {"pdu_ids": [*(one for one in ids if one != rules), topic.event_id, NOWHERE], "auth_chain_ids": []}
    filling.holder().lies["state_ids"] = lambda _: answer
    before = filling.world.sync_database.read(stored)

    found = compare(filling, ONE)

    view = found.servers[0]
    assert view.finding is Finding.DIFFERS
    assert view.differences == [
        Difference("m.room.join_rules", "", rules, scene.join_rules.sender, None, None),
        Difference("m.room.topic", "", None, None, topic.event_id, BOB),
    ]
    assert view.unproven == [NOWHERE]
    assert f"under m.room.topic it has {topic.event_id} by {BOB}, and this server nothing" in explained(found)[2]
    assert filling.world.sync_database.read(stored) == before


@pytest.mark.parametrize(
    "answer",
    [
        {"pdu_ids": [7], "auth_chain_ids": []},
        {"pdu_ids": ["not an ID"], "auth_chain_ids": []},
    ],
)
def test_nonsense_is_called_that(filling: Filling, answer: Any) -> None:
    filling.holder().lies["state_ids"] = lambda _: answer

    assert view_of(filling).finding is Finding.NONSENSE


def test_what_a_liar_shows_is_no_event_that_is_missing_here(filling: Filling) -> None:
    chain = filling.chain(2)
    forged = {**chain[-1].pdu, "content": {"body": "never said"}, "sender": "@eve:one.example"}
    holder = filling.holder()
    holder.lies["event"] = lambda _: forged
    holder.lies["get_missing_events"] = lambda _: [forged, {"room_id": 3}, None]
    holder.lies["timestamp_to_event"] = lambda _: {"event_id": NOWHERE}
    holder.lies["backfill"] = lambda _: [forged]
    before = filling.world.sync_database.read(stored)

    view = view_of(filling)

    assert (view.newer, view.older) == ([], [])
    assert filling.world.sync_database.read(stored) == before


def test_who_does_not_answer_is_told_apart_from_who_refuses(filling: Filling) -> None:
    def refuse(_: object) -> None:
        raise RemoteRefused(403, "M_FORBIDDEN", "you are not in the room")

    filling.holder(ONE).is_away = True
    filling.holder(TWO).lies["state_ids"] = refuse

    found = compare(filling, ONE, TWO)

    assert [view.finding for view in found.servers] == [Finding.UNREACHABLE, Finding.REFUSED]
    assert "you are not in the room" in explained(found)[1]


def test_who_is_asked_must_be_other_servers_of_which_there_are_few(filling: Filling) -> None:
    for servers in (["no server!"], [SERVER], [f"s{number}.example" for number in range(21)]):
        with pytest.raises(InvalidParameter):
            compare(filling, *servers)
    assert filling.source.operations["state_ids"] == 0


def test_of_a_room_without_us_nobody_is_asked(filling: Filling) -> None:
    filling.leave()

    with pytest.raises(InvalidParameter):
        compare(filling)


def test_of_a_room_that_is_not_known_nothing_is_asked(filling: Filling) -> None:
    comparison = RoomComparison(
        filling.world.database,
        filling.source,
        filling.world.receipt,
        filling.world.intake,
        filling.world.states,
        filling.world.clock,
        SERVER,
    )
    unknown = filling.room_id.replace("!", "!x")

    with pytest.raises(NotFound):
        now(comparison.compare(unknown, ()))  # type: ignore[arg-type]
