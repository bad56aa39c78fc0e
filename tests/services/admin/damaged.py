"""An audit of a room that is damaged for no longer than the audit takes."""

import contextlib
from collections.abc import Callable

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_audit import KnownKeys, RoomAudit
from homeserver.services.errors import NotFound
from homeserver.storage.database import Transaction
from tests.services.world import SERVER, World


class Undone(Exception):  # noqa: N818 - nothing is wrong
    """Take back what was done."""


def audit_of_damaged(
    world: World, room_id: RoomID, keys: KnownKeys, damage: Callable[[Transaction], bool]
) -> RoomAudit | None:
    """An audit that has ended, of a room as `damage` leaves it; all is undone. None where it can do no damage."""
    ended: list[RoomAudit] = []

    def look(tx: Transaction) -> None:
        if damage(tx):
            audit = RoomAudit(room_id, keys, SERVER)
            while audit.go_on(tx):
                pass
            ended.append(audit)
        raise Undone

    with contextlib.suppress(Undone, NotFound):
        world.sync_database.write(look)
    return ended[0] if ended else None


def fault_of_damaged(world: World, room_id: RoomID, keys: KnownKeys, sql: str) -> str:
    """What an audit finds of a room that a statement damages: some row must be hit. All is undone."""
    is_sqlite = world.sync_database.dialect.name == "sqlite"
    statement = sql.replace("BYTES", "BLOB" if is_sqlite else "BYTEA")
    audit = audit_of_damaged(world, room_id, keys, lambda tx: tx.run(statement) > 0)
    assert audit is not None
    return str(audit.fault)
