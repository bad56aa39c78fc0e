"""Is a database consistent in itself? Every rule that its tables keep among each other, checked from the rows alone.

It looks at one snapshot and changes nothing. `audit` says what is wrong in sentences, the empty list when all is well.
A room is audited as `homeserver admin room verify` does it; here is what concerns no single room.
Whether what was acknowledged is there is another question: see test_kills.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.signing import VerifyKey
from homeserver.services.admin.room_audit import KnownKeys, RoomAudit
from homeserver.storage.database import Transaction
from homeserver.storage.schema import TABLES
from tests.services.world import SERVER

INTEGRITY = "PRAGMA integrity_check"
COUNTERS = "SELECT name, value FROM counters"
HIGHEST_NID = "SELECT MAX(event_nid) FROM events"
LOG_POSITION = "SELECT value FROM log_position"
ROOM_IDS = "SELECT room_id FROM rooms ORDER BY room_id"
EVENT_POSITIONS = "SELECT log_position FROM events WHERE log_position IS NOT NULL"
STRAY_EVENTS = """
    SELECT event_id FROM events e WHERE NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = e.room_id)"""
TRANSACTIONS = "SELECT user_id, device_id, scope, transaction_id, outcome FROM client_transactions"
SENT_EVENTS = """
    SELECT event_id, sender, transaction_device, transaction_id FROM events WHERE transaction_id IS NOT NULL"""
STRAY_RELATIONS = """
    SELECT event_nid FROM relations x WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event_nid = x.event_nid)"""
STRAY_CLASS_NOTIFICATIONS = """
    SELECT room_id, place FROM class_notifications n
     WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place)"""
STRAY_PERSONAL_NOTIFICATIONS = """
    SELECT room_id, place FROM personal_notifications n
     WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place)"""
MISPLACED_RECEIPTS = """
    SELECT r.room_id, r.user_id, r.event_id FROM receipts r
     WHERE r.place IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM events e
                        WHERE e.event_id = r.event_id AND e.room_id = r.room_id AND e.place = r.place)"""


class NoKeys:
    """No keys: signatures are not verified. They are where they are read, in what was acknowledged."""

    def of_server(self, _tx: Transaction, _server_name: ServerName) -> tuple[VerifyKey, ...]:
        return ()


def audit(tx: Transaction, server_name: str = SERVER, keys: KnownKeys | None = None) -> list[str]:
    """Whatever is wrong with the database, a sentence each; of a room the first thing that is."""
    faults = list(_database(tx))
    for (room_id,) in tx.all(ROOM_IDS):
        room = RoomAudit(RoomID(room_id), keys or NoKeys(), ServerName(server_name))
        while room.go_on(tx):
            pass
        if room.fault is not None:
            faults.append(f"{room_id}: {room.fault}")
    return faults


# --- What concerns no single room ---


def _database(tx: Transaction) -> Iterator[str]:
    if tx.dialect.name == "sqlite":
        found = [row[0] for row in tx.all(INTEGRITY)]
        if found != ["ok"]:
            yield f"SQLite says: {found}"
    counters: dict[str, int] = dict(tx.all(COUNTERS))
    ((highest_nid,),) = tx.all(HIGHEST_NID)
    if highest_nid is not None and highest_nid > counters.get("event_nid", 0):
        yield f"an event has the number {highest_nid}, and the counter stands at {counters.get('event_nid')}"
    yield from _positions(tx)
    for (event_id,) in tx.all(STRAY_EVENTS):
        yield f"{event_id} belongs to no room"
    for (nid,) in tx.all(STRAY_RELATIONS):
        yield f"there is a relation of event number {nid}, which there is not"
    for room_id, place in (*tx.all(STRAY_CLASS_NOTIFICATIONS), *tx.all(STRAY_PERSONAL_NOTIFICATIONS)):
        yield f"{room_id}: something notifies of place {place}, where no event is"
    for room_id, user_id, event_id in tx.all(MISPLACED_RECEIPTS):
        yield f"{room_id}: the receipt of {user_id} stands at {event_id}, but not at its place"
    yield from _client_transactions(tx)


def _positions(tx: Transaction) -> Iterator[str]:
    """No position is beyond the end of the log, and no two events share one."""
    ((end,),) = tx.all(LOG_POSITION)
    for table in _tables_with_positions(tx):
        ((highest,),) = tx.all(f"SELECT MAX(log_position) FROM {table}")
        if highest is not None and highest > end:
            yield f"{table} has position {highest}, and the log ends at {end}"
    for position, count in Counter(row[0] for row in tx.all(EVENT_POSITIONS)).items():
        if count > 1:
            yield f"{count} events have position {position}"


COLUMN_OF: Final = {
    "sqlite": "SELECT 1 FROM pragma_table_info(:name) WHERE name = 'log_position'",
    "postgresql": """
        SELECT 1 FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = :name AND column_name = 'log_position'""",
}


def _tables_with_positions(tx: Transaction) -> list[str]:
    return [table.name for table in TABLES if tx.one(COLUMN_OF[tx.dialect.name], name=table.name) is not None]


def _client_transactions(tx: Transaction) -> Iterator[str]:
    """Each transaction ID led to one event, which says so; each event that was sent with one has its row."""
    sent: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for event_id, sender, device, transaction_id in tx.all(SENT_EVENTS):
        sent[sender, device, transaction_id].append(event_id)
    outcomes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for user_id, device, _, transaction_id, outcome in tx.all(TRANSACTIONS):
        if outcome.startswith("$"):
            outcomes[user_id, device, transaction_id].append(outcome)
    for key in sent.keys() | outcomes.keys():
        if sorted(sent[key]) != sorted(outcomes[key]):
            yield f"the transaction {key} led to {outcomes[key]}, and these events were sent with it: {sent[key]}"
