"""What of the change log is for which server: against a naive recomputation."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.outboxes import StoredOutbox, move_outgoing_position, store_outboxes
from homeserver.storage.outgoing_events import (
    SharedRoom,
    count_shared_rooms,
    insert_removal_notice,
    is_room_told,
    newest_positions_for,
    outgoing_events,
    outgoing_events_at,
    positions_for,
    removal_notices,
    shared_rooms,
    sweep_notices,
)
from homeserver.storage.room_servers import Stay, count_members
from homeserver.storage.rooms import SYNC_HORIZON_MS
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

ROOMS = tuple(RoomID(f"!{name}:example.org") for name in ("one", "two"))
SERVERS = tuple(ServerName(f"{name}.example") for name in "ab")
SENDERS = (UserID("@alice:example.org"), UserID(f"@fay:{SERVERS[0]}"))
TABLES = ("events", "room_servers", "removal_notices")
MOST = 1_000
INSERT = """
    INSERT INTO events (event_nid, event_id, room_id, log_position, type, sender, state_key, origin_server_ts, verdict,
                        form, is_outgoing, pdu)
    VALUES (:nid, :event_id, :room_id, :nid, :type, :sender, :state_key, 0, 0, 0, :is_outgoing, :pdu)"""


@dataclass(frozen=True)
class Written:
    """What stands at a position: a message, outgoing or not, or a server that comes, or goes."""

    room_id: RoomID
    sender: UserID
    is_outgoing: bool
    moved: ServerName | None
    notified: ServerName | None


LOGS = st.lists(
    st.builds(
        Written,
        st.sampled_from(ROOMS),
        st.sampled_from(SENDERS),
        st.booleans(),
        st.none() | st.sampled_from(SERVERS),
        st.none() | st.none() | st.sampled_from(SERVERS),
    ),
    max_size=25,
)


def write_log(tx: Transaction, log: list[Written]) -> list[Stay]:
    """Write rows as services/events/persistence.py does; when which server was where."""
    empty(tx, TABLES)
    present: dict[tuple[RoomID, ServerName], int] = {}
    stays: list[Stay] = []
    for position, written in enumerate(log, 1):
        insert(tx, position, written.room_id, written.sender, is_outgoing=written.is_outgoing)
        if written.notified is not None:
            insert_removal_notice(tx, written.notified, written.room_id, position=position, now_ms=0)
        if written.moved is None:
            continue
        key = (written.room_id, written.moved)
        since = present.pop(key, None)
        if since is None:
            present[key] = position
        else:
            stays.append(Stay(*key, since, position))
        change = {written.moved: 1 if since is None else -1}
        count_members(tx, written.room_id, change, position=position, now_ms=0)
    return stays + [Stay(*key, since, None) for key, since in present.items()]


def insert(
    tx: Transaction,
    position: int,
    room_id: RoomID,
    sender: UserID = SENDERS[0],
    *,
    is_outgoing: bool = True,
    state_key: str | None = None,
    event_type: str = "m.room.message",
) -> None:
    tx.run(
        INSERT,
        nid=position,
        event_id=f"${position}",
        room_id=room_id,
        type=event_type,
        sender=sender,
        state_key=state_key,
        is_outgoing=is_outgoing,
        pdu=b'{"n":%d}' % position,
    )


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=LOGS, after=st.integers(0, 10), length=st.integers(0, 25))
def test_a_server_gets_what_is_written_while_it_is_there(
    db: SyncDatabase, log: list[Written], after: int, length: int
) -> None:
    upto = after + length
    stays = db.write(write_log, log)

    for server in SERVERS:
        expected: set[int] = set()
        newest: set[int] = set()
        for stay in (stay for stay in stays if stay.server == server):
            during = [
                position
                for position, written in enumerate(log, 1)
                if after < position <= upto
                and written.is_outgoing
                and written.room_id == stay.room_id
                and stay.covers(position - 1)
                and not written.sender.endswith(f":{server}")
            ]
            expected.update(during)
            newest.update(during[-1:])
        notices = {
            position
            for position, written in enumerate(log, 1)
            if after < position <= upto and written.notified == server
        }
        everything = sorted(expected | notices)
        assert db.read(positions_for, server, after=after, upto=upto, most=MOST) == everything
        assert db.read(newest_positions_for, server, after=after, upto=upto, limit=MOST) == sorted(newest | notices)
        assert db.read(newest_positions_for, server, after=after, upto=upto, limit=2) == sorted(newest | notices)[:2]
        if everything:
            assert db.read(positions_for, server, after=after, upto=upto, most=len(everything) - 1) is None
    outgoing = [position for position, written in enumerate(log, 1) if written.is_outgoing and after < position <= upto]
    found = db.read(outgoing_events, after=after, upto=upto, limit=MOST)
    assert [event.position for event in found] == outgoing
    assert db.read(outgoing_events, after=after, upto=upto, limit=3) == found[:3]


def test_outgoing_events_are_found_by_their_positions_with_their_json(db: SyncDatabase) -> None:
    def write(tx: Transaction) -> None:
        insert(tx, 1, ROOMS[0])
        insert(tx, 2, ROOMS[0], is_outgoing=False)
        insert(tx, 3, ROOMS[1], SENDERS[1], event_type="m.room.member", state_key=SENDERS[0])
        insert(tx, 4, ROOMS[1], event_type="m.test", state_key="key")

    db.write(write)

    found = {event.position: event for event in db.read(outgoing_events_at, [1, 2, 3, 4, 5])}
    assert found.keys() == {1, 3, 4}
    assert (found[1].event_id, found[1].room_id, found[1].sender) == ("$1", ROOMS[0], SENDERS[0])
    assert found[1].pdu == b'{"n":1}'
    assert [found[position].state_key for position in (1, 3, 4)] == [None, SENDERS[0], None]
    assert db.read(outgoing_events_at, []) == []


def test_notices_are_kept_as_long_as_their_server_may_come_back(db: SyncDatabase) -> None:
    def write(tx: Transaction) -> None:
        insert_removal_notice(tx, SERVERS[0], ROOMS[0], position=1, now_ms=0)
        insert_removal_notice(tx, SERVERS[1], ROOMS[0], position=2, now_ms=5_000)

    db.write(write)

    assert db.write(sweep_notices, SYNC_HORIZON_MS + 1_000, 10) == 1

    assert db.read(removal_notices, after=0, upto=10) == [(2, SERVERS[1])]
    assert db.read(removal_notices, after=2, upto=10) == []


def test_a_room_is_told_when_the_log_was_read_and_nothing_waits_for_a_server_in_it(db: SyncDatabase) -> None:
    room_id, (there, elsewhere) = ROOMS[0], SERVERS
    nothing_yet = db.read(is_room_told, room_id)

    def write(tx: Transaction) -> None:
        count_members(tx, room_id, {there: 1}, position=1, now_ms=0)
        insert(tx, 2, room_id)

    db.write(write)
    unread = db.read(is_room_told, room_id)
    db.write(move_outgoing_position, 2)
    db.write(store_outboxes, [StoredOutbox(elsewhere, 1, None, is_behind=True, transaction=None)])
    read = db.read(is_room_told, room_id)
    db.write(store_outboxes, [StoredOutbox(there, 1, None, is_behind=True, transaction=None)])
    waiting = db.read(is_room_told, room_id)
    db.write(store_outboxes, [StoredOutbox(there, 2, None, is_behind=True, transaction=None)])

    assert nothing_yet
    assert not unread
    assert read
    assert not waiting
    assert db.read(is_room_told, room_id)


def test_rooms_are_shared_while_both_servers_are_there_and_what_was_delivered_there_is_known(db: SyncDatabase) -> None:
    own, (there, elsewhere) = ServerName("example.org"), SERVERS
    third = RoomID("!three:example.org")

    def write(tx: Transaction) -> None:
        for earlier, room_id in enumerate((*ROOMS, third), 20):
            count_members(tx, room_id, {own: 1}, position=1, now_ms=0)
            insert(tx, earlier, room_id)  # before the other server came
            count_members(tx, room_id, {there: 1}, position=30, now_ms=0)
        for position, room_id in ((31, ROOMS[0]), (33, ROOMS[0]), (35, ROOMS[1]), (36, ROOMS[0])):
            insert(tx, position, room_id, UserID("@alice:example.org"))
        insert(tx, 32, ROOMS[0], is_outgoing=False)
        insert(tx, 34, ROOMS[0], SENDERS[1])
        count_members(tx, third, {own: -1}, position=40, now_ms=0)

    def found(*, descends: bool = False, skipped: int = 0, limit: int = 9) -> list[SharedRoom]:
        return db.read(shared_rooms, there, own, descends=descends, skipped=skipped, limit=limit)

    db.write(write)
    unsent = found()
    db.write(store_outboxes, [StoredOutbox(there, 34, None, is_behind=True, transaction=None)])
    marked = found()
    db.write(store_outboxes, [StoredOutbox(there, 34, 5, is_behind=True, transaction=None)])

    one, two = SharedRoom(ROOMS[0], 33), SharedRoom(ROOMS[1], None)
    assert unsent == marked == [SharedRoom(room_id, None) for room_id in ROOMS]
    assert found() == [one, two]
    assert found(descends=True) == [two, one]
    assert found(limit=1) == found(descends=True, skipped=1) == [one]
    assert db.read(count_shared_rooms, there, own) == 2
    assert db.read(count_shared_rooms, own, own) == db.read(count_shared_rooms, elsewhere, own) == 0
