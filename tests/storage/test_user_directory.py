"""Users by the words of their names, on both databases."""

from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID, server_name_of_user
from homeserver.core.room_versions import V12
from homeserver.storage.accounts import Account, AccountKind, find_account, insert_account, update_account
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, remove_memberships, store_memberships
from homeserver.storage.profiles import Profile, store_profile
from homeserver.storage.room_index import RoomFacts, note_activity
from homeserver.storage.room_servers import count_members
from homeserver.storage.rooms import RoomHead, insert_room, set_published
from homeserver.storage.user_directory import (
    KnownUser,
    Seeker,
    add_older_users,
    find_users,
    known_users,
    note_names,
    renew_names,
)
from tests.databases import SyncDatabase

ALICE, BOB, CAROL = (UserID(f"@{name}:example.org") for name in ("alice", "bob", "carol"))
REMOTE = UserID("@robert:elsewhere.example")
ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")


def make_room(tx: Transaction, room_id: RoomID, *, is_public: bool | None = False) -> None:
    head = RoomHead(room_id, V12, 0, b"root", (), 0, 0, is_blocked=False)
    insert_room(tx, head, created_ms=0)
    facts = RoomFacts(None, None, is_encrypted=False, is_public=is_public)
    note_activity(tx, room_id, position=1, bump_position=None, facts=facts)


def join(tx: Transaction, room_id: RoomID, user_id: UserID, name: str | None = None, membership: str = "join") -> None:
    """A membership and what is kept beside it."""
    if membership == "join":
        count_members(tx, room_id, {server_name_of_user(user_id): 1}, position=1, now_ms=0)
    member = Membership(
        room_id=room_id,
        user_id=user_id,
        membership=membership,
        event_id=EventID("$member"),
        sender=user_id,
        place=1,
        log_position=1,
        display_name=name,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )
    store_memberships(tx, [member])
    note_names(tx, {user_id: name})


def make_account(tx: Transaction, user_id: UserID, name: str | None = None) -> None:
    insert_account(tx, Account(user_id, AccountKind.USER, 0))
    store_profile(tx, user_id, Profile(name, None))


def found(db: SyncDatabase, word: str, **wishes: Any) -> list[UserID]:
    seeker = Seeker(wishes.get("by", ALICE), wishes.get("hidden", ()), wishes.get("finds_all", False))
    is_prefix, limit = wishes.get("is_prefix", True), wishes.get("limit", 99)
    return db.read(find_users, seeker, word, is_prefix=is_prefix, limit=limit)


def all_words(tx: Transaction, user_id: UserID) -> set[str]:
    return {row[0] for row in tx.all("SELECT word FROM user_words WHERE user_id = :user_id", user_id=user_id)}


def test_members_of_a_room_find_each_other_by_words_that_begin_so(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    for user_id, name in ((ALICE, None), (BOB, "Robert Tables"), (REMOTE, None), (CAROL, "Roberta")):
        db.write(join, ROOM, user_id, name)

    assert found(db, "robert") == [BOB, REMOTE, CAROL]
    assert found(db, "robert", is_prefix=False) == [BOB, REMOTE]
    assert found(db, "robert", limit=1) == [BOB]
    assert found(db, "robert", hidden=(BOB,)) == [REMOTE, CAROL]
    assert found(db, "tab") == [BOB]
    assert found(db, "robert", by=UserID("@stranger:example.org")) == []


def test_everybody_finds_those_in_a_public_or_published_room(db: SyncDatabase) -> None:
    db.write(make_room, ROOM, is_public=True)
    db.write(make_room, OTHER)
    db.write(join, ROOM, BOB)
    db.write(join, OTHER, CAROL)
    assert (found(db, "bob"), found(db, "carol")) == ([BOB], [])

    db.write(set_published, OTHER, is_published=True)
    facts = RoomFacts(None, None, is_encrypted=False, is_public=False)
    db.write(note_activity, ROOM, position=2, bump_position=None, facts=facts)

    assert (found(db, "bob"), found(db, "carol")) == ([], [CAROL])


def test_nobody_is_found_by_a_public_room_that_everybody_here_has_left(db: SyncDatabase) -> None:
    db.write(make_room, ROOM, is_public=True)
    db.write(join, ROOM, BOB)
    db.write(join, ROOM, REMOTE, "Robert")
    seeker = Seeker(ALICE, (), finds_all=False)
    assert found(db, "robert") == [REMOTE]
    assert db.read(known_users, seeker, [REMOTE])[0].names == [("Robert", None)]

    db.write(remove_memberships, ROOM, [BOB])
    db.write(count_members, ROOM, {server_name_of_user(BOB): -1}, position=2, now_ms=1)

    assert found(db, "robert") == []
    assert db.read(known_users, seeker, [REMOTE]) == [KnownUser(REMOTE, (), None)]


def test_accounts_are_found_where_all_are_until_they_are_closed(db: SyncDatabase) -> None:
    db.write(make_account, BOB, "Robert")
    db.write(note_names, {BOB: "Robert"})
    assert (found(db, "robert"), found(db, "robert", finds_all=True)) == ([], [BOB])

    def close(tx: Transaction) -> None:
        account = find_account(tx, BOB)
        assert account is not None
        update_account(tx, Account(BOB, AccountKind.USER, 0, is_deactivated=True))

    db.write(close)

    assert found(db, "robert", finds_all=True) == []


def test_only_those_who_are_in_a_room_share_it(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    db.write(join, ROOM, ALICE, membership="invite")
    db.write(join, ROOM, BOB)

    assert (found(db, "bob"), found(db, "alice", by=BOB)) == ([], [])


def test_who_is_in_a_private_room_is_not_found_there_by_themselves(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    db.write(join, ROOM, BOB)
    db.write(make_room, OTHER, is_public=True)
    db.write(join, OTHER, ALICE)

    assert (found(db, "bob", by=BOB), found(db, "alice", by=ALICE)) == ([], [ALICE])


def test_renewed_words_are_those_of_the_names_that_are_left(db: SyncDatabase) -> None:
    for room_id in (ROOM, OTHER):
        db.write(make_room, room_id)
    db.write(join, ROOM, BOB, "Robert Tables")
    db.write(join, OTHER, BOB, "田中")
    db.write(make_account, BOB, "Bobby")

    db.write(remove_memberships, ROOM, [BOB])
    db.write(renew_names, [BOB])
    assert db.read(all_words, BOB) == {"bob", "bobby", "田", "中", "田中"}

    db.write(remove_memberships, OTHER, [BOB])
    db.write(renew_names, [BOB, REMOTE])
    assert db.read(all_words, BOB) == {"bob", "bobby"}


def test_the_names_are_told_that_the_seeker_may_see(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    db.write(make_room, OTHER)
    for room_id, user_id, name in ((ROOM, ALICE, None), (ROOM, BOB, "Robert"), (OTHER, BOB, "Secret")):
        db.write(join, room_id, user_id, name)
    db.write(make_account, ALICE)

    known = db.read(known_users, Seeker(ALICE, (), finds_all=False), [BOB, ALICE])

    assert known == [KnownUser(BOB, [("Robert", None)], None), KnownUser(ALICE, [(None, None)], (None, None))]


def test_who_was_here_before_is_added_step_by_step(db: SyncDatabase) -> None:
    db.write(make_room, ROOM, is_public=None)
    for user_id in (ALICE, REMOTE):
        db.write(join, ROOM, user_id)
    db.write(make_account, CAROL, "Caroline")
    db.write(lambda tx: (tx.run("DELETE FROM user_words"), tx.run("UPDATE search_progress SET users_after = ''")))

    steps = 0
    while db.write(add_older_users, count=2):
        steps += 1

    assert steps == 2
    assert [db.read(all_words, user_id) for user_id in (ALICE, REMOTE)] == [{"alice"}, {"robert"}]
    assert db.read(all_words, CAROL) == {"carol", "caroline"}
    assert db.write(add_older_users, count=2) is False
