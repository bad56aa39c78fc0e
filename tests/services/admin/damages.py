"""Every way to damage what is stored of a room: a row that is gone, a column that says something else."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, Verdict
from tests.growth.rows import COLUMNS

# Any: whatever stands in columns.

# The tables that an audit goes through, and what names a row of each: the first is the key.
UNIQUE: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "early_redactions": (("room_id", "target_id", "redaction_id"),),
    "event_edges": (("room_id", "target_nid", "kind", "source_nid"),),
    "event_gaps": (("room_id", "missing_id", "event_id"),),
    "events": (("event_nid",), ("event_id",), ("room_id", "place")),
    "membership_changes": (("user_id", "log_position", "room_id"),),
    "memberships": (("room_id", "user_id"),),
    "relations": (("event_nid",),),
    "room_roots": (("room_id", "log_position"),),
    "rooms": (("room_id",),),
    "shadowed_heads": (("room_id", "event_id", "head_id"),),
    "state_nodes": (("room_id", "digest"),),
    "threads": (("room_id", "root_id"),),
    "waiting_events": (("room_id", "event_id"),),
    "class_notifications": (("room_id", "class_key", "place"),),
    "personal_notifications": (("room_id", "user_id", "place"),),
    "receipts": (("room_id", "user_id", "receipt_type", "thread_id"),),
    "sent_places": (("user_id", "room_id", "thread_id"),),
}
# Those of users of this server; the others are of any room.
OF_READERS: Final = ("class_notifications", "personal_notifications", "receipts", "sent_places")
OF_ROOMS: Final = tuple(table for table in UNIQUE if table not in OF_READERS)
WHOLE_ROW: Final = "the whole row"
# What to put where there was nothing.
INSTEAD_OF_NULL: Final[Mapping[str, Any]] = {
    "aggregation_key": "x",
    "avatar_url": "mxc://one.example/a",
    "before": "join",
    "display_name": "Admin",
    "joined_place": 5,
    "log_position": 1,
    "place": 5,
    "purge_horizon": 5,
    "received_from": "elsewhere.example",
    "redacted_by": "$nothing",
    "replaces_state": "$nothing",
    "root_after": bytes(32),
    "root_before": bytes(32),
    "root_given_by": "elsewhere.example",
    "rules_content": b"{}",
    "state_key": "",
    "stripped_state": b"[]",
    "thread_id": "$nothing",
    "transaction_device": "PHONE",
    "transaction_id": "txn",
    "verdict_reason": "for no reason",
}


@dataclass(frozen=True)
class Damage:
    """A row that is deleted, or a column of it that gets another value; `row` is what it was."""

    table: str
    column: str
    row: Mapping[str, Any] = field(repr=False)
    value: Any = None

    @property
    def kept(self) -> Any:
        """What the column said."""
        return self.row.get(self.column)

    def apply(self, tx: Transaction) -> bool:
        """Do it; False where the database does not let it be done."""
        key = {f"key_{column}": self.row[column] for column in UNIQUE[self.table][0]}
        where = " AND ".join(f"{column} = :key_{column}" for column in UNIQUE[self.table][0])
        if self.column == WHOLE_ROW:
            return tx.run(f"DELETE FROM {self.table} WHERE {where}", **key) == 1
        if any(self.column in columns and self._is_taken(tx, columns) for columns in UNIQUE[self.table]):
            return False
        return tx.run(f"UPDATE {self.table} SET {self.column} = :value WHERE {where}", value=self.value, **key) == 1

    def _is_taken(self, tx: Transaction, columns: tuple[str, ...]) -> bool:
        row = {column: {**self.row, self.column: self.value}[column] for column in columns}
        where = " AND ".join(f"{column} = :{column}" for column in columns)
        return tx.one(f"SELECT 1 FROM {self.table} WHERE {where}", **row) is not None

    def __str__(self) -> str:
        key = ", ".join(f"{column} {self.row[column]!r}" for column in UNIQUE[self.table][0] if column != "room_id")
        changed = "" if self.column == WHOLE_ROW else f" from {self.kept!r:.60} to {self.value!r:.60}"
        return f"{self.table}.{self.column}{changed} where {key}"


def damages_of(tx: Transaction, room_id: RoomID, random: Random, tables: Iterable[str] = OF_ROOMS) -> Iterator[Damage]:
    """Every damage to a room's rows, with values that `random` chooses among those that stand elsewhere too."""
    for table in tables:
        columns = [row[0] for row in tx.all(COLUMNS[tx.dialect.name], table_name=table)]
        rows = [
            dict(zip(columns, map(_plain, row), strict=True))
            for row in tx.all(f"SELECT {', '.join(columns)} FROM {table} WHERE room_id = :room_id", room_id=room_id)
        ]
        for row in rows:
            yield Damage(table, WHOLE_ROW, row)
            for column in columns:
                others = [other[column] for other in rows if other[column] not in (None, row[column])]
                for value in _other_values(table, column, row[column], others, random):
                    yield Damage(table, column, row, value)


def sampled(damages: list[Damage], random: Random) -> list[Damage]:
    """Of each column one row, with all its damages."""
    by_column: dict[tuple[str, str], dict[str, list[Damage]]] = {}
    for damage in damages:
        rows = by_column.setdefault((damage.table, damage.column), {})
        rows.setdefault(str(sorted(damage.row.items(), key=str)), []).append(damage)
    return [damage for rows in by_column.values() for damage in random.choice(list(rows.values()))]


def one_of_each_table(damages: list[Damage], random: Random) -> list[Damage]:
    """Of each table one damage."""
    by_table: dict[str, list[Damage]] = {}
    for damage in damages:
        by_table.setdefault(damage.table, []).append(damage)
    return [random.choice(of_table) for of_table in by_table.values()]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _other_values(table: str, column: str, kept: Any, others: list[Any], random: Random) -> Iterator[Any]:
    """What a column may say instead: something near, nothing where that may be, what stands in another row."""
    if kept is None:
        yield INSTEAD_OF_NULL[column]
    elif column.startswith(("is_", "was_")) or column in ("notify", "highlight"):
        yield not kept
    elif isinstance(kept, int):
        yield kept + 1
    elif isinstance(kept, bytes) and kept:
        changed = bytearray(kept)
        changed[random.randrange(len(kept))] ^= 1 << random.randrange(7)
        yield bytes(changed)
    elif isinstance(kept, str):
        yield kept + "x"
    may_be_null = column in INSTEAD_OF_NULL and (
        table == "events" or (table not in OF_READERS and column not in ("log_position", "place"))
    )
    if kept is not None and may_be_null:
        yield None
    if others:
        yield random.choice(others)


# --- What an audit cannot see, and why ---


@dataclass(frozen=True)
class Blind:
    """Damages that pass unnoticed: to these columns, where `holds`."""

    table: str
    columns: tuple[str, ...]
    reason: str
    holds: Callable[[Damage], bool] = lambda _: True

    def excuses(self, damage: Damage) -> bool:
        """Whether this is why a damage was not seen."""
        return damage.table == self.table and damage.column in self.columns and self.holds(damage)


def _is_rejected(damage: Damage) -> bool:
    return bool(damage.row["verdict"] == Verdict.REJECTED)


def _is_other_word(damage: Damage) -> bool:
    return damage.kept is not None and damage.value is not None


def _is_in_thread(damage: Damage) -> bool:
    relates_to = orjson.loads(damage.row["pdu"])["content"].get("m.relates_to", {})
    return bool(relates_to.get("rel_type") == "m.thread")


def _loses_nothing(damage: Damage) -> bool:
    pdu = orjson.loads(damage.row["pdu"])
    takes_nothing = any(redact(pdu, version) == pdu for version in ROOM_VERSIONS.values())
    return {damage.kept, damage.value} == {Form.FULL, Form.WRONG_HASH} and takes_nothing


BLIND: Final = (
    Blind("events", ("is_outgoing",), "what is still to be sent follows from nothing"),
    Blind("events", ("transaction_device", "transaction_id"), "how it is shown, not what it is"),
    Blind("events", ("thread_id",), "what it said is gone", lambda damage: damage.row["form"] != Form.FULL),
    Blind(
        "events",
        ("thread_id",),
        "what relates to an event of a thread in another way may have come before it",
        lambda damage: damage.value is None and not _is_in_thread(damage),
    ),
    Blind("events", ("verdict_reason",), "words for a reader; whether there are any is seen", _is_other_word),
    Blind(
        "events",
        ("place",),
        "what counts is the order, and what is brought in from the past may find no place in it",
        lambda damage: damage.row["log_position"] is None or damage.value == damage.kept + 1,
    ),
    Blind("events", ("root_given_by",), "that it was given is seen, but not by whom", _is_other_word),
    Blind("events", ("root_given_by",), "what a rejected event lacked when it came, nobody knows", _is_rejected),
    Blind(
        "events",
        ("root_given_by",),
        "when what came from the past came is not known, nor whether it lacked then what is here now",
        lambda damage: damage.row["log_position"] is None,
    ),
    Blind(
        "events",
        ("root_before",),
        "what another server gave is nowhere else",
        lambda damage: damage.row["root_given_by"] is not None,
    ),
    Blind(
        "events",
        ("root_before",),
        "a rejected event without a state is as one that is known by its auth events alone",
        lambda damage: _is_rejected(damage) and damage.value is None,
    ),
    Blind(
        "events",
        ("log_position",),
        "where a state was given, the room's first event may have come after others",
        lambda damage: damage.row["type"] == "m.room.create" and damage.value is None,
    ),
    Blind("events", ("form",), "an event from which a redaction takes nothing is whole without it", _loses_nothing),
    Blind(
        "membership_changes",
        ("before",),
        "without a membership before: the member was out of the state",
        lambda damage: damage.value is None,
    ),
    Blind(
        "membership_changes", ("event_id",), "which of a user's events it was, if it was not the last", _is_other_word
    ),
    Blind("membership_changes", ("log_position",), "the state changed at other positions too, for other reasons"),
    Blind("membership_changes", ("written_ms",), "when it was written is noted once"),
    Blind(
        "memberships",
        ("is_forgotten", "stripped_state", "was_joined"),
        "what its user did and was shown",
    ),
    Blind(
        "memberships",
        ("joined_place",),
        "where a member came in by an event that had no place then",
        lambda damage: damage.row["place"] == 0,
    ),
    Blind("class_notifications", ("written_ms",), "when it was written is noted once"),
    Blind("personal_notifications", ("written_ms",), "when it was written is noted once"),
    Blind(
        "receipts",
        (WHOLE_ROW, "log_position", "receipt_type", "room_id", "thread_id", "ts", "user_id"),
        "what somebody has read follows from nothing; that a receipt stands where its event does is seen",
    ),
    Blind(
        "room_roots",
        (WHOLE_ROW, "log_position", "room_id"),
        "old states are forgotten, and not every event leaves one: unless a membership changed with it",
    ),
    Blind("room_roots", ("written_ms",), "when it was written is noted once"),
    Blind(
        "rooms",
        ("created_ms", "generation", "is_blocked", "is_partial", "is_published", "purge_horizon"),
        "what somebody decided, and no event says",
    ),
    Blind("waiting_events", ("received_from", "received_ms"), "where and when it came from is noted once"),
    Blind("waiting_events", (WHOLE_ROW, "room_id"), "an event for which nobody brought what it lacks is given up"),
)
