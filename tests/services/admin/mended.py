"""A room that is damaged, audited, mended and audited again, all of which is undone."""

import contextlib
from dataclasses import dataclass, field

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending
from homeserver.storage.database import Transaction
from tests.services.admin.damaged import Undone
from tests.services.admin.own_keys import OwnKeys
from tests.services.world import SERVER, World


@dataclass
class Mended:
    """What an audit found before and after; None is nothing. `refused`: what could not be put right."""

    found: str | None = None
    left: str | None = None
    refused: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    is_as_before: bool = False


def mended_after(world: World, room_id: RoomID, table: str, *statements: str) -> Mended:
    """What comes of mending a room after some statements; whether a table is as it was before."""
    mended, keys = Mended(), OwnKeys(SERVER, world.key)

    def run(tx: Transaction) -> None:
        before = rows_of(tx, table, room_id)
        for statement in statements:
            assert tx.run(statement) > 0
        mended.found = fault(tx)
        mending = RoomMending(room_id, keys, SERVER)
        point: Point | None = BEGIN
        while point is not None:
            done = mending.slice(tx, point, 0)
            point, mended.refused = done.following, done.refused
            for what, number in done.mended.items():
                mended.rows[what] = mended.rows.get(what, 0) + number
        mended.left = fault(tx)
        mended.is_as_before = rows_of(tx, table, room_id) == before
        raise Undone

    def fault(tx: Transaction) -> str | None:
        audit = RoomAudit(room_id, keys, SERVER)
        while audit.go_on(tx):
            pass
        return None if audit.fault is None else str(audit.fault)

    with contextlib.suppress(Undone):
        world.sync_database.write(run)
    return mended


def rows_of(tx: Transaction, table: str, room_id: RoomID) -> list[str]:
    """The rows of a room, without what is counted and dated whenever one is written."""
    changing = {"rooms": "generation", "room_roots": "written_ms"}.get(table)
    if changing is not None:
        tx.run(f"UPDATE {table} SET {changing} = 0 WHERE room_id = :room_id", room_id=room_id)
    return sorted(map(repr, tx.all(f"SELECT * FROM {table} WHERE room_id = :room_id", room_id=room_id)))
