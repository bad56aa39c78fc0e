"""Transaction IDs and what became of them."""

from homeserver.core.identifiers import UserID
from homeserver.storage.client_transactions import DAY_MS, find_outcome, forget_devices, insert_outcome, sweep
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
TODAY_MS = 20_000 * DAY_MS


def outcome(db: SyncDatabase, now_ms: int, scope: str = "send", device_id: str = "PHONE") -> str | None:
    """What the transaction ID "1" led to, asked at a time."""
    return db.read(find_outcome, ALICE, device_id, scope, "1", now_ms=now_ms)


def test_a_retry_after_midnight_finds_what_the_request_led_to(db: SyncDatabase) -> None:
    db.write(insert_outcome, ALICE, "PHONE", "send", "1", outcome="$event", now_ms=TODAY_MS - 1)

    assert outcome(db, TODAY_MS) == "$event"
    assert outcome(db, TODAY_MS + DAY_MS) == "$event"


def test_a_transaction_id_counts_for_its_device_and_path_alone(db: SyncDatabase) -> None:
    db.write(insert_outcome, ALICE, "PHONE", "send", "1", outcome="$event", now_ms=TODAY_MS)

    assert outcome(db, TODAY_MS, scope="redact") is None
    assert outcome(db, TODAY_MS, device_id="TABLET") is None


def test_a_device_that_is_gone_leaves_its_transaction_ids_free(db: SyncDatabase) -> None:
    for day, device_id in ((0, "PHONE"), (1, "PHONE"), (0, "TABLET")):
        now_ms = TODAY_MS - day * DAY_MS
        db.write(insert_outcome, ALICE, device_id, "send", "1", outcome="$event", now_ms=now_ms)

    db.write(forget_devices, ALICE, ["PHONE"])

    assert outcome(db, TODAY_MS) is None
    assert outcome(db, TODAY_MS, device_id="TABLET") == "$event"


def test_whole_days_are_swept_when_nobody_finds_them_any_more(db: SyncDatabase) -> None:
    for day in range(5):
        now_ms = TODAY_MS - day * DAY_MS
        db.write(insert_outcome, ALICE, "PHONE", "send", "1", outcome=f"${day}", now_ms=now_ms)

    swept = db.write(sweep, TODAY_MS, 100)

    assert swept == 2
    assert outcome(db, TODAY_MS) is not None
    assert db.write(sweep, TODAY_MS, 100) == 0
