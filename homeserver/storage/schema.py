"""Every table there is: what purges, erasures and sweeps go through.

What a table declares is in storage/tables.py; the tables are declared in the files of their families.
"""

from types import ModuleType
from typing import Final

from homeserver.storage import (
    accepted_terms,
    access_tokens,
    account_data,
    accounts,
    admin_audit,
    admin_jobs,
    aliases,
    blocked_rooms,
    client_transactions,
    collectable_rooms,
    cross_signing,
    dehydrated_devices,
    delayed_events,
    destinations,
    device_keys,
    device_lists,
    devices,
    early_redactions,
    event_edges,
    events,
    filters,
    foundation,
    inbound_transactions,
    key_backups,
    login_tokens,
    memberships,
    notice_rooms,
    notifications,
    openid_tokens,
    outboxes,
    outgoing_events,
    own_keys,
    partial_rooms,
    policy_lists,
    profiles,
    push_rules,
    receipts,
    registration_tokens,
    relations,
    remote_memberships,
    remote_users,
    reports,
    room_index,
    room_lifetimes,
    room_servers,
    room_words,
    rooms,
    search,
    server_keys,
    server_limits,
    sliding_connections,
    state_nodes,
    thread_subscriptions,
    threads,
    to_device,
    to_device_outbox,
    user_directory,
    waiting_events,
)
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Table

TABLES: Final[tuple[Table, ...]] = (
    *accepted_terms.TABLES,
    *access_tokens.TABLES,
    *account_data.TABLES,
    *accounts.TABLES,
    *admin_audit.TABLES,
    *admin_jobs.TABLES,
    *aliases.TABLES,
    *blocked_rooms.TABLES,
    *client_transactions.TABLES,
    *collectable_rooms.TABLES,
    *cross_signing.TABLES,
    *dehydrated_devices.TABLES,
    *delayed_events.TABLES,
    *destinations.TABLES,
    *device_keys.TABLES,
    *device_lists.TABLES,
    *devices.TABLES,
    *early_redactions.TABLES,
    *event_edges.TABLES,
    *events.TABLES,
    *filters.TABLES,
    *foundation.TABLES,
    *inbound_transactions.TABLES,
    *key_backups.TABLES,
    *login_tokens.TABLES,
    *memberships.TABLES,
    *notice_rooms.TABLES,
    *notifications.TABLES,
    *openid_tokens.TABLES,
    *outboxes.TABLES,
    *outgoing_events.TABLES,
    *own_keys.TABLES,
    *partial_rooms.TABLES,
    *policy_lists.TABLES,
    *profiles.TABLES,
    *push_rules.TABLES,
    *receipts.TABLES,
    *registration_tokens.TABLES,
    *relations.TABLES,
    *remote_memberships.TABLES,
    *remote_users.TABLES,
    *reports.TABLES,
    *room_index.TABLES,
    *room_lifetimes.TABLES,
    *room_servers.TABLES,
    *room_words.TABLES,
    *rooms.TABLES,
    *search.TABLES,
    *server_keys.TABLES,
    *server_limits.TABLES,
    *sliding_connections.TABLES,
    *state_nodes.TABLES,
    *thread_subscriptions.TABLES,
    *threads.TABLES,
    *to_device.TABLES,
    *to_device_outbox.TABLES,
    *user_directory.TABLES,
    *waiting_events.TABLES,
    # one line per family, in the order of the alphabet
)


def tables_by_family() -> dict[str, tuple[Table, ...]]:
    """The tables by the names of the files in which they are declared."""
    return {
        name: module.TABLES
        for name, module in globals().items()
        if isinstance(module, ModuleType) and hasattr(module, "TABLES")
    }


def tables_of(owner: Owner) -> tuple[Table, ...]:
    """The tables that hold rows of this kind of owner."""
    return tuple(table for table in TABLES if owner in table.owners)


def sweep_all(tx: Transaction, *, now_ms: int, limit: int) -> int:
    """Delete at most `limit` rows of each table that have outlived their use; return how many were deleted."""
    swept = 0
    for table in TABLES:
        if (sweep := table.retention.sweep) is not None:
            swept += sweep(tx, now_ms, limit)
    return swept
