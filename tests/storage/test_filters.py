"""Stored filters: found by their user and ID, and not more than so many."""

from homeserver.core.identifiers import UserID
from homeserver.storage.filters import MOST_FILTERS, find_filter, store_filter
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_a_filter_is_found_by_its_own_user(db: SyncDatabase) -> None:
    db.write(store_filter, ALICE, "one", b'{"a":1}', now_ms=1)

    assert db.read(find_filter, ALICE, "one") == b'{"a":1}'
    assert db.read(find_filter, ALICE, "two") is None
    assert db.read(find_filter, BOB, "one") is None


def test_of_too_many_filters_the_one_uploaded_longest_ago_goes(db: SyncDatabase) -> None:
    for number in range(MOST_FILTERS):
        db.write(store_filter, ALICE, f"{number}", b"{}", now_ms=number)
    db.write(store_filter, ALICE, "0", b"{}", now_ms=MOST_FILTERS)
    db.write(store_filter, BOB, "bobs", b"{}", now_ms=0)

    db.write(store_filter, ALICE, "new", b"{}", now_ms=MOST_FILTERS + 1)

    assert db.read(find_filter, ALICE, "1") is None
    assert [db.read(find_filter, ALICE, kept) for kept in ("0", "2", "new")] == [b"{}"] * 3
    assert db.read(find_filter, BOB, "bobs") == b"{}"
