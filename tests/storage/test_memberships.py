"""Who is in which room: whatever happened to the rows, every question has the answer that a list of them gives."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.storage.device_lists import recipients_among, recipients_of
from homeserver.storage.memberships import (
    MemberKey,
    Membership,
    MembershipChange,
    changes_of_rooms,
    changes_of_user,
    count_mutual_rooms,
    find_membership,
    forget_room,
    has_member_of_server,
    hero_candidates,
    insert_changes,
    joined_room_ids,
    local_members,
    member_counts,
    member_counts_of_rooms,
    members_after,
    members_after_in,
    members_after_of,
    members_of_room,
    members_of_server,
    memberships_in_room,
    mutual_rooms,
    next_room_of_user,
    redact_profile,
    remove_memberships,
    replace_stripped_state,
    room_ids_of_user,
    rooms_of_user,
    rooms_with_local_members,
    store_memberships,
    stripped_states,
    sweep_changes,
)
from homeserver.storage.rooms import SYNC_HORIZON_MS
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

ROOMS: Final = tuple(RoomID(f"!{name}:example.org") for name in ("room", "other", "third"))
# Capitals, small letters and signs sort otherwise by a language's rules than by their bytes.
USERS: Final = tuple(
    UserID(name) for name in ("@a:example.org", "@B:example.org", "@b:example.org", "@_:two.example", "@é:two.example")
)
EVENT_IDS: Final = tuple(EventID(f"${number}") for number in range(3))
SERVERS: Final = tuple(ServerName(name) for name in ("example.org", "two.example", "ample.org"))
RANKS: Final = {"join": 0, "invite": 1}  # of members of a server, which come first
MEMBERSHIPS: Final = ("join", "invite", "leave", "ban", "knock")

Place = tuple[RoomID, UserID]
Rows = dict[Place, Membership]


@dataclass
class Model:
    """The rows as they must be."""

    rows: Rows = field(default_factory=dict)

    def of_room(self, room_id: RoomID) -> dict[UserID, Membership]:
        """The rows of a room."""
        return {user_id: row for (room, user_id), row in self.rows.items() if room == room_id}

    def of_user(self, user_id: UserID) -> dict[RoomID, Membership]:
        """The rows of a user."""
        return {room_id: row for (room_id, user), row in self.rows.items() if user == user_id}

    def heroes(self, room_id: RoomID, user_id: UserID, limit: int) -> list[UserID]:
        """Who may stand for a room."""
        others = sorted((row.place, other) for other, row in self.of_room(room_id).items() if other != user_id)
        for kinds in (("join", "invite"), ("leave", "ban")):
            found = [other for _, other in others if self.rows[room_id, other].membership in kinds]
            if found:
                return found[:limit]
        return []


@dataclass(frozen=True)
class Store:
    """Rows are written, each of another user."""

    rows: tuple[Membership, ...]

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(store_memberships, self.rows)
        model.rows |= {(row.room_id, row.user_id): row for row in self.rows}


@dataclass(frozen=True)
class Remove:
    """Users are out of a room's state."""

    room_id: RoomID
    users: frozenset[UserID]

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(remove_memberships, self.room_id, sorted(self.users))
        for user_id in self.users:
            model.rows.pop((self.room_id, user_id), None)


@dataclass(frozen=True)
class Change:
    """Something is done to one row, if there is one."""

    room_id: RoomID
    user_id: UserID


@dataclass(frozen=True)
class Forget(Change):
    """A user forgets a room."""

    def apply(self, db: SyncDatabase, model: Model) -> None:
        row = model.rows.get((self.room_id, self.user_id))
        is_out = row is not None and row.membership in ("leave", "ban")
        assert db.write(forget_room, self.room_id, self.user_id) == is_out
        if row is not None and is_out:
            model.rows[self.room_id, self.user_id] = replace(row, is_forgotten=True)


@dataclass(frozen=True)
class Redact(Change):
    """A member event is redacted."""

    event_id: EventID

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(redact_profile, self.room_id, self.user_id, self.event_id)
        row = model.rows.get((self.room_id, self.user_id))
        if row is not None and row.event_id == self.event_id:
            model.rows[self.room_id, self.user_id] = replace(row, display_name=None, avatar_url=None)


@dataclass(frozen=True)
class Strip(Change):
    """What somebody is shown of a room is replaced."""

    stripped_state: bytes

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(replace_stripped_state, self.room_id, self.user_id, self.stripped_state)
        row = model.rows.get((self.room_id, self.user_id))
        if row is not None:
            model.rows[self.room_id, self.user_id] = replace(row, stripped_state=self.stripped_state)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    user_id = draw(st.sampled_from(USERS))
    names = st.none() | st.sampled_from(("Name", "\N{GRINNING FACE}"))
    return Membership(
        room_id=draw(st.sampled_from(ROOMS)),
        user_id=user_id,
        membership=draw(st.sampled_from(MEMBERSHIPS)),
        event_id=draw(st.sampled_from(EVENT_IDS)),
        sender=draw(st.sampled_from(USERS)),
        place=draw(st.integers(0, 3)),
        log_position=draw(st.integers(1, 9)),
        display_name=draw(names),
        avatar_url=draw(names),
        is_local=server_name_of(user_id) == "example.org",
        is_forgotten=draw(st.booleans()),
        stripped_state=draw(st.none() | st.just(b"[]")),
        joined_place=draw(st.none() | st.integers(0, 3)),
    )


ROOM_IDS = st.sampled_from(ROOMS)
USER_IDS = st.sampled_from(USERS)
Step = Store | Remove | Forget | Redact | Strip
STORES: st.SearchStrategy[Step] = st.builds(
    Store, st.lists(memberships(), max_size=6, unique_by=lambda row: (row.room_id, row.user_id)).map(tuple)
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    STORES,
    STORES,
    st.builds(Remove, ROOM_IDS, st.frozensets(USER_IDS, max_size=3)),
    st.builds(Forget, ROOM_IDS, USER_IDS),
    st.builds(Redact, ROOM_IDS, USER_IDS, st.sampled_from(EVENT_IDS)),
    st.builds(Strip, ROOM_IDS, USER_IDS, st.just(b"[1]")),
)
SETTINGS = settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(st.lists(STEPS, max_size=12), st.frozensets(USER_IDS), st.frozensets(ROOM_IDS), st.integers(1, 3))
def test_every_answer_follows_from_the_rows(
    db: SyncDatabase, steps: list[Step], users: frozenset[UserID], rooms: frozenset[RoomID], limit: int
) -> None:
    db.write(empty, ("memberships",))
    model = Model()

    for step in steps:
        step.apply(db, model)

    for room_id in ROOMS:
        of_room = model.of_room(room_id)
        assert {row.user_id: row for row in db.read(members_of_room, room_id)} == of_room
        asked = {user_id: row for user_id, row in of_room.items() if user_id in users}
        assert db.read(memberships_in_room, room_id, sorted(users)) == asked
        assert db.read(member_counts, room_id) == Counter(row.membership for row in of_room.values())
        joined = {one: row.display_name for one, row in of_room.items() if row.membership == "join"}
        assert db.read(local_members, room_id) == {
            user_id: name for user_id, name in joined.items() if of_room[user_id].is_local
        }
        shown = {user_id: row.stripped_state for user_id, row in of_room.items() if row.stripped_state is not None}
        assert dict(db.read(stripped_states, room_id)) == shown
        for server in SERVERS:
            theirs = {user_id: row for user_id, row in of_room.items() if server_name_of(user_id) == server}
            found_users = db.read(members_of_server, room_id, server, limit=10)
            ranks = [(RANKS.get(theirs[one].membership, 2), theirs[one].place) for one in found_users]
            assert set(found_users) == theirs.keys()
            assert ranks == sorted(ranks)
            for membership in MEMBERSHIPS:
                has_one = membership in {row.membership for row in theirs.values()}
                assert db.read(has_member_of_server, room_id, server, membership) is has_one
    _check_walks(db, model, limit)
    counts = {room_id: Counter(row.membership for row in model.of_room(room_id).values()) for room_id in rooms}
    assert db.read(member_counts_of_rooms, sorted(rooms)) == {one: each for one, each in counts.items() if each}
    for user_id in USERS:
        of_user = model.of_user(user_id)
        in_rooms = {room_id for room_id, row in of_user.items() if row.membership == "join"}
        assert set(db.read(joined_room_ids, user_id)) == in_rooms
        assert set(db.read(room_ids_of_user, user_id, ["join"])) == in_rooms
        assert db.read(room_ids_of_user, user_id, []) == []
        assert {row.room_id: row for row in db.read(rooms_of_user, user_id)} == {
            room_id: row for room_id, row in of_user.items() if not row.is_forgotten
        }
        recipients = {
            other
            for (room_id, other), row in model.rows.items()
            if room_id in in_rooms and row.membership in ("join", "invite")
        }
        assert db.read(recipients_of, user_id) == recipients
        assert db.read(recipients_among, user_id, USERS[:2]) == recipients & set(USERS[:2])
        for other in USERS:
            theirs_too = {room_id for room_id, row in model.of_user(other).items() if row.membership == "join"}
            mutual = sorted(in_rooms & theirs_too)
            assert db.read(count_mutual_rooms, user_id, other) == len(mutual)
            for after in ("", *ROOMS):
                expected = [room_id for room_id in mutual if room_id > after][:limit]
                assert db.read(mutual_rooms, user_id, other, after=after, limit=limit) == expected
        heroes = {room_id: model.heroes(room_id, user_id, limit) for room_id in rooms}
        found = db.read(hero_candidates, sorted(rooms), user_id, limit=limit)
        assert found == {room_id: each for room_id, each in heroes.items() if each}
        for room_id in ROOMS:
            assert db.read(find_membership, room_id, user_id) == of_user.get(room_id)


def _check_walks(db: SyncDatabase, model: Model, limit: int) -> None:
    """Going on from where a walk has come to, somebody sees each row once: of all rooms, or of one."""
    walked: list[MemberKey] = []
    after = MemberKey(RoomID(""), UserID(""))
    while page := db.read(members_after, after, limit=limit):
        walked, after = walked + page, page[-1]
    found = [((one.room_id, one.user_id), one.membership) for one in walked]
    assert len(found) == len(model.rows)
    assert dict(found) == {place: row.membership for place, row in model.rows.items()}
    for room_id in ROOMS:
        of_room: list[MemberKey] = []
        after = MemberKey(room_id, UserID(""))
        while page := db.read(members_after_in, after, limit=limit):
            of_room, after = of_room + page, page[-1]
        assert of_room == [one for one in walked if one.room_id == room_id]
    for user_id in USERS:
        of_user: list[MemberKey] = []
        after = MemberKey(RoomID(""), user_id)
        while page := db.read(members_after_of, after, limit=limit):
            of_user, after = of_user + page, page[-1]
        assert of_user == [one for one in walked if one.user_id == user_id]
        rooms_in_turn = ["", *(one.room_id for one in of_user), None]
        assert all(db.read(next_room_of_user, user_id, one or "") == other for one, other in pairwise(rooms_in_turn))
    local = {row.room_id for row in model.rows.values() if row.is_local and row.membership == "join"}
    assert db.read(rooms_with_local_members, ROOMS) == local


def changes() -> st.SearchStrategy[MembershipChange]:
    return st.builds(
        MembershipChange,
        USER_IDS,
        st.integers(1, 12),
        ROOM_IDS,
        st.none() | st.sampled_from(MEMBERSHIPS),
        st.sampled_from(MEMBERSHIPS),
        st.sampled_from(EVENT_IDS),
    )


CHANGES = st.lists(changes(), max_size=15, unique_by=lambda one: (one.user_id, one.log_position, one.room_id))


@SETTINGS
@given(st.lists(CHANGES, max_size=3), st.frozensets(ROOM_IDS), st.integers(0, 3), st.integers(0, 6))
def test_changes_are_found_between_positions_and_swept_when_they_are_old(
    db: SyncDatabase, groups: list[list[MembershipChange]], rooms: frozenset[RoomID], horizon: int, limit: int
) -> None:
    db.write(empty, ("membership_changes",))
    written: dict[tuple[UserID, int, RoomID], tuple[int, MembershipChange]] = {}
    for age, group in enumerate(groups):
        fresh = [one for one in group if (one.user_id, one.log_position, one.room_id) not in written]
        db.write(insert_changes, fresh, written_ms=age)
        written |= {(one.user_id, one.log_position, one.room_id): (age, one) for one in fresh}

    swept = db.write(sweep_changes, SYNC_HORIZON_MS + horizon, limit)

    left = {one for user_id in USERS for one in db.read(changes_of_user, user_id, after=0, upto=99)}
    old = {one for age, one in written.values() if age < horizon}
    gone = {one for _, one in written.values()} - left
    assert gone <= old
    assert swept == len(gone) == min(limit, len(old))
    for after, upto in ranges():
        inside = sorted((one for one in left if after < one.log_position <= upto), key=lambda one: one.log_position)
        for user_id in USERS:
            found = db.read(changes_of_user, user_id, after=after, upto=upto)
            assert [one.log_position for one in found] == [one.log_position for one in inside if one.user_id == user_id]
            assert set(found) == {one for one in inside if one.user_id == user_id}
        found = db.read(changes_of_rooms, sorted(rooms), after=after, upto=upto)
        assert [one.log_position for one in found] == [one.log_position for one in inside if one.room_id in rooms]
        assert set(found) == {one for one in inside if one.room_id in rooms}


def ranges() -> Iterator[tuple[int, int]]:
    """Some stretches of the log."""
    yield from ((0, 12), (3, 9), (5, 6), (12, 3))
