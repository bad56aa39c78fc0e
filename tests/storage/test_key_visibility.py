"""Who may know of whom by the rooms that they have in common, on both databases."""

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.key_visibility import visible_to_server, visible_to_user
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.rooms import set_published
from tests.databases import SyncDatabase
from tests.storage.test_user_directory import ALICE, BOB, CAROL, OTHER, REMOTE, ROOM, join, make_room

ELSEWHERE, FAR = ServerName("elsewhere.example"), ServerName("far.example")
UNKNOWN = RoomID("!unknown:elsewhere.example")
ALL = (ALICE, BOB, CAROL)


def seen(db: SyncDatabase, viewer: UserID) -> set[UserID]:
    return db.read(visible_to_user, viewer, ALL)


def told(db: SyncDatabase, server: ServerName = ELSEWHERE) -> set[UserID]:
    return db.read(visible_to_server, server, ALL)


def invite_from_afar(tx: Transaction, user_id: UserID) -> None:
    """An invite to a room of which nothing else is known here."""
    member = Membership(
        room_id=UNKNOWN,
        user_id=user_id,
        membership="invite",
        event_id=EventID("$invite"),
        sender=REMOTE,
        place=0,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )
    store_memberships(tx, [member])


def test_whoever_is_in_no_room_is_seen_by_nobody_else(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    db.write(join, ROOM, BOB)

    assert seen(db, ALICE) == {ALICE}
    assert told(db) == set()
    assert db.read(visible_to_user, ALICE, ()) == {ALICE}
    assert db.read(visible_to_server, FAR, ()) == set()


def test_members_and_former_members_are_seen_by_those_who_are_there_or_invited(db: SyncDatabase) -> None:
    db.write(make_room, ROOM)
    for user_id, membership in ((ALICE, "join"), (BOB, "leave"), (CAROL, "invite")):
        db.write(join, ROOM, user_id, membership=membership)

    assert seen(db, ALICE) == seen(db, CAROL) == set(ALL)
    assert seen(db, BOB) == {BOB}


def test_members_of_public_rooms_that_are_not_blocked_are_seen_by_all(db: SyncDatabase) -> None:
    for room_id, is_public in ((ROOM, True), (OTHER, False)):
        db.write(make_room, room_id, is_public=is_public)
    db.write(set_published, OTHER, is_published=True)
    db.write(join, ROOM, BOB)
    db.write(join, OTHER, CAROL)
    open_to_all = seen(db, ALICE), told(db)
    db.write(lambda tx: tx.run("UPDATE rooms SET is_blocked = :yes", yes=True))

    assert open_to_all == (set(ALL), {BOB, CAROL})
    assert seen(db, ALICE) == {ALICE}
    assert told(db) == set()


def test_a_server_sees_those_in_its_rooms_and_in_those_to_which_its_users_are_invited(db: SyncDatabase) -> None:
    for room_id in (ROOM, OTHER):
        db.write(make_room, room_id)
    db.write(join, ROOM, BOB)
    db.write(join, OTHER, CAROL)
    db.write(join, ROOM, REMOTE, membership="invite")
    invited = told(db)

    db.write(join, OTHER, REMOTE)

    assert invited == {BOB}
    assert told(db) == {BOB, CAROL}
    assert told(db, FAR) == set()


def test_a_server_sees_those_whom_its_users_invited_to_rooms_that_are_not_known_here(db: SyncDatabase) -> None:
    db.write(invite_from_afar, BOB)

    assert told(db) == {BOB}
    assert told(db, FAR) == set()
