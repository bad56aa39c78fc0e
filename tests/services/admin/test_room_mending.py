"""What follows from a room's events is put right, whatever was damaged of it, or it is refused and said why."""

import contextlib
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.admin.room_audit import KnownKeys, RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending
from homeserver.services.errors import NotFound
from homeserver.storage.database import Transaction
from tests.conftest import LargeRun
from tests.services.admin.damageable_room import DamageableRoom, KeysOfAll
from tests.services.admin.damaged import Undone
from tests.services.admin.damages import BLIND, OF_ROOMS, Damage, damages_of, one_of_each_table, sampled
from tests.services.admin.own_keys import OwnKeys
from tests.services.admin.test_room_audit import lively_room
from tests.services.world import SERVER, World

# Any: whatever stands in columns.

# What follows from events alone: of each some damages are put right, and more of others.
FOLLOW = (
    "early_redactions",
    "event_edges",
    "event_gaps",
    "membership_changes",
    "memberships",
    "relations",
    "rooms",
    "shadowed_heads",
    "threads",
)
OTHER_TABLES = ("room_index", "room_servers", "sent_places", "receipts")


class Mended:
    """What came of mending a damaged room, which is undone."""

    def __init__(self, world: World, room_id: RoomID, keys: KnownKeys, damage: Callable[[Transaction], bool]) -> None:
        self.is_damaged = False
        self.refused: str | None = None
        self.rows = 0
        self.fault: str | None = None
        self.before: dict[str, list[str]] = {}
        self.after: dict[str, list[str]] = {}

        def mend(tx: Transaction) -> None:
            self.before = contents(tx, room_id)
            self.is_damaged = damage(tx)
            if self.is_damaged:
                self._mend(tx, room_id, keys)
            raise Undone

        with contextlib.suppress(Undone, NotFound):
            world.sync_database.write(mend)

    def _mend(self, tx: Transaction, room_id: RoomID, keys: KnownKeys) -> None:
        mending = RoomMending(room_id, keys, SERVER)
        point: Point | None = BEGIN
        while point is not None:
            done = mending.slice(tx, point, 0)
            point = done.following
            self.rows += sum(done.mended.values())
            self.refused = done.refused
        audit = RoomAudit(room_id, keys, SERVER)
        while audit.go_on(tx):
            pass
        self.fault = None if audit.fault is None else str(audit.fault)
        self.after = contents(tx, room_id)


def contents(tx: Transaction, room_id: RoomID) -> dict[str, list[str]]:
    """All rows of the room, but for when they were written, and the number by which writers find that it went on."""
    tx.run("UPDATE rooms SET generation = 0 WHERE room_id = :room_id", room_id=room_id)
    tx.run("UPDATE membership_changes SET written_ms = 0 WHERE room_id = :room_id", room_id=room_id)
    return {
        table: sorted(repr(row) for row in tx.all(f"SELECT * FROM {table} WHERE room_id = :room_id", room_id=room_id))
        for table in (*OF_ROOMS, *OTHER_TABLES)
    }


def run(sql: str, **parameters: Any) -> Callable[[Transaction], bool]:
    return lambda tx: tx.run(sql, **parameters) > 0


def test_nothing_of_a_sound_room_is_changed(world: World) -> None:
    rooms = (
        (DamageableRoom(world, ROOM_VERSIONS["10"]).room_id, KeysOfAll()),
        (lively_room(world), OwnKeys(SERVER, world.key)),
    )
    for room_id, keys in rooms:
        mended = Mended(world, room_id, keys, lambda _: True)

        assert (mended.rows, mended.refused, mended.fault) == (0, None, None)
        assert mended.after == mended.before


def test_every_damage_is_put_right_or_refused_and_events_are_never_touched(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["10"])
    random = Random(1)
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random)))
    chosen = one_of_each_table(damages, random)
    is_sqlite = world.sync_database.dialect.name == "sqlite"
    if is_sqlite:
        of_columns = sampled([damage for damage in damages if damage.table in FOLLOW], random)
        chosen += {(damage.table, damage.column): damage for damage in of_columns}.values()

    wrong, repaired = mended_all(world, room, chosen)

    assert wrong == []
    assert not is_sqlite or set(FOLLOW) <= repaired


def test_where_a_room_stands_is_left_as_it_is_if_it_is_not_known_what_was_news(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["10"])

    for event_id in (room.banned.event_id, room.newest.event_id):
        lost = "UPDATE events SET log_position = NULL WHERE event_id = :event_id"
        mended = Mended(world, room.room_id, KeysOfAll(), run(lost, event_id=event_id))

        assert mended.refused is not None
        assert f"whether {event_id} was is not certain" in mended.refused
        assert (mended.after["rooms"], mended.after["room_roots"]) == (
            mended.before["rooms"],
            mended.before["room_roots"],
        )


@pytest.mark.large
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_no_damage_whatever_is_made_worse(world: World, version: str, large_run: LargeRun) -> None:
    random = Random(f"{large_run.seed}/{version}")
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random)))
    if not large_run.whole:
        damages = sampled(damages, random)
        one_in = 2 if world.sync_database.dialect.name == "sqlite" else 16
        damages = random.sample(damages, len(damages) // one_in)

    wrong, _ = mended_all(world, room, damages)

    assert wrong == []


def mended_all(world: World, room: DamageableRoom, damages: Iterable[Damage]) -> tuple[list[str], set[str]]:
    """What went wrong when each of the damages was mended, and of which tables some were put right."""
    wrong: list[str] = []
    repaired: set[str] = set()
    for damage in damages:
        mended = Mended(world, room.room_id, KeysOfAll(), damage.apply)
        if not mended.after:
            continue
        faults = faults_of(damage, mended)
        if not faults or not any(blind.excuses(damage) for blind in BLIND):
            wrong += faults
        if mended.fault is None:
            repaired.add(damage.table)
    return wrong, repaired


def faults_of(damage: Damage, mended: Mended) -> list[str]:
    """What ought not to have come of mending this damage."""
    faults: list[str] = []
    others = [table for table in ("events", "state_nodes", "room_roots", "waiting_events") if table != damage.table]
    faults += [f"{damage}: changed {table}" for table in others if mended.after[table] != mended.before[table]]
    if damage.table in ("events", "state_nodes"):  # from what is damaged nothing is derived
        kept = ("rooms", "memberships", "membership_changes", "sent_places", "receipts", "room_servers")
        faults += [f"{damage}: changed {table}" for table in kept if mended.after[table] != mended.before[table]]
    if mended.fault is None:
        # An event that has another number is the same one: its edges are found again, and go by the new number.
        renumbered = ("events", "event_edges") if (damage.table, damage.column) == ("events", "event_nid") else ()
        faults += [
            f"{damage}: left another {table}"
            for table in mended.after
            if table not in renumbered and mended.after[table] != mended.before[table]
        ]
    return faults
