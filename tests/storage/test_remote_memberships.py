"""Memberships in rooms elsewhere, and how they give way to the room."""

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.storage.memberships import Membership, find_membership, store_memberships
from homeserver.storage.remote_memberships import (
    RemoteMembership,
    find_remote_membership,
    remove_remote_memberships,
    store_remote_membership,
)
from tests.databases import SyncDatabase
from tests.forked_rooms import ALICE, BOB, CAROL
from tests.scenes import Scene

ONE = ServerName("one.example")


def invite_of(user_id: UserID) -> RemoteMembership:
    scene = Scene()
    event = scene.member(user_id, "invite", sender=ALICE, after=[scene.last])
    return RemoteMembership(EncodedEvent(event, encode_for(event.version, event.pdu)), ONE)


def row(room_id: RoomID, user_id: UserID, event_id: EventID) -> Membership:
    return Membership(
        room_id=room_id,
        user_id=user_id,
        membership="invite",
        event_id=event_id,
        sender=ALICE,
        place=0,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )


def put(db: SyncDatabase, user_id: UserID) -> RemoteMembership:
    membership = invite_of(user_id)
    event = membership.encoded.event
    db.write(store_remote_membership, user_id, membership)
    db.write(store_memberships, [row(event.room_id, user_id, event.event_id)])
    return membership


def test_the_event_is_found_as_long_as_the_membership_is_the_one_that_it_brought(db: SyncDatabase) -> None:
    bob, carol = put(db, BOB), put(db, CAROL)
    room_id = bob.encoded.event.room_id

    db.write(store_memberships, [row(room_id, CAROL, EventID("$newer"))])

    assert db.read(find_remote_membership, room_id, BOB) == bob
    assert db.read(find_remote_membership, room_id, CAROL) is None
    assert db.read(find_remote_membership, RoomID("!other:one.example"), BOB) is None
    assert carol.encoded.event.state_key == CAROL


def test_a_newer_event_takes_the_place_of_an_older_one(db: SyncDatabase) -> None:
    put(db, BOB)

    newer = put(db, BOB)

    assert db.read(find_remote_membership, newer.encoded.event.room_id, BOB) == newer


def test_when_the_server_comes_into_the_room_what_was_known_outside_goes_and_nothing_else(db: SyncDatabase) -> None:
    room_id = put(db, BOB).encoded.event.room_id
    put(db, CAROL)
    db.write(store_memberships, [row(room_id, CAROL, EventID("$newer"))])

    db.write(remove_remote_memberships, room_id)

    assert db.read(find_membership, room_id, BOB) is None
    assert db.read(find_membership, room_id, CAROL) is not None
    assert db.read(find_remote_membership, room_id, BOB) is None
