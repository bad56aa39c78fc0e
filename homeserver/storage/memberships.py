"""Who is in which room, now and before: as the current state has it, and how it changed.

The rows follow the room's current state; what may be asked of whom is decided in services/rooms/.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class Membership:
    """One user's membership in one room, as the room's current state has it.

    `place` is that of the member event, `joined_place` that of the one with which a joined user came in last;
    `log_position` where the membership row last changed; `stripped_state` the JSON list that an invited or knocking
    user is shown.
    """

    room_id: RoomID
    user_id: UserID
    membership: str
    event_id: EventID
    sender: UserID
    place: int
    log_position: int
    display_name: str | None
    avatar_url: str | None
    is_local: bool
    is_forgotten: bool
    stripped_state: bytes | None
    joined_place: int | None
    was_joined: bool = False  # the user has been in the room before


COLUMNS: Final = """room_id, user_id, membership, event_id, sender, place, log_position, display_name, avatar_url,
           is_local, is_forgotten, stripped_state, joined_place, was_joined"""

STORE = f"""
    INSERT INTO memberships ({COLUMNS})
    VALUES (:room_id, :user_id, :membership, :event_id, :sender, :place, :log_position, :display_name, :avatar_url,
            :is_local, :is_forgotten, :stripped_state, :joined_place, :was_joined)
    ON CONFLICT (room_id, user_id) DO UPDATE SET
        membership = excluded.membership, event_id = excluded.event_id, sender = excluded.sender,
        place = excluded.place, log_position = excluded.log_position, display_name = excluded.display_name,
        avatar_url = excluded.avatar_url, is_forgotten = excluded.is_forgotten,
        stripped_state = excluded.stripped_state, joined_place = excluded.joined_place,
        was_joined = excluded.was_joined"""  # noqa: S608 - the columns are a constant


def store_memberships(tx: Transaction, memberships: Sequence[Membership]) -> None:
    """Put these in place of what was known of the same users in the same rooms."""
    tx.insert_many(
        STORE,
        [
            {
                "room_id": one.room_id,
                "user_id": one.user_id,
                "membership": one.membership,
                "event_id": one.event_id,
                "sender": one.sender,
                "place": one.place,
                "log_position": one.log_position,
                "display_name": one.display_name,
                "avatar_url": one.avatar_url,
                "is_local": one.is_local,
                "is_forgotten": one.is_forgotten,
                "stripped_state": one.stripped_state,
                "joined_place": one.joined_place,
                "was_joined": one.was_joined,
            }
            for one in memberships
        ],
    )


REMOVE = "DELETE FROM memberships WHERE room_id = :room_id AND user_id IN :user_ids[text]"


def remove_memberships(tx: Transaction, room_id: RoomID, user_ids: Sequence[str]) -> None:
    """These users have no member event in the room's current state any more."""
    if user_ids:
        tx.run(REMOVE, room_id=room_id, user_ids=list(user_ids))


FIND = f"SELECT {COLUMNS} FROM memberships WHERE room_id = :room_id AND user_id = :user_id"  # noqa: S608


def find_membership(tx: Transaction, room_id: RoomID, user_id: UserID) -> Membership | None:
    """The user's membership in the room, forgotten or not; None for somebody who never had one."""
    row = tx.one(FIND, room_id=room_id, user_id=user_id)
    return None if row is None else _membership(row)


ROOMS_OF_USER = f"SELECT {COLUMNS} FROM memberships WHERE user_id = :user_id AND NOT is_forgotten"  # noqa: S608


def rooms_of_user(tx: Transaction, user_id: UserID) -> list[Membership]:
    """The user's memberships in every room that was not forgotten, in no order."""
    return [_membership(row) for row in tx.all(ROOMS_OF_USER, user_id=user_id)]


JOINED_ROOM_IDS = "SELECT room_id FROM memberships WHERE user_id = :user_id AND membership = 'join'"


def joined_room_ids(tx: Transaction, user_id: UserID) -> list[RoomID]:
    """The rooms in which the user is joined."""
    return [RoomID(row[0]) for row in tx.all(JOINED_ROOM_IDS, user_id=user_id)]


ROOM_IDS_OF_USER = """
    SELECT room_id FROM memberships WHERE user_id = :user_id AND membership IN :memberships[text] ORDER BY room_id"""


def room_ids_of_user(tx: Transaction, user_id: UserID, memberships: Sequence[str]) -> list[RoomID]:
    """The rooms in which the user has one of these memberships, forgotten or not."""
    rows = tx.all(ROOM_IDS_OF_USER, user_id=user_id, memberships=list(memberships))
    return [RoomID(row[0]) for row in rows]


READABLE_ROOM_IDS = """
    SELECT m.room_id FROM memberships m LEFT JOIN room_index x ON x.room_id = m.room_id
     WHERE m.user_id = :user_id AND NOT m.is_forgotten
       AND (m.membership = 'join' OR (m.was_joined AND m.membership IN ('leave', 'ban')))
     ORDER BY COALESCE(x.active_position, 0) DESC LIMIT :limit"""


def readable_room_ids(tx: Transaction, user_id: UserID, *, limit: int) -> list[RoomID]:
    """The rooms in which the user is or was, and which were not forgotten: those with the newest events first."""
    return [RoomID(row[0]) for row in tx.all(READABLE_ROOM_IDS, user_id=user_id, limit=limit)]


OF_USER_IN = f"""
    SELECT {COLUMNS} FROM memberships WHERE user_id = :user_id AND room_id IN :room_ids[text]"""  # noqa: S608


def memberships_of_user(tx: Transaction, user_id: UserID, room_ids: Sequence[str]) -> dict[RoomID, Membership]:
    """The user's memberships in these rooms, forgotten or not; rooms without one are left out."""
    if not room_ids:
        return {}
    rows = tx.all(OF_USER_IN, user_id=user_id, room_ids=list(room_ids))
    return {RoomID(row[0]): _membership(row) for row in rows}


MEMBERS_OF_ROOM = f"SELECT {COLUMNS} FROM memberships WHERE room_id = :room_id"  # noqa: S608


def members_of_room(tx: Transaction, room_id: RoomID) -> list[Membership]:
    """Everybody with a member event in the room's current state, whatever the membership."""
    return [_membership(row) for row in tx.all(MEMBERS_OF_ROOM, room_id=room_id)]


USER_IDS = "SELECT user_id FROM memberships WHERE room_id = :room_id AND NOT is_local"


def remote_user_ids(tx: Transaction, room_id: RoomID) -> list[UserID]:
    """Those users of other servers who have any membership in the room."""
    return [UserID(row[0]) for row in tx.all(USER_IDS, room_id=room_id)]


IN_ROOM = f"""
    SELECT {COLUMNS} FROM memberships WHERE room_id = :room_id AND user_id IN :user_ids[text]"""  # noqa: S608


def memberships_in_room(tx: Transaction, room_id: RoomID, user_ids: Sequence[str]) -> dict[UserID, Membership]:
    """The memberships of these users in the room; those who never had one are left out."""
    rows = tx.all(IN_ROOM, room_id=room_id, user_ids=list(user_ids))
    return {UserID(row[1]): _membership(row) for row in rows}


@dataclass(frozen=True, slots=True)
class MemberKey:
    """Whose membership in which room it is, and which it is."""

    room_id: RoomID
    user_id: UserID
    membership: str = ""


def _keys(rows: Iterable[tuple[Any, ...]]) -> list[MemberKey]:  # Any: whatever stands in columns
    return [MemberKey(RoomID(row[0]), UserID(row[1]), row[2]) for row in rows]


AFTER = """
    SELECT room_id, user_id, membership FROM memberships WHERE (room_id, user_id) > (:room_id, :user_id)
     ORDER BY room_id, user_id LIMIT :limit"""


def members_after(tx: Transaction, after: MemberKey, *, limit: int) -> list[MemberKey]:
    """Memberships in all rooms, in the order of rooms and users, from behind one of them."""
    return _keys(tx.all(AFTER, room_id=after.room_id, user_id=after.user_id, limit=limit))


AFTER_IN = """
    SELECT room_id, user_id, membership FROM memberships WHERE room_id = :room_id AND user_id > :user_id
     ORDER BY user_id LIMIT :limit"""


def members_after_in(tx: Transaction, after: MemberKey, *, limit: int) -> list[MemberKey]:
    """Memberships in one room, in the order of users, from behind one of them."""
    return _keys(tx.all(AFTER_IN, room_id=after.room_id, user_id=after.user_id, limit=limit))


OF_USER_AFTER = """
    SELECT room_id, user_id, membership FROM memberships WHERE user_id = :user_id AND room_id > :room_id
     ORDER BY room_id LIMIT :limit"""


def members_after_of(tx: Transaction, after: MemberKey, *, limit: int) -> list[MemberKey]:
    """Memberships of one user, in the order of rooms, from behind one of them."""
    return _keys(tx.all(OF_USER_AFTER, room_id=after.room_id, user_id=after.user_id, limit=limit))


def next_room_of_user(tx: Transaction, user_id: UserID, after: str) -> RoomID | None:
    """The room after this one, by room IDs, that a user has or had to do with; the first is after ""."""
    found = members_after_of(tx, MemberKey(RoomID(after), user_id), limit=1)
    return found[0].room_id if found else None


WITH_LOCAL = """
    SELECT DISTINCT room_id FROM memberships
     WHERE room_id IN :room_ids[text] AND membership = 'join' AND is_local"""


def rooms_with_local_members(tx: Transaction, room_ids: Sequence[str]) -> set[RoomID]:
    """Those of the rooms in which a user of this server is."""
    if not room_ids:
        return set()
    return {RoomID(row[0]) for row in tx.all(WITH_LOCAL, room_ids=list(room_ids))}


LOCAL_MEMBERS = """
    SELECT user_id, display_name FROM memberships
     WHERE room_id = :room_id AND membership = 'join' AND is_local"""


def local_members(tx: Transaction, room_id: RoomID) -> dict[UserID, str | None]:
    """The joined users of this server and their display names in the room."""
    return {UserID(row[0]): row[1] for row in tx.all(LOCAL_MEMBERS, room_id=room_id)}


MEMBERS_OF_SERVER = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND user_id LIKE :pattern
     ORDER BY CASE membership WHEN 'join' THEN 0 WHEN 'invite' THEN 1 ELSE 2 END, place LIMIT :limit"""


def members_of_server(tx: Transaction, room_id: RoomID, server: ServerName, *, limit: int) -> list[UserID]:
    """Users of a server with any membership in the room: who is in it first, and of these who came first."""
    # One database takes no heed of the case of letters, the other does. No wildcard is in a server's name.
    rows = tx.all(MEMBERS_OF_SERVER, room_id=room_id, pattern=f"%:{server}", limit=limit)
    return [UserID(row[0]) for row in rows if server_name_of(UserID(row[0])) == server]


HAS_MEMBER_OF_SERVER = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND membership = :membership AND user_id LIKE :pattern LIMIT 50"""


def has_member_of_server(tx: Transaction, room_id: RoomID, server: ServerName, membership: str) -> bool:
    """Whether any user of a server has this membership in the room."""
    rows = tx.all(HAS_MEMBER_OF_SERVER, room_id=room_id, membership=membership, pattern=f"%:{server}")
    return any(server_name_of(UserID(row[0])) == server for row in rows)


COUNTS = "SELECT membership, COUNT(*) FROM memberships WHERE room_id = :room_id GROUP BY membership"


def member_counts(tx: Transaction, room_id: RoomID) -> dict[str, int]:
    """How many users have each membership in the room."""
    return {row[0]: row[1] for row in tx.all(COUNTS, room_id=room_id)}


COUNTS_OF_ROOMS = """
    SELECT room_id, membership, COUNT(*) FROM memberships WHERE room_id IN :room_ids[text]
     GROUP BY room_id, membership"""


def member_counts_of_rooms(tx: Transaction, room_ids: Sequence[str]) -> dict[RoomID, dict[str, int]]:
    """How many users have each membership in each of the rooms."""
    counts: dict[RoomID, dict[str, int]] = {}
    if room_ids:
        for room_id, membership, count in tx.all(COUNTS_OF_ROOMS, room_ids=list(room_ids)):
            counts.setdefault(RoomID(room_id), {})[membership] = count
    return counts


HEROES = """
    SELECT room_id, user_id FROM (
        SELECT room_id, user_id,
               ROW_NUMBER() OVER (PARTITION BY room_id ORDER BY place, user_id) AS number FROM memberships
         WHERE room_id IN :room_ids[text] AND membership IN :memberships[text] AND user_id <> :user_id) AS numbered
     WHERE number <= :limit ORDER BY room_id, number"""


def hero_candidates(
    tx: Transaction, room_ids: Sequence[str], user_id: UserID, *, limit: int
) -> dict[RoomID, list[UserID]]:
    """Those of the others who may stand for rooms without a name: who is in each or invited, else who has left."""
    heroes: dict[RoomID, list[UserID]] = {}
    missing = list(room_ids)
    for memberships in (["join", "invite"], ["leave", "ban"]):
        if missing:
            for row in tx.all(HEROES, room_ids=missing, memberships=memberships, user_id=user_id, limit=limit):
                heroes.setdefault(RoomID(row[0]), []).append(UserID(row[1]))
        missing = [room_id for room_id in missing if room_id not in heroes]
    return heroes


SHOWN = """
    SELECT room_id, user_id, display_name, avatar_url FROM memberships
     WHERE room_id IN :room_ids[text] AND user_id IN :user_ids[text]"""


def shown_members(
    tx: Transaction, room_ids: Sequence[str], user_ids: Sequence[str]
) -> dict[tuple[RoomID, UserID], tuple[str | None, str | None]]:
    """Under which name and avatar these users are shown in each of these rooms."""
    if not room_ids or not user_ids:
        return {}
    rows = tx.all(SHOWN, room_ids=list(room_ids), user_ids=list(user_ids))
    return {(RoomID(row[0]), UserID(row[1])): (row[2], row[3]) for row in rows}


MUTUAL = """
    SELECT m.room_id FROM memberships m JOIN memberships o ON o.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND o.user_id = :other AND o.membership = 'join'
       AND m.room_id > :after ORDER BY m.room_id LIMIT :limit"""


def mutual_rooms(tx: Transaction, user_id: UserID, other: UserID, *, after: str, limit: int) -> list[RoomID]:
    """The rooms in which both users are joined, in the order of their IDs, those after `after`."""
    return [RoomID(row[0]) for row in tx.all(MUTUAL, user_id=user_id, other=other, after=after, limit=limit)]


COUNT_MUTUAL = """
    SELECT COUNT(*) FROM memberships m JOIN memberships o ON o.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND o.user_id = :other AND o.membership = 'join'"""


def count_mutual_rooms(tx: Transaction, user_id: UserID, other: UserID) -> int:
    """In how many rooms both users are joined."""
    row = tx.one(COUNT_MUTUAL, user_id=user_id, other=other)
    return 0 if row is None else int(row[0])


FORGET = """
    UPDATE memberships SET is_forgotten = :is_forgotten
     WHERE room_id = :room_id AND user_id = :user_id AND membership IN ('leave', 'ban')"""


def forget_room(tx: Transaction, room_id: RoomID, user_id: UserID) -> bool:
    """Hide a room from a user who left it. False when the user is not out of it."""
    return tx.run(FORGET, room_id=room_id, user_id=user_id, is_forgotten=True) > 0


REDACT_PROFILE = """
    UPDATE memberships SET display_name = NULL, avatar_url = NULL
     WHERE room_id = :room_id AND user_id = :user_id AND event_id = :event_id"""


def redact_profile(tx: Transaction, room_id: RoomID, user_id: str, event_id: EventID) -> None:
    """The member event was redacted: how it showed the user is gone, if it is still the newest."""
    tx.run(REDACT_PROFILE, room_id=room_id, user_id=user_id, event_id=event_id)


STRIPPED_STATES = """
    SELECT user_id, stripped_state FROM memberships WHERE room_id = :room_id AND stripped_state IS NOT NULL"""


def stripped_states(tx: Transaction, room_id: RoomID) -> list[tuple[UserID, bytes]]:
    """What those are shown of the room who are invited, or knock."""
    return [(UserID(row[0]), bytes(row[1])) for row in tx.all(STRIPPED_STATES, room_id=room_id)]


REPLACE_STRIPPED = """
    UPDATE memberships SET stripped_state = :stripped_state WHERE room_id = :room_id AND user_id = :user_id"""


def replace_stripped_state(tx: Transaction, room_id: RoomID, user_id: UserID, stripped_state: bytes) -> None:
    """Show the room in another way to somebody who is invited, or knocks."""
    tx.run(REPLACE_STRIPPED, room_id=room_id, user_id=user_id, stripped_state=stripped_state)


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One step of a user's membership in a room; `before` is None where there was none."""

    user_id: UserID
    log_position: int
    room_id: RoomID
    before: str | None
    membership: str
    event_id: EventID


INSERT_CHANGE = """
    INSERT INTO membership_changes (user_id, log_position, room_id, before, membership, event_id, written_ms)
    VALUES (:user_id, :log_position, :room_id, :before, :membership, :event_id, :written_ms)"""


def insert_changes(tx: Transaction, changes: Sequence[MembershipChange], *, written_ms: int) -> None:
    """Note how memberships changed."""
    tx.insert_many(
        INSERT_CHANGE,
        [
            {
                "user_id": one.user_id,
                "log_position": one.log_position,
                "room_id": one.room_id,
                "before": one.before,
                "membership": one.membership,
                "event_id": one.event_id,
                "written_ms": written_ms,
            }
            for one in changes
        ],
    )


CHANGES_OF_USER = """
    SELECT user_id, log_position, room_id, before, membership, event_id FROM membership_changes
     WHERE user_id = :user_id AND log_position > :after AND log_position <= :upto ORDER BY log_position"""


def changes_of_user(tx: Transaction, user_id: UserID, *, after: int, upto: int) -> list[MembershipChange]:
    """How the user's memberships went in (after, upto], oldest first."""
    return [_change(row) for row in tx.all(CHANGES_OF_USER, user_id=user_id, after=after, upto=upto)]


CHANGES_OF_ROOMS = """
    SELECT user_id, log_position, room_id, before, membership, event_id FROM membership_changes
     WHERE room_id IN :room_ids[text] AND log_position > :after AND log_position <= :upto ORDER BY log_position"""


def changes_of_rooms(tx: Transaction, room_ids: Sequence[str], *, after: int, upto: int) -> list[MembershipChange]:
    """How memberships in these rooms went in (after, upto], oldest first."""
    if not room_ids:
        return []
    return [_change(row) for row in tx.all(CHANGES_OF_ROOMS, room_ids=list(room_ids), after=after, upto=upto)]


SWEEP_CHANGES = """
    DELETE FROM membership_changes WHERE (user_id, log_position, room_id) IN (
        SELECT user_id, log_position, room_id FROM membership_changes WHERE written_ms < :before LIMIT :limit)"""


def sweep_changes(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget changes that only sync tokens older than the horizon (rooms.sync_horizon) would ask for."""
    return tx.run(SWEEP_CHANGES, before=now_ms - SYNC_HORIZON_MS, limit=limit)


def _membership(row: tuple[Any, ...]) -> Membership:
    return Membership(
        room_id=RoomID(row[0]),
        user_id=UserID(row[1]),
        membership=row[2],
        event_id=EventID(row[3]),
        sender=UserID(row[4]),
        place=row[5],
        log_position=row[6],
        display_name=row[7],
        avatar_url=row[8],
        is_local=bool(row[9]),
        is_forgotten=bool(row[10]),
        stripped_state=None if row[11] is None else bytes(row[11]),
        joined_place=row[12],
        was_joined=bool(row[13]),
    )


def _change(row: tuple[Any, ...]) -> MembershipChange:
    return MembershipChange(UserID(row[0]), row[1], RoomID(row[2]), row[3], row[4], EventID(row[5]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "memberships",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.bounded("one row per user and room"),
    ),
    Table(
        "membership_changes",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.expires(sweep_changes),
    ),
)
