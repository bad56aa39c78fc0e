"""Subscriptions to threads: what replaces what, and what changed since."""

from dataclasses import replace

from homeserver.core.identifiers import EventID
from homeserver.storage.thread_subscriptions import (
    ThreadSubscription,
    changed_subscriptions,
    find_subscription,
    may_subscribe_anew,
    store_subscription,
    subscribers,
)
from tests.databases import SyncDatabase
from tests.storage.related_rows import ALICE, BOB, OTHER, ROOM

ROOT, SECOND = EventID("$root"), EventID("$second")
MINE = ThreadSubscription(ALICE, ROOM, ROOT, is_subscribed=True, is_automatic=True, log_position=5)


def test_what_is_stored_last_is_found(db: SyncDatabase) -> None:
    ended = replace(MINE, is_subscribed=False, is_automatic=False, log_position=7)
    db.write(store_subscription, MINE)

    first = db.read(find_subscription, ALICE, ROOM, ROOT)
    db.write(store_subscription, ended)

    assert (first, db.read(find_subscription, ALICE, ROOM, ROOT)) == (MINE, ended)
    assert db.read(find_subscription, BOB, ROOM, ROOT) is None
    assert db.read(find_subscription, ALICE, OTHER, ROOT) is None


def test_what_changed_last_comes_first(db: SyncDatabase) -> None:
    changes = [replace(MINE, root_id=EventID(f"${number}"), log_position=number) for number in range(1, 6)]
    for change in (*changes, replace(MINE, user_id=BOB)):
        db.write(store_subscription, change)

    assert db.read(changed_subscriptions, ALICE, after=1, upto=4, limit=9) == changes[3:0:-1]
    assert db.read(changed_subscriptions, ALICE, after=0, upto=9, limit=2) == changes[4:2:-1]


def test_those_who_are_subscribed_to_a_thread_are_found(db: SyncDatabase) -> None:
    for change in (MINE, replace(MINE, user_id=BOB, is_subscribed=False), replace(MINE, user_id=BOB, root_id=SECOND)):
        db.write(store_subscription, change)

    assert db.read(subscribers, ROOM, ROOT, {ALICE, BOB}) == {ALICE}
    assert db.read(subscribers, ROOM, SECOND, {ALICE, BOB}) == {BOB}
    assert db.read(subscribers, OTHER, ROOT, {ALICE, BOB}) == set()
    assert db.read(subscribers, ROOM, ROOT, set()) == set()


def test_a_user_has_no_more_than_so_many(db: SyncDatabase) -> None:
    db.write(store_subscription, MINE)
    one = db.read(may_subscribe_anew, ALICE, 2)

    db.write(store_subscription, replace(MINE, root_id=SECOND, is_subscribed=False))

    assert (one, db.read(may_subscribe_anew, ALICE, 2), db.read(may_subscribe_anew, BOB, 2)) == (True, False, True)
