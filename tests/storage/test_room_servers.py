"""Which servers are in which room: against a naive recomputation from the memberships, at every position."""

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.migrations.runner import REVISIONS, statements_for
from homeserver.storage.room_servers import (
    Stay,
    count_members,
    give_servers,
    is_server_in_room,
    largest_servers,
    member_changes,
    servers_at,
    servers_in_room,
    servers_sharing_rooms,
    settle_given_servers,
    shares_room,
    shares_room_with_others,
    stays_in_rooms,
    sweep_stays,
)
from homeserver.storage.rooms import SYNC_HORIZON_MS
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

ROOMS = (RoomID("!one:a.example"), RoomID("!two:b.example"))
SERVERS = tuple(ServerName(f"{name}.example") for name in "abc")
USERS = tuple(UserID(f"@{name}:{server}") for name in ("x", "y") for server in SERVERS)
MEMBERSHIPS = ("join", "leave", "invite", "ban", None)
TABLES = ("room_servers", "memberships")
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Write:
    """What one transaction does to the memberships of a room."""

    room_id: RoomID
    changes: dict[UserID, str | None]


WRITES = st.lists(
    st.builds(
        Write, st.sampled_from(ROOMS), st.dictionaries(st.sampled_from(USERS), st.sampled_from(MEMBERSHIPS), max_size=4)
    ),
    max_size=12,
)


def member(room_id: RoomID, user_id: UserID, membership: str = "join") -> Membership:
    """A row of memberships."""
    return Membership(
        room_id=room_id,
        user_id=user_id,
        membership=membership,
        event_id=EventID("$event"),
        sender=user_id,
        place=0,
        log_position=0,
        display_name=None,
        avatar_url=None,
        is_local=False,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )


def joined(memberships: dict[UserID, str | None]) -> set[ServerName]:
    """The servers of the joined users."""
    return {server_name_of_user(user) for user, membership in memberships.items() if membership == "join"}


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES)
def test_servers_are_those_of_the_joined_members_at_every_position(db: SyncDatabase, writes: list[Write]) -> None:
    now: dict[RoomID, dict[UserID, str | None]] = {room_id: {} for room_id in ROOMS}
    history: list[dict[RoomID, set[ServerName]]] = [{room_id: set() for room_id in ROOMS}]
    db.write(empty, TABLES)

    for position, write in enumerate(writes, 1):
        members = now[write.room_id]
        steps = [
            (server_name_of_user(user), members.get(user), membership) for user, membership in write.changes.items()
        ]
        changes = member_changes(steps)
        members.update(write.changes)
        db.write(count_members, write.room_id, changes, position=position, now_ms=0)
        history.append({room_id: joined(now[room_id]) for room_id in ROOMS})

    for position, expected in enumerate(history):
        assert {room_id: db.read(servers_at, room_id, position) for room_id in ROOMS} == expected
    for room_id in ROOMS:
        assert db.read(servers_in_room, room_id) == history[-1][room_id]
        for server in SERVERS:
            assert db.read(is_server_in_room, room_id, server) == (server in history[-1][room_id])
    stays = db.read(stays_in_rooms, ROOMS, after=0)
    for position, expected in enumerate(history):
        found = {(stay.room_id, stay.server) for stay in stays if stay.covers(position)}
        assert found == {(room_id, server) for room_id, servers in expected.items() for server in servers}
    check_counts(db, now)


def check_counts(db: SyncDatabase, now: dict[RoomID, dict[UserID, str | None]]) -> None:
    """Fail unless each open row has as many members as are joined, and closed ones none."""
    rows = db.read(lambda tx: tx.all("SELECT room_id, server, until_position, joined_count FROM room_servers"))
    for room_id, members in now.items():
        counts = Counter(server_name_of_user(user) for user, membership in members.items() if membership == "join")
        assert {row[1]: row[3] for row in rows if row[0] == room_id and row[2] is None} == dict(counts)
    assert {row[3] for row in rows if row[2] is not None} <= {0}


def test_a_user_shares_rooms_with_the_servers_of_those_in_which_it_is_joined(db: SyncDatabase) -> None:
    a, b, c = SERVERS
    x_a, x_b = UserID("@x:a.example"), UserID("@x:b.example")

    def write(tx: Transaction) -> None:
        store_memberships(tx, [member(ROOMS[0], x_a), member(ROOMS[0], x_b), member(ROOMS[1], x_a, "leave")])
        count_members(tx, ROOMS[0], {a: 1, b: 1}, position=1, now_ms=0)
        count_members(tx, ROOMS[1], {c: 1}, position=2, now_ms=0)

    db.write(write)

    assert db.read(shares_room, b, x_a)
    assert not db.read(shares_room, c, x_a)
    assert db.read(servers_sharing_rooms, [x_a, x_b], but=a) == {x_a: {b}, x_b: {b}}
    assert db.read(servers_sharing_rooms, [], but=a) == {}
    assert db.read(shares_room_with_others, x_a, a)
    db.write(count_members, ROOMS[0], {b: -1}, position=3, now_ms=0)
    assert not db.read(shares_room_with_others, x_a, a)
    assert not db.read(shares_room, b, x_a)


def test_a_server_that_was_given_stays_until_all_members_are_known(db: SyncDatabase) -> None:
    a, b, c = SERVERS
    db.write(give_servers, ROOMS[0], [a, b], position=1)
    db.write(count_members, ROOMS[0], {a: 1, c: 1}, position=2, now_ms=0)
    db.write(count_members, ROOMS[0], {a: -1, c: -1}, position=3, now_ms=0)
    db.write(count_members, ROOMS[0], {b: 1}, position=4, now_ms=0)
    assert db.read(servers_in_room, ROOMS[0]) == {a, b}

    db.write(settle_given_servers, ROOMS[0], position=5, now_ms=0)

    assert db.read(servers_in_room, ROOMS[0]) == {b}
    assert db.read(servers_at, ROOMS[0], 4) == {a, b}
    assert db.read(servers_at, ROOMS[0], 2) == {a, b, c}
    db.write(count_members, ROOMS[0], {b: -1}, position=6, now_ms=0)
    assert db.read(servers_in_room, ROOMS[0]) == set()


def test_a_room_that_has_its_server_already_may_be_given_it_too(db: SyncDatabase) -> None:
    a, b, _ = SERVERS
    db.write(count_members, ROOMS[0], {a: 2}, position=1, now_ms=0)

    db.write(give_servers, ROOMS[0], [a, b], position=2)
    db.write(settle_given_servers, ROOMS[0], position=3, now_ms=0)

    assert db.read(servers_in_room, ROOMS[0]) == {a}
    assert db.read(stays_in_rooms, [ROOMS[0]], after=2) == [
        Stay(ROOMS[0], a, 1, None),
        Stay(ROOMS[0], b, 2, 3),
    ]


def test_stays_that_ended_long_ago_are_forgotten_and_others_are_kept(db: SyncDatabase) -> None:
    a, b, c = SERVERS
    db.write(count_members, ROOMS[0], {a: 1, b: 1, c: 1}, position=1, now_ms=0)
    db.write(count_members, ROOMS[0], {a: -1}, position=2, now_ms=0)
    db.write(count_members, ROOMS[0], {b: -1}, position=3, now_ms=2 * DAY_MS)

    swept = db.write(sweep_stays, SYNC_HORIZON_MS + DAY_MS, 10)

    assert swept == 1
    assert db.read(servers_at, ROOMS[0], 1) == {b, c}


def test_the_revision_fills_the_table_from_the_memberships(db: SyncDatabase) -> None:
    everybody = [member(room_id, user) for room_id in ROOMS for user in USERS]
    gone = {(ROOMS[0], user) for user in USERS if server_name_of_user(user) == SERVERS[2]}
    rows = [replace(one, membership="ban") if (one.room_id, one.user_id) in gone else one for one in everybody]
    revision = next(one for one in REVISIONS if one.name == "destinations")
    fill = next(sql for sql in statements_for(revision.sql, db.dialect) if sql.startswith("INSERT INTO room_servers"))
    db.write(store_memberships, rows)

    db.write(lambda tx: tx.run(fill))

    assert db.read(servers_at, ROOMS[0], 0) == set(SERVERS[:2])
    assert db.read(servers_in_room, ROOMS[1]) == set(SERVERS)
    check_counts(
        db, {room_id: {one.user_id: one.membership for one in rows if one.room_id == room_id} for room_id in ROOMS}
    )


def test_the_servers_with_the_most_members_are_told_first(db: SyncDatabase) -> None:
    a, b, c = SERVERS

    def fill(tx: Transaction) -> None:
        count_members(tx, ROOMS[0], {a: 1, b: 3, c: 2}, position=1, now_ms=0)
        count_members(tx, ROOMS[1], {a: 9}, position=2, now_ms=0)
        count_members(tx, ROOMS[1], {a: -9}, position=3, now_ms=0)

    db.write(fill)

    assert db.read(lambda tx: largest_servers(tx, ROOMS[0], but=c, limit=10)) == [b, a]
    assert db.read(lambda tx: largest_servers(tx, ROOMS[0], but=b, limit=1)) == [c]
    assert db.read(lambda tx: largest_servers(tx, ROOMS[1], but=b, limit=10)) == []
