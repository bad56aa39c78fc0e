"""What the server itself says to its users."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.server_notices import Notice, NoticesUser, NoticeTransaction, ServerNotices
from homeserver.services.errors import BadState, CannotLeaveServerNoticeRoom, InvalidParameter, NotFound
from homeserver.storage.accounts import find_account
from homeserver.storage.memberships import find_membership
from homeserver.storage.notice_rooms import find_notice_room
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, SERVER, World, now

NOTICES = UserID(f"@_server:{SERVER}")
USER = NoticesUser(NOTICES, "Server", None, "Server notices")
TOLD = Notice({"msgtype": "m.text", "body": "told"})


def notices_of(world: World, user: NoticesUser = USER) -> ServerNotices:
    account_data = world.account_data
    return ServerNotices(world.event_creation, world.rooms, account_data, world.clock, user, SERVER)


@pytest.fixture
def notices(world: World) -> ServerNotices:
    for name in ("alice", "bob"):
        register(world, name)
    return notices_of(world)


def room_of(world: World, user_id: UserID) -> RoomID:
    room_id = world.sync_database.read(find_notice_room, user_id)
    assert room_id is not None
    return room_id


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def told(world: World, room_id: RoomID) -> list[Any]:  # Any: JSON
    return [each["content"]["body"] for each in world.history(NOTICES, room_id) if each["type"] == "m.room.message"]


def test_each_user_is_told_in_a_room_of_their_own_to_which_they_are_invited(
    world: World, notices: ServerNotices
) -> None:
    now(notices.send(ALICE, TOLD))
    now(notices.send(BOB, TOLD))
    now(notices.send(ALICE, replace(TOLD, content={"msgtype": "m.text", "body": "again"})))

    alices, bobs = room_of(world, ALICE), room_of(world, BOB)
    assert alices != bobs
    assert told(world, alices) == ["again", "told"]
    assert (membership(world, alices, ALICE), membership(world, alices, BOB)) == ("invite", None)
    tags = now(world.account_data.tags(ALICE, ALICE, alices))
    assert tags == {"m.server_notice": {}}


def test_the_invite_cannot_be_declined_and_who_joined_may_leave_and_is_invited_again(
    world: World, notices: ServerNotices
) -> None:
    now(notices.send(ALICE, TOLD))
    room_id = room_of(world, ALICE)

    with pytest.raises(CannotLeaveServerNoticeRoom):
        now(world.membership.leave(ALICE, room_id, None))
    with pytest.raises(CannotLeaveServerNoticeRoom):
        now(world.sending.set_state(ALICE, room_id, "m.room.member", ALICE, {"membership": "leave"}))
    still = membership(world, room_id, ALICE)
    world.join(ALICE, room_id)
    now(world.membership.leave(ALICE, room_id, None))
    left = membership(world, room_id, ALICE)
    now(notices.send(ALICE, TOLD))

    assert (still, left, membership(world, room_id, ALICE)) == ("invite", "leave", "invite")
    assert room_of(world, ALICE) == room_id


def test_other_invites_are_declined_as_before(world: World, notices: ServerNotices) -> None:
    now(notices.send(ALICE, TOLD))
    room_id = world.create_room(BOB, invite=(ALICE,))

    now(world.membership.leave(ALICE, room_id, None))

    assert membership(world, room_id, ALICE) == "leave"


def test_who_wants_no_invites_is_told_all_the_same(world: World, notices: ServerNotices) -> None:
    account_data = world.account_data
    now(account_data.put(ALICE, ALICE, None, "m.invite_permission_config", {"default_action": "block"}))

    now(notices.send(ALICE, TOLD))

    assert membership(world, room_of(world, ALICE), ALICE) == "invite"


def test_a_transaction_id_says_something_once(world: World, notices: ServerNotices) -> None:
    first = now(notices.send(ALICE, TOLD, NoticeTransaction("owner", "1")))
    again = now(notices.send(ALICE, TOLD, NoticeTransaction("owner", "1")))
    of_another = now(notices.send(ALICE, TOLD, NoticeTransaction("@root:example.org", "1")))

    assert first == again != of_another
    assert told(world, room_of(world, ALICE)) == ["told", "told"]


def test_a_room_in_which_the_server_cannot_speak_is_replaced(world: World, notices: ServerNotices) -> None:
    now(notices.send(ALICE, TOLD))
    blocked = room_of(world, ALICE)
    now(RoomBlocks(world.database, world.clock).block(blocked, None))

    now(notices.send(ALICE, TOLD))

    assert room_of(world, ALICE) != blocked
    assert told(world, room_of(world, ALICE)) == ["told"]


def test_the_server_is_called_as_the_settings_say_now(world: World, notices: ServerNotices) -> None:
    now(notices.send(ALICE, TOLD))
    room_id = room_of(world, ALICE)
    renamed = notices_of(world, replace(USER, display_name="House"))

    now(renamed.send(ALICE, TOLD))
    before = len(world.history(NOTICES, room_id))
    now(renamed.send(ALICE, TOLD))

    shown = now(world.timeline.state_event(world.viewer(NOTICES), room_id, "m.room.member", NOTICES, whole_event=False))
    assert shown == {"membership": "join", "displayname": "House"}
    assert len(world.history(NOTICES, room_id)) == before + 1


def test_other_users_of_that_name_keep_it(world: World, notices: ServerNotices) -> None:
    mistaken = notices_of(world, replace(USER, user_id=BOB))

    with pytest.raises(BadState, match=r"server_notices\.localpart"):
        now(mistaken.send(ALICE, TOLD))

    assert world.sync_database.read(find_notice_room, ALICE) is None


def test_nobody_else_is_told_anything_and_a_refusal_leaves_nothing_behind(world: World, notices: ServerNotices) -> None:
    now(world.deactivation.deactivate(BOB, erase=False))

    for refused, to, notice in (
        (NotFound, UserID(f"@nobody:{SERVER}"), TOLD),
        (NotFound, BOB, TOLD),
        (InvalidParameter, UserID("@bob:elsewhere.example"), TOLD),
        (InvalidParameter, NOTICES, TOLD),
        (InvalidParameter, ALICE, Notice({"membership": "ban"}, "m.room.member", ALICE)),
    ):
        with pytest.raises(refused):
            now(notices.send(to, notice))

    assert world.sync_database.read(find_account, NOTICES) is None


def test_who_closes_their_account_is_out_of_the_invite_too(world: World, notices: ServerNotices) -> None:
    now(notices.send(BOB, TOLD))

    now(world.deactivation.deactivate(BOB, erase=False))

    assert membership(world, room_of(world, BOB), BOB) == "leave"
