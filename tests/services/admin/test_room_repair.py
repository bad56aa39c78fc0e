"""Rooms that are repaired: what others have is fetched, what is stored here put right, and lies change nothing."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, ServerName
from homeserver.services.admin.jobs import Jobs
from homeserver.services.admin.room_repair import OtherServers, RoomRepair, RoomRepairJob
from homeserver.services.errors import NotFound
from homeserver.services.federation.event_recovery import EventRecovery
from homeserver.services.federation.missing_events import MissingEvents
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.services.federation.room_comparison import RoomComparison
from homeserver.storage.database import Transaction
from tests.fakes.policy_source import FakePolicySource
from tests.forked_rooms import BOB, ONE, TWO
from tests.services.admin.own_keys import OwnKeys
from tests.services.federation.filling import Filling
from tests.services.world import ALICE, SERVER, World, now

# Any: JSON, throughout.


class Repairing:
    """A room into which our Alice came, and what repairs it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.filling = Filling(world)
        self.filling.join()
        self.retried: list[ServerName] = []
        source = self.filling.source
        policies = PolicyServers(world.database, world.states, FakePolicySource())
        missing = MissingEvents(world.database, source, world.receipt, world.intake, policies, world.clock, SERVER)
        comparison = RoomComparison(
            world.database, source, world.receipt, world.intake, world.states, world.clock, SERVER
        )
        recovery = EventRecovery(world.database, source, world.receipt, world.clock, SERVER)
        job = RoomRepairJob(
            world.database,
            OwnKeys(SERVER, world.key),
            OtherServers(comparison, missing, recovery, self.retried.append),
            (world.notifying.forget_room,),
            world.clock,
            SERVER,
            world.states.events.replace,
        )
        self.jobs = Jobs(world.database, world.clock, world.randomness, (job,))
        self.repair = RoomRepair(world.database, self.jobs)

    def run(self, *, dry_run: bool = False) -> dict[str, Any]:
        """What came of a repair."""
        job = now(self.repair.repair(self.filling.room_id, dry_run=dry_run, asked_by=ALICE))
        now(self.jobs.work())
        done = now(self.jobs.job(job.job_id))
        assert done.error is None
        assert done.status.has_ended
        return dict(done.progress.outcome)

    def state(self) -> dict[Any, EventID]:
        return self.filling.state(self.filling.head.current_root)

    def write(self, sql: str) -> None:
        def run(tx: Transaction) -> None:
            assert tx.run(sql, room=self.filling.room_id)

        self.world.sync_database.write(run)


@pytest.fixture
def repairing(world: World) -> Repairing:
    return Repairing(world)


def test_of_a_sound_room_that_all_have_there_is_nothing_to_do(repairing: Repairing) -> None:
    before = repairing.state()

    outcome = repairing.run()

    assert (outcome["fault"], outcome["remaining_fault"], outcome["done"], outcome["not"]) == (None, None, [], [])
    assert repairing.state() == before


def test_what_others_have_after_a_gap_is_fetched_and_judged(repairing: Repairing) -> None:
    filling = repairing.filling
    chain = filling.chain(30)
    name = {"membership": "join", "displayname": "Bob, late"}
    filling.scene.last = filling.scene.send(BOB, "m.room.member", name, BOB, after=[filling.scene.last])

    outcome = repairing.run()

    assert filling.head.heads == (filling.scene.last.event_id,)
    assert all(filling.has_place(event) for event in chain)
    assert repairing.state()["m.room.member", BOB] == filling.scene.last.event_id
    assert any("events were fetched" in sentence for sentence in outcome["done"])
    assert (outcome["remaining_fault"], outcome["not"]) == (None, [])


def test_a_dry_run_fetches_and_changes_nothing(repairing: Repairing) -> None:
    filling = repairing.filling
    filling.chain(3)
    repairing.write("DELETE FROM event_edges WHERE room_id = :room")
    heads = filling.head.heads

    outcome = repairing.run(dry_run=True)

    assert filling.head.heads == heads
    assert repairing.world.sync_database.read(lambda tx: tx.one("SELECT COUNT(*) FROM event_edges")) == (0,)
    assert any("edges:" in sentence and "would be put right" in sentence for sentence in outcome["done"])
    assert any("has events that are not here" in sentence for sentence in outcome["not"])
    assert outcome["remaining_fault"] == outcome["fault"] is not None


def test_what_is_damaged_here_is_put_right(repairing: Repairing) -> None:
    repairing.write("DELETE FROM event_edges WHERE room_id = :room")
    repairing.write("UPDATE memberships SET display_name = 'Somebody' WHERE room_id = :room")
    repairing.write("UPDATE room_index SET joined_members = 77 WHERE room_id = :room")

    outcome = repairing.run()

    assert outcome["fault"] is not None
    assert outcome["remaining_fault"] is None
    rows = repairing.world.sync_database.read(
        lambda tx: tx.one("SELECT joined_members FROM room_index WHERE room_id = :room", room=repairing.filling.room_id)
    )
    assert rows == (3,)


def test_who_lacks_our_events_is_sent_them_again(repairing: Repairing) -> None:
    repairing.filling.holder(TWO).lacks.update(repairing.filling.head.heads)

    outcome = repairing.run()

    assert repairing.retried == [TWO]
    assert any("lacks all of our last events" in sentence for sentence in outcome["not"])


def test_a_server_that_lies_in_every_answer_changes_nothing(repairing: Repairing) -> None:
    filling, scene = repairing.filling, repairing.filling.scene
    mallory = {**scene.last.pdu, "sender": "@mallory:one.example", "content": {"membership": "join", "x": 1}}
    topic = scene.send(BOB, "m.room.topic", {"topic": "only said to be so"}, after=[scene.last])
    ids = [one.event_id for one in filling.holder().state(filling.head.heads[0])]
    false_state = {"pdu_ids": [*ids[1:], "$" + "B" * 43], "auth_chain_ids": []}
    lies: dict[str, Any] = {
        "state_ids": lambda _: false_state,
        "state": lambda _: {"pdus": [mallory], "auth_chain": [mallory]},
        "event": lambda _: mallory,
        "event_auth": lambda _: [mallory],
        "get_missing_events": lambda _: [mallory, 7],
        "backfill": lambda _: [mallory],
        "timestamp_to_event": lambda _: {"event_id": topic.event_id},
    }
    for server in (ONE, TWO):
        filling.holder(server).lies.update(lies)
    before, heads = repairing.state(), filling.head.heads

    outcome = repairing.run()

    assert (repairing.state(), filling.head.heads) == (before, heads)
    assert outcome["remaining_fault"] is None
    assert any("has another state of the room" in sentence for sentence in outcome["not"])
    assert filling.find(topic) is None


def test_what_nobody_here_knows_is_not_repaired(repairing: Repairing) -> None:
    with pytest.raises(NotFound):
        now(repairing.repair.repair("!nowhere:one.example", dry_run=False, asked_by=None))  # type: ignore[arg-type]
