"""Deleting what belongs to a device, whichever family keeps it: by what the tables declare of their owners."""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.schema import tables_of
from homeserver.storage.tables import Owner

DELETE_OF_DEVICES: Final = tuple(
    f"DELETE FROM {table.name} WHERE {table.owners[Owner.USER]} = :user_id"  # noqa: S608 - names from our own schema
    f" AND {table.owners[Owner.DEVICE]} IN :device_ids[text]"
    for table in tables_of(Owner.DEVICE)
)


def delete_device_rows(tx: Transaction, user_id: UserID, device_ids: Sequence[DeviceID]) -> None:
    """Delete devices of a user with all that is theirs: sessions, tokens, keys, messages that wait for them."""
    for statement in DELETE_OF_DEVICES:
        tx.run(statement, user_id=user_id, device_ids=list(device_ids))
