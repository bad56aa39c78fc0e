"""Whatever event of a room is lost: it is put back so that an audit finds no fault, or nothing is done."""

import contextlib
from collections import Counter
from random import Random
from typing import TypeVar

import pytest

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_audit import Unsound
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.admin.audit_reading import Pause
from homeserver.services.admin.event_restoring import EventRestoring
from homeserver.services.admin.lost_events import LostEvents
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending
from homeserver.services.events.receipt import Received
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from tests.conftest import LargeRun
from tests.forked_rooms import TWO
from tests.growth.rows import COLUMNS
from tests.services.admin.damageable_room import DamageableRoom, KeysOfAll
from tests.services.admin.damaged import Undone
from tests.services.admin.damages import BLIND, WHOLE_ROW, Damage, damages_of, sampled
from tests.services.admin.test_room_mending import contents
from tests.services.world import SERVER, World

T = TypeVar("T")


class Losses:
    """What became of the events of a room that were lost, each in its turn; all is undone."""

    def __init__(self, world: World, room: DamageableRoom) -> None:
        self.world = world
        self.room = room
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def lose(self, event: Event) -> None:
        """Lose it, and have it put back."""

        def run(tx: Transaction) -> None:
            row = tx.one("SELECT verdict, place, root_before FROM events WHERE event_id = :id", id=event.event_id)
            if row is not None and tx.run("DELETE FROM events WHERE event_id = :id", id=event.event_id):
                self.counts[self._restored(tx, event, tuple(row))] += 1
            raise Undone

        with contextlib.suppress(Undone):
            self.world.sync_database.write(run)

    def _restored(self, tx: Transaction, event: Event, before: tuple[object, ...]) -> str:
        search = searched(tx, self.room)
        if event.event_id not in search.found.event_ids:
            return "not missed"
        restoring = EventRestoring(self.room.room_id, KeysOfAll(), search.found)
        received = Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)
        try:
            while True:
                with contextlib.suppress(Pause):
                    restoring.restore(tx, received, TWO)
                    break
        except Unsound as unsound:
            return f"refused: {unsound.reason}"
        mending, point = RoomMending(self.room.room_id, KeysOfAll(), SERVER), BEGIN
        following: Point | None = point
        while following is not None:
            following = mending.slice(tx, following, 0).following
        audit = RoomAudit(self.room.room_id, KeysOfAll(), SERVER)
        while audit.go_on(tx):
            pass
        after = tx.one("SELECT verdict, place, root_before FROM events WHERE event_id = :id", id=event.event_id)
        if audit.fault is not None:
            self.wrong.append(f"{event.type} of {event.sender}, {before}: {audit.fault}")
            return "not sound"
        return "as it was" if after is not None and tuple(after) == before else "sound"


def searched(tx: Transaction, room: DamageableRoom) -> LostEvents:
    """A search that has come to its end."""
    search = LostEvents(room.room_id, KeysOfAll())
    while search.go_on(tx):
        pass
    return search


class Damages:
    """What became of rows that were damaged, each in its turn; all is undone."""

    def __init__(self, world: World, room: DamageableRoom) -> None:
        self.world = world
        self.room = room
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def do(self, damage: Damage) -> None:
        """Do damage, and have put back what is found to be damaged."""

        def run(tx: Transaction) -> None:
            before = contents(tx, self.room.room_id)
            if damage.apply(tx):
                self._restore(tx)
                self._look(tx, damage, before)
            raise Undone

        with contextlib.suppress(Undone):
            self.world.sync_database.write(run)

    def _restore(self, tx: Transaction) -> None:
        search = searched(tx, self.room)
        restoring = EventRestoring(self.room.room_id, KeysOfAll(), search.found)
        for event_id in search.found.damaged:
            event = self.room.scene.history.events.get(event_id)
            if event is None:
                continue  # it is nobody's
            received = Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)
            with contextlib.suppress(Unsound):
                received = restoring.sound_content(tx, event_id)
            self._try(tx, restoring, received)

    @staticmethod
    def _try(tx: Transaction, restoring: EventRestoring, received: Received) -> None:
        event_id = received.encoded.event.event_id
        columns = [row[0] for row in tx.all(COLUMNS[tx.dialect.name], table_name="events")]
        row = tx.one(f"SELECT {', '.join(columns)} FROM events WHERE event_id = :id", id=event_id)
        assert row is not None
        while True:
            try:
                restoring.restore(tx, received, None)
            except (Pause, Unsound) as ended:  # as the transaction of its own would, that ends so
                tx.run("DELETE FROM events WHERE event_id = :id", id=event_id)
                values = dict(zip(columns, row, strict=True))
                tx.run(
                    f"INSERT INTO events ({', '.join(columns)}) VALUES ({', '.join(f':{one}' for one in columns)})",
                    **values,
                )
                if isinstance(ended, Pause):
                    continue
            return

    def _look(self, tx: Transaction, damage: Damage, before: dict[str, list[str]]) -> None:
        following: Point | None = BEGIN
        mending = RoomMending(self.room.room_id, KeysOfAll(), SERVER)
        while following is not None:
            following = mending.slice(tx, following, 0).following
        audit = RoomAudit(self.room.room_id, KeysOfAll(), SERVER)
        while audit.go_on(tx):
            pass
        after = contents(tx, self.room.room_id)
        # An event that has another number is the same one: its edges are found again, and go by the new number.
        renumbered = ["event_edges", "events"] if damage.column == "event_nid" and audit.fault is None else []
        changed = [table for table in before if after[table] != before[table] and table not in renumbered]
        if audit.fault is not None:
            self.counts["refused"] += 1
            if changed != ["events"]:
                self.wrong.append(f"{damage}: {audit.fault}: changed {changed}")
        elif changed and damage.row["form"] != Form.WRONG_HASH and damage.column != "verdict_reason":
            self.wrong.append(f"{damage}: changed {changed}")
        else:
            self.counts["as it was"] += 1


def damages_to_events(world: World, room: DamageableRoom, random: Random) -> list[Damage]:
    """Of each column of events one row with all its damages that are seen."""
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random, ["events"])))
    rows = [damage for damage in damages if damage.column != WHOLE_ROW]
    return [damage for damage in sampled(rows, random) if not any(blind.excuses(damage) for blind in BLIND)]


def test_a_row_that_says_what_cannot_be_is_put_right_or_left(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["11"])
    done = Damages(world, room)

    for damage in damages_to_events(world, room, Random(1)):
        done.do(damage)

    assert done.wrong == []
    assert done.counts["as it was"] > 15


@pytest.mark.large
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_no_row_whatever_that_says_what_cannot_be_is_made_worse(
    world: World, version: str, large_run: LargeRun
) -> None:
    random = Random(f"{large_run.seed}/{version}")
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    done = Damages(world, room)

    for damage in some_of(random, damages_to_events(world, room, random), 3, world, large_run):
        done.do(damage)

    assert done.wrong == []


def test_an_event_that_was_lost_is_put_back_soundly_or_not_at_all(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["11"])
    losses = Losses(world, room)

    # On the newest one something is built that was refused, which says nothing of when it came.
    for event in (room.newest, *Random(1).sample(list(room.scene.history.events.values()), 8)):
        losses.lose(event)

    assert losses.wrong == []
    assert losses.counts["as it was"] > 4


@pytest.mark.large
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_every_event_that_was_lost_is_put_back_soundly_or_not_at_all(
    world: World, version: str, large_run: LargeRun
) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    losses = Losses(world, room)

    random = Random(f"{large_run.seed}/{version}")
    for event in some_of(random, list(room.scene.history.events.values()), 8, world, large_run):
        losses.lose(event)

    assert losses.wrong == []
    assert not large_run.whole or losses.counts["as it was"] > 30


def some_of(random: Random, found: list[T], share: int, world: World, run: LargeRun) -> list[T]:
    """All in a whole run; else one in so many, and of these, on PostgreSQL, one in four."""
    if run.whole:
        return found
    one_in = share if world.sync_database.dialect.name == "sqlite" else 4 * share
    return random.sample(found, max(len(found) // one_in, 1))
