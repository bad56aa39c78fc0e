"""What of a user's rows is exported."""

from homeserver.storage.schema import tables_of
from homeserver.storage.tables import Owner
from homeserver.storage.user_export import EVENTS, LEFT_OUT, PARTS, Kind, rows_of_part
from tests.databases import SyncDatabase
from tests.storage.test_users import filled, user

__all__ = ["filled"]


def test_of_each_table_that_belongs_to_users_it_is_said_whether_it_is_exported() -> None:
    exported = {part.table: part.owner for part in PARTS}

    owned = {table.name: table.owners[Owner.USER] for table in tables_of(Owner.USER)}
    assert {*exported, EVENTS, *LEFT_OUT} == set(owned)
    assert not {*exported, EVENTS} & set(LEFT_OUT)
    assert {table: owned[table] for table in exported} == exported


def test_each_part_is_read_after_any_of_its_rows(filled: SyncDatabase) -> None:
    for part in PARTS:
        after = ["" if part.columns[name] is Kind.TEXT else 0 for name in part.key]

        first = filled.read(rows_of_part, part, user("bob_1"), None, limit=9)

        assert filled.read(rows_of_part, part, user("bob_1"), after, limit=9) == first
        for row in first:
            key = [row[name] for name in part.key]
            later = filled.read(rows_of_part, part, user("bob_1"), key, limit=9)
            assert later == first[first.index(row) + 1 :]


def test_columns_are_told_as_what_they_are(filled: SyncDatabase) -> None:
    (account,) = filled.read(rows_of_part, PARTS[0], user("bob_1"), None, limit=9)

    assert account == {
        "user_id": user("bob_1"),
        "kind": "user",
        "appservice_id": None,
        "created_ms": 2,
        "rate_per_second": None,
        "rate_burst": None,
        "probation_until_ms": None,
        "is_admin": False,
        "is_deactivated": False,
        "is_erased": False,
        "is_locked": True,
        "is_suspended": True,
        "is_shadow_banned": False,
        "is_rate_limited": True,
    }
