"""What readers have not read, and what relates to what, is put right where events and push rules tell what it was."""

import contextlib
from random import Random

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending
from homeserver.storage.database import Transaction
from tests.services.admin.damaged import Undone
from tests.services.admin.damages import BLIND, Damage, damages_of, sampled
from tests.services.admin.own_keys import OwnKeys
from tests.services.admin.test_unread_audit import ReadRoom, is_of_other_rules
from tests.services.world import CAROL, SERVER, World

SHOWN = ("class_notifications", "personal_notifications", "relations", "sent_places", "threads")


def contents(tx: Transaction, room_id: RoomID) -> dict[str, list[str]]:
    """The rows that tell readers something, but for when they were written."""
    for table in ("class_notifications", "personal_notifications"):
        tx.run(f"UPDATE {table} SET written_ms = 0 WHERE room_id = :room_id", room_id=room_id)
    return {
        table: sorted(repr(row) for row in tx.all(f"SELECT * FROM {table} WHERE room_id = :room_id", room_id=room_id))
        for table in SHOWN
    }


def faults_after_mending(world: World, room_id: RoomID, damage: Damage) -> list[str]:
    """What is not as it was before a damage that was mended; all is undone."""
    faults: list[str] = []
    keys = OwnKeys(SERVER, world.key)

    def mend(tx: Transaction) -> None:
        before = contents(tx, room_id)
        if damage.apply(tx):
            mending, point = RoomMending(room_id, keys, SERVER), BEGIN
            following: Point | None = point
            while following is not None:
                done = mending.slice(tx, following, 0)
                faults.extend([] if done.refused is None else [f"{damage}: refused: {done.refused}"])
                following = done.following
            audit = RoomAudit(room_id, keys, SERVER)
            while audit.go_on(tx):
                pass
            faults.extend([] if audit.fault is None else [f"{damage}: left {audit.fault}"])
            after = contents(tx, room_id)
            # What counts for somebody who is not there cannot be judged, and harms nobody.
            judged = [table for table in SHOWN if damage.column not in ("class_key", "user_id")]
            faults.extend(f"{damage}: left another {table}" for table in judged if after[table] != before[table])
        raise Undone

    with contextlib.suppress(Undone):
        world.sync_database.write(mend)
    return faults


def test_whatever_is_damaged_of_what_readers_are_told_is_put_right(shared_world: World) -> None:
    room, random = ReadRoom(shared_world), Random(1)
    damages = shared_world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random, SHOWN)))
    assert {damage.table for damage in damages} == set(SHOWN)
    chosen = [damage for damage in sampled(damages, random) if not any(blind.excuses(damage) for blind in BLIND)]

    wrong = [
        fault
        for damage in chosen
        if not is_of_other_rules(room)(damage) and damage.row.get("user_id") != CAROL
        for fault in faults_after_mending(shared_world, room.room_id, damage)
    ]

    assert wrong == []
