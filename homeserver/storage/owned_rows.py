"""Deleting what belongs to a device or an account, whichever family keeps it.

The tables declare in which column their owners stand: see schema.py.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.client_transactions import forget_devices
from homeserver.storage.database import Transaction
from homeserver.storage.schema import TABLES, tables_of
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
    forget_devices(tx, user_id, device_ids)


GONE_WITH_ACCOUNT: Final = frozenset(
    {
        "account_data",
        "backed_up_keys",
        "cross_signing_keys",
        "delayed_events",
        "filters",
        "key_backup_numbers",
        "key_backups",
        "key_signatures",
        "login_tokens",
        "openid_tokens",
        "user_signatures",
        "user_words",
    }
)
DELETE_OF_ACCOUNT: Final = tuple(
    f"DELETE FROM {table.name} WHERE {table.owners[Owner.USER]} = :user_id"  # noqa: S608 - names from our own schema
    for table in TABLES
    if table.name in GONE_WITH_ACCOUNT
)


def delete_private_rows(tx: Transaction, user_id: UserID) -> None:
    """Delete what only the user of an account could use: its keys, backups, settings. Devices are not among it."""
    for statement in DELETE_OF_ACCOUNT:
        tx.run(statement, user_id=user_id)
