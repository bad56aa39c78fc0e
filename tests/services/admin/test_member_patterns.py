"""Kicks, bans and unbans of all whom a pattern names."""

from collections.abc import Sequence
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.member_patterns import Aim, MemberPatterns
from homeserver.services.admin.room_moderation import Removal, RoomModeration
from homeserver.services.admin.user_patterns import StepBounds, Users, users_by_pattern
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.accounts import Account, AccountKind, insert_account
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

RAIDERS = [UserID(f"@raid{number}:{SERVER}") for number in range(5)]
RAID = "@raid*:example.org"


@pytest.fixture
def patterns(world: World) -> MemberPatterns:
    return MemberPatterns(world.database, RoomModeration(world.event_creation))


def room_of(world: World, *members: UserID) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    for user_id in members:
        world.join(user_id, room_id)
    return room_id


def memberships(world: World, room_id: RoomID) -> dict[str, str]:
    events: Any = world.history(ALICE, room_id)  # Any: JSON
    return {
        one["state_key"]: one["content"]["membership"] for one in reversed(events) if one["type"] == "m.room.member"
    }


def found(patterns: MemberPatterns, aim: Aim) -> list[tuple[str, str]]:
    hits: list[tuple[str, str]] = []
    begin = None
    while True:
        page = now(patterns.find(aim, begin))
        hits += [(one.room_id, one.user_id) for one in page.found]
        begin = page.next
        if begin is None:
            return hits


def aim(removal: Removal, rooms: Sequence[RoomID] | None = None, **more: bool) -> Aim:
    return Aim(removal, users_by_pattern(RAID), rooms, **more)


def test_all_whom_a_pattern_names_are_banned_everywhere_and_others_stay(world: World, patterns: MemberPatterns) -> None:
    here, there = room_of(world, BOB, *RAIDERS[:3]), room_of(world, BOB, *RAIDERS[2:])

    befallen = found(patterns, aim(Removal.BAN))
    done = now(patterns.remove(aim(Removal.BAN), "raid", None))

    expected = sorted([(here, one) for one in RAIDERS[:3]] + [(there, one) for one in RAIDERS[2:]])
    assert befallen == expected
    assert [(one.room_id, one.user_id) for one in done.done] == expected
    assert (done.failed, done.next) == ([], None)
    for room_id, members in ((here, RAIDERS[:3]), (there, RAIDERS[2:])):
        assert memberships(world, room_id) == {ALICE: "join", BOB: "join", **dict.fromkeys(members, "ban")}
    assert found(patterns, aim(Removal.BAN)) == []
    assert found(patterns, aim(Removal.UNBAN)) == expected


def test_in_the_rooms_that_are_named_alone(world: World, patterns: MemberPatterns) -> None:
    rooms = [room_of(world, RAIDERS[0]) for _ in range(3)]

    done = now(patterns.remove(aim(Removal.KICK, [rooms[2], rooms[0], rooms[0]]), None, None))

    assert [one.room_id for one in done.done] == sorted([rooms[0], rooms[2]])
    assert [memberships(world, room_id)[RAIDERS[0]] for room_id in rooms] == ["leave", "join", "leave"]


@pytest.mark.parametrize("named", [False, True])
def test_steps_of_any_length_find_everybody_once(world: World, patterns: MemberPatterns, *, named: bool) -> None:
    rooms = [room_of(world, BOB, *RAIDERS) for _ in range(2)]
    whole = found(patterns, aim(Removal.KICK, rooms if named else None))
    moderation = RoomModeration(world.event_creation)
    short = [
        MemberPatterns(world.database, moderation, StepBounds(most, rows_per_read=3, most_reads=2, per_write=2))
        for most in (1, 2, 4, 100)
    ]

    for one in short:
        assert found(one, aim(Removal.KICK, rooms if named else None)) == whole

    begin, done = None, []
    while True:
        step = now(short[2].remove(aim(Removal.KICK, rooms if named else None), None, begin))
        done += [(one.room_id, one.user_id) for one in step.done]
        if (begin := step.next) is None:
            break
    assert done == whole
    assert len(whole) == 10


def test_who_has_left_is_banned_too_if_that_is_wanted(world: World, patterns: MemberPatterns) -> None:
    room_id = room_of(world, *RAIDERS[:2])
    now(world.membership.leave(RAIDERS[0], room_id, None))

    assert found(patterns, aim(Removal.BAN, [room_id])) == [(room_id, RAIDERS[1])]
    now(patterns.remove(aim(Removal.BAN, [room_id], includes_left=True), None, None))

    assert memberships(world, room_id) == {ALICE: "join", **dict.fromkeys(RAIDERS[:2], "ban")}


def test_administrators_of_this_server_are_spared(world: World, patterns: MemberPatterns) -> None:
    root = Account(RAIDERS[0], AccountKind.USER, created_ms=0, is_admin=True)
    world.sync_database.write(insert_account, root)
    room_id = room_of(world, *RAIDERS[:2])

    hits = now(patterns.find(aim(Removal.BAN), None)).found
    done = now(patterns.remove(aim(Removal.BAN), None, None))

    assert [(one.user_id, one.is_spared) for one in hits] == [(RAIDERS[0], True), (RAIDERS[1], False)]
    assert [one.user_id for one in done.done] == [RAIDERS[1]]
    assert [(one.user_id, one.reason) for one in done.failed] == [(RAIDERS[0], "An administrator of this server")]
    assert memberships(world, room_id)[RAIDERS[0]] == "join"


def test_somebody_who_is_named_is_meant_in_all_rooms_although_an_administrator(
    world: World, patterns: MemberPatterns
) -> None:
    world.sync_database.write(insert_account, Account(BOB, AccountKind.USER, created_ms=0, is_admin=True))
    rooms = sorted(room_of(world, BOB, *RAIDERS[:1]) for _ in range(3))
    moderation = RoomModeration(world.event_creation)
    short = MemberPatterns(world.database, moderation, StepBounds(most_found=2, rows_per_read=1))

    assert found(short, Aim(Removal.KICK, Users(BOB), None)) == [(room_id, BOB) for room_id in rooms]
    done = now(patterns.remove(Aim(Removal.KICK, Users(BOB), None), None, None))

    assert [one.room_id for one in done.done] == rooms
    assert [memberships(world, room_id)[BOB] for room_id in rooms] == ["leave"] * 3


def test_it_is_told_whom_nobody_here_may_remove(world: World, patterns: MemberPatterns) -> None:
    room_id = room_of(world, *RAIDERS[:2])
    levels = {"users": {ALICE: 100, RAIDERS[0]: 100}}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))

    done = now(patterns.remove(aim(Removal.BAN), None, None))

    assert [one.user_id for one in done.done] == [RAIDERS[1]]
    assert [one.user_id for one in done.failed] == [RAIDERS[0]]
    assert memberships(world, room_id)[RAIDERS[0]] == "join"


def test_a_room_in_which_nobody_of_this_server_is_fails_when_named_and_is_left_out_else(
    world: World, patterns: MemberPatterns
) -> None:
    room_id = room_of(world, BOB)
    now(world.membership.ban(ALICE, room_id, RAIDERS[0], None))
    for user_id in (ALICE, BOB):
        now(world.membership.leave(user_id, room_id, None))

    assert found(patterns, aim(Removal.UNBAN)) == []
    done = now(patterns.remove(aim(Removal.UNBAN, [room_id]), None, None))

    assert (done.done, len(done.failed)) == ([], 1)
    assert "No user of this server is in the room" in done.failed[0].reason


def test_what_makes_no_sense_is_refused(world: World, patterns: MemberPatterns) -> None:
    room_id = room_of(world, CAROL)
    wrong = (
        aim(Removal.KICK, []),
        aim(Removal.KICK, [room_id] * 501),
        aim(Removal.KICK, includes_left=True),
    )

    for one in wrong:
        with pytest.raises(InvalidParameter):
            now(patterns.find(one, None))
    for token in ("", "x", "!", "AAAA", "/w", "é"):
        with pytest.raises(InvalidParameter):
            now(patterns.find(aim(Removal.KICK), token))
    with pytest.raises(InvalidParameter):
        now(patterns.remove(aim(Removal.KICK), "x" * 5_000, None))
    with pytest.raises(NotFound):
        now(patterns.find(aim(Removal.KICK, [RoomID("!none:example.org")]), None))
