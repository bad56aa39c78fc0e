"""Sessions and tokens, as stored."""

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.storage.access_tokens import (
    ENDED_KEPT,
    Session,
    end_refresh_token,
    end_sessions,
    expire_successors,
    find_access_token,
    find_refresh_token,
    insert_access_token,
    insert_refresh_token,
    insert_session,
)
from homeserver.storage.accounts import Account, AccountKind, insert_account, update_account
from homeserver.storage.database import Transaction
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
PHONE = DeviceID("PHONE")


def begin(tx: Transaction, user_id: UserID = ALICE, device_id: DeviceID = PHONE) -> Session:
    insert_account(tx, Account(user_id, AccountKind.USER, 1, is_admin=True))
    return insert_session(tx, user_id, device_id, now_ms=1)


def give(tx: Transaction, session: Session, name: bytes, replaces: bytes | None = None) -> None:
    insert_access_token(tx, b"a" + name, session, now_ms=1, expires_ms=100, replaces=replaces)
    insert_refresh_token(tx, b"r" + name, session, now_ms=1, replaces=replaces)


def test_a_token_is_found_with_its_session_and_its_account(db: SyncDatabase) -> None:
    session = db.write(begin)
    db.write(insert_access_token, b"hash", session, now_ms=1, expires_ms=None, replaces=None)

    found = db.read(find_access_token, b"hash")

    assert found is not None
    assert found.session == session
    assert found.expires_ms is None
    assert found.is_admin
    assert found.kind is AccountKind.USER
    assert found.rate_limit is None
    assert db.read(find_access_token, b"other") is None
    limit = RateLimit(per_second=0.25, burst=4)
    db.write(update_account, Account(ALICE, AccountKind.USER, 1, rate_limit=limit, probation_until_ms=9))
    limited = db.read(find_access_token, b"hash")
    assert limited is not None
    assert (limited.rate_limit, limited.probation_until_ms) == (limit, 9)


def test_sessions_have_numbers_of_their_own(db: SyncDatabase) -> None:
    assert db.write(begin).session_id != db.write(begin).session_id


def test_an_exchanged_refresh_token_counts_until_it_is_ended(db: SyncDatabase) -> None:
    session = db.write(begin)
    db.write(give, session, b"1")
    db.write(give, session, b"2", b"r1")
    assert db.read(find_refresh_token, b"r1") is not None

    db.write(end_refresh_token, session, b"r1", now_ms=50)

    first = db.read(find_refresh_token, b"r1")
    assert first is not None
    assert first.ended_ms == 50
    second = db.read(find_refresh_token, b"r2")
    assert second is not None
    assert second.replaces is None
    access = db.read(find_access_token, b"a2")
    assert access is not None
    assert access.replaces is None
    assert db.read(find_access_token, b"a1") is not None


def test_few_refresh_tokens_are_remembered_after_their_end(db: SyncDatabase) -> None:
    session = db.write(begin)
    for number in range(ENDED_KEPT + 5):
        db.write(give, session, b"%d" % number)
        db.write(end_refresh_token, session, b"r%d" % number, now_ms=number)

    known = [number for number in range(ENDED_KEPT + 5) if db.read(find_refresh_token, b"r%d" % number) is not None]
    assert known == list(range(5, ENDED_KEPT + 5))


def test_expired_access_tokens_go_when_a_refresh_token_ends(db: SyncDatabase) -> None:
    session = db.write(begin)
    db.write(give, session, b"1")

    db.write(end_refresh_token, session, b"r1", now_ms=100)

    assert db.read(find_access_token, b"a1") is None


def test_a_second_exchange_ends_what_the_first_gave(db: SyncDatabase) -> None:
    session = db.write(begin)
    db.write(give, session, b"1")
    db.write(give, session, b"2", b"r1")

    assert db.write(expire_successors, session, b"r1", now_ms=7) == [b"a2"]

    ended = db.read(find_access_token, b"a2")
    assert ended is not None
    assert ended.expires_ms == 7
    assert db.read(find_refresh_token, b"r2") is None
    assert db.read(find_refresh_token, b"r1") is not None


def test_ending_the_sessions_of_a_device_leaves_those_of_other_users(db: SyncDatabase) -> None:
    alices, bobs = db.write(begin), db.write(begin, BOB)
    db.write(give, alices, b"1")
    db.write(give, bobs, b"2")

    db.write(end_sessions, ALICE, PHONE)

    assert db.read(find_access_token, b"a1") is None
    assert db.read(find_refresh_token, b"r1") is None
    assert db.read(find_access_token, b"a2") is not None
    assert db.read(find_refresh_token, b"r2") is not None
