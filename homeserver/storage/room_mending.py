"""What is written when rows of a room that follow from its events are put right. What is right: services/admin/."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.storage.database import Transaction
from homeserver.storage.events import Verdict
from homeserver.storage.graph_audit import Edge
from homeserver.storage.relation_audit import RelationRow, WrongThread
from homeserver.storage.room_index import RoomFacts
from homeserver.storage.room_words import set_facts
from homeserver.storage.unread_audit import NotificationRow

DELETE_EDGE = """
    DELETE FROM event_edges
     WHERE room_id = :room_id AND target_nid = :target AND kind = :kind AND source_nid = :source"""


def delete_edge(tx: Transaction, room_id: RoomID, edge: Edge) -> None:
    """An event does not name another one so."""
    tx.run(DELETE_EDGE, room_id=room_id, target=edge[0], kind=edge[1], source=edge[2])


DELETE_SHADOW = "DELETE FROM shadowed_heads WHERE room_id = :room_id AND event_id = :event_id AND head_id = :head_id"


def delete_shadow(tx: Transaction, room_id: RoomID, event_id: EventID, head_id: EventID) -> None:
    """An event does not stand on a head without being one."""
    tx.run(DELETE_SHADOW, room_id=room_id, event_id=event_id, head_id=head_id)


DELETE_GAP = "DELETE FROM event_gaps WHERE room_id = :room_id AND event_id = :event_id AND missing_id = :missing_id"


def delete_gap(tx: Transaction, room_id: RoomID, event_id: EventID, missing_id: EventID) -> None:
    """An event does not lack another one."""
    tx.run(DELETE_GAP, room_id=room_id, event_id=event_id, missing_id=missing_id)


DELETE_STRAY_GAPS = """
    DELETE FROM event_gaps WHERE room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = event_gaps.event_id AND e.room_id = :room_id)
       AND NOT EXISTS (SELECT 1 FROM waiting_events w
                        WHERE w.event_id = event_gaps.event_id AND w.room_id = :room_id)"""


def delete_stray_gaps(tx: Transaction, room_id: RoomID) -> int:
    """What lacks something is not here itself; how many rows said so."""
    return tx.run(DELETE_STRAY_GAPS, room_id=room_id)


SET_NUMBERS = "UPDATE rooms SET depth = :depth, last_place = :last_place WHERE room_id = :room_id"


def set_numbers(tx: Transaction, room_id: RoomID, *, depth: int, last_place: int) -> None:
    """How deep the room is, and where its last event stands."""
    tx.run(SET_NUMBERS, room_id=room_id, depth=depth, last_place=last_place)


SET_ROOT = "UPDATE rooms SET current_root = :root WHERE room_id = :room_id"


def set_current_root(tx: Transaction, room_id: RoomID, root: bytes) -> None:
    """What the current state is."""
    tx.run(SET_ROOT, room_id=room_id, root=root)


SET_HEADS = "UPDATE rooms SET heads = :heads WHERE room_id = :room_id"


def set_heads(tx: Transaction, room_id: RoomID, heads: Sequence[EventID]) -> None:
    """What nothing is built on yet."""
    tx.run(SET_HEADS, room_id=room_id, heads=orjson.dumps(list(heads)))


SET_LOGGED_ROOT = "UPDATE room_roots SET root = :root WHERE room_id = :room_id AND log_position = :log_position"


def set_root(tx: Transaction, room_id: RoomID, *, log_position: int, root: bytes) -> None:
    """What the current state became at a position."""
    tx.run(SET_LOGGED_ROOT, room_id=room_id, log_position=log_position, root=root)


DELETE_ROOT = "DELETE FROM room_roots WHERE room_id = :room_id AND log_position = :log_position"


def delete_root(tx: Transaction, room_id: RoomID, *, log_position: int) -> int:
    """The current state was the same as before at a position."""
    return tx.run(DELETE_ROOT, room_id=room_id, log_position=log_position)


SET_CHANGE = """
    UPDATE membership_changes SET membership = :membership, event_id = :event_id
     WHERE user_id = :user_id AND log_position = :log_position AND room_id = :room_id"""


def set_change(
    tx: Transaction, room_id: RoomID, user_id: str, *, log_position: int, membership: str, event_id: EventID
) -> None:
    """To what a membership changed at a position, and by which event."""
    tx.run(
        SET_CHANGE,
        room_id=room_id,
        user_id=user_id,
        log_position=log_position,
        membership=membership,
        event_id=event_id,
    )


DELETE_CHANGES = """
    DELETE FROM membership_changes WHERE room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM memberships m
                        WHERE m.room_id = :room_id AND m.user_id = membership_changes.user_id)
       AND EXISTS (SELECT 1 FROM events e
                    WHERE e.event_id = membership_changes.event_id AND e.room_id = :room_id
                      AND (e.type <> 'm.room.member' OR e.state_key IS NULL
                           OR e.state_key <> membership_changes.user_id))"""


def delete_changes_of_nobody(tx: Transaction, room_id: RoomID) -> int:
    """Nobody's membership changes by an event of somebody else; how many rows said so of users without a row."""
    return tx.run(DELETE_CHANGES, room_id=room_id)


SET_LOCAL = "UPDATE memberships SET is_local = :is_local WHERE room_id = :room_id AND user_id = :user_id"


def set_local(tx: Transaction, room_id: RoomID, user_id: str, *, is_local: bool) -> None:
    """Whether a member is a user of this server."""
    tx.run(SET_LOCAL, room_id=room_id, user_id=user_id, is_local=is_local)


FACTS = "SELECT room_type, name, is_encrypted, is_public FROM room_index WHERE room_id = :room_id"


def mend_facts(tx: Transaction, room_id: RoomID, facts: RoomFacts) -> int:
    """Have lists know of a room what it is; 1 if they knew something else."""
    row = tx.one(FACTS, room_id=room_id)
    if row is None:
        return 0
    known = RoomFacts(row[0], row[1], bool(row[2]), None if row[3] is None else bool(row[3]))
    if known == facts:
        return 0
    set_facts(tx, room_id, facts)
    return 1


MEND_JOINED = """
    UPDATE room_index
       SET joined_members = (SELECT COUNT(*) FROM memberships m WHERE m.room_id = :room_id AND m.membership = 'join')
     WHERE room_id = :room_id
       AND joined_members <> (SELECT COUNT(*) FROM memberships m WHERE m.room_id = :room_id AND m.membership = 'join')
"""
JOINED: Final = "SELECT user_id, log_position FROM memberships WHERE room_id = :room_id AND membership = 'join'"
PRESENT: Final = """
    SELECT server, since_position, joined_count, is_given FROM room_servers
     WHERE room_id = :room_id AND until_position IS NULL"""
SET_COUNT = """
    UPDATE room_servers SET joined_count = :joined_count, until_position = :until_position, ended_ms = :ended_ms
     WHERE room_id = :room_id AND server = :server AND since_position = :since_position"""
BEGIN_STAY = """
    INSERT INTO room_servers (room_id, server, since_position, until_position, joined_count, is_given, ended_ms)
    VALUES (:room_id, :server, :since_position, NULL, :joined_count, :is_given, NULL)
    ON CONFLICT (room_id, server, since_position) DO UPDATE SET
        until_position = NULL, joined_count = excluded.joined_count, ended_ms = NULL"""


def mend_counts(tx: Transaction, room_id: RoomID, own: ServerName, *, now_ms: int) -> int:
    """Count the joined members of a room anew, and those of each server; how many counts were wrong.

    Only while somebody of this server, `own`, is in it: what is known from outside is counted otherwise.
    """
    counts: Counter[ServerName] = Counter()
    since: dict[ServerName, int] = {}
    for user_id, position in tx.all(JOINED, room_id=room_id):
        server = server_name_of(UserID(user_id))
        if server is not None:
            counts[server] += 1
            since[server] = min(since.get(server, position), position)
    if not counts[own]:
        return 0
    mended = tx.run(MEND_JOINED, room_id=room_id)
    for server, since_position, count, is_given in tx.all(PRESENT, room_id=room_id):
        right = counts.pop(server, 0)
        if right != count:
            has_left = not right and not is_given
            mended += tx.run(
                SET_COUNT,
                room_id=room_id,
                server=server,
                since_position=since_position,
                joined_count=right,
                until_position=tx.log_position if has_left else None,
                ended_ms=now_ms if has_left else None,
            )
    for server, count in counts.items():
        row = {"room_id": room_id, "server": server, "since_position": since[server], "joined_count": count}
        mended += tx.run(BEGIN_STAY, **row, is_given=False)
    return mended


DELETE_CLASS_STRAYS = """
    DELETE FROM class_notifications WHERE room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e
                        WHERE e.room_id = class_notifications.room_id AND e.place = class_notifications.place)"""
DELETE_PERSONAL_STRAYS = """
    DELETE FROM personal_notifications WHERE room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e
                        WHERE e.room_id = personal_notifications.room_id AND e.place = personal_notifications.place)"""


def delete_stray_notifications(tx: Transaction, room_id: RoomID) -> int:
    """Nothing counts where there is no event; how many rows said so."""
    return tx.run(DELETE_CLASS_STRAYS, room_id=room_id) + tx.run(DELETE_PERSONAL_STRAYS, room_id=room_id)


LAST_SENT = """
    SELECT sender, COALESCE(thread_id, ''), MAX(place) FROM events
     WHERE room_id = :room_id AND state_key IS NULL AND verdict = :accepted AND place IS NOT NULL
     GROUP BY sender, COALESCE(thread_id, '')"""
SENT = "SELECT user_id, thread_id, place FROM sent_places WHERE room_id = :room_id"
STORE_SENT = """
    INSERT INTO sent_places (user_id, room_id, thread_id, place) VALUES (:user_id, :room_id, :thread_id, :place)
    ON CONFLICT (user_id, room_id, thread_id) DO UPDATE SET place = excluded.place"""
DELETE_SENT = "DELETE FROM sent_places WHERE user_id = :user_id AND room_id = :room_id AND thread_id = :thread_id"


def mend_sent_places(tx: Transaction, room_id: RoomID, server: ServerName, *, above: int) -> int:
    """Where users of `server`, this one, sent their last messages; how many rows were wrong.

    What stands at `above` or lower may have been for messages that were deleted since.
    """
    rows = tx.all(LAST_SENT, room_id=room_id, accepted=Verdict.ACCEPTED)
    right = {(row[0], row[1]): row[2] for row in rows if server_name_of(UserID(row[0])) == server}
    known = {(row[0], row[1]): row[2] for row in tx.all(SENT, room_id=room_id)}
    mended = 0
    for (user_id, thread_id), place in right.items():
        if known.get((user_id, thread_id)) != place:
            mended += tx.run(STORE_SENT, user_id=user_id, room_id=room_id, thread_id=thread_id, place=place)
    for (user_id, thread_id), place in known.items():
        if (user_id, thread_id) not in right and place > above:
            mended += tx.run(DELETE_SENT, user_id=user_id, room_id=room_id, thread_id=thread_id)
    return mended


MEND_RECEIPTS = """
    UPDATE receipts
       SET place = (SELECT e.place FROM events e WHERE e.event_id = receipts.event_id AND e.room_id = :room_id)
     WHERE room_id = :room_id
       AND EXISTS (SELECT 1 FROM events e
                    WHERE e.event_id = receipts.event_id AND e.room_id = :room_id AND e.place IS NOT NULL
                      AND (receipts.place IS NULL OR e.place <> receipts.place))"""


def mend_receipts(tx: Transaction, room_id: RoomID) -> int:
    """Have receipts stand where their events do; how many did not."""
    return tx.run(MEND_RECEIPTS, room_id=room_id)


SET_THREAD_ID = "UPDATE events SET thread_id = :thread_id WHERE event_nid = :event_nid"


def set_thread_id(tx: Transaction, nid: int, thread_id: str | None) -> None:
    """In which thread an event is."""
    tx.run(SET_THREAD_ID, event_nid=nid, thread_id=thread_id)


DELETE_RELATION = "DELETE FROM relations WHERE event_nid = :event_nid"
INSERT_RELATION = """
    INSERT INTO relations (event_nid, room_id, relates_to, rel_type, aggregation_key, type, sender, place)
    VALUES (:event_nid, :room_id, :relates_to, :rel_type, :aggregation_key, :type, :sender, :place)"""


def set_relation(tx: Transaction, nid: int, relation: RelationRow | None) -> None:
    """What an event relates to."""
    tx.run(DELETE_RELATION, event_nid=nid)
    if relation is not None:
        tx.run(
            INSERT_RELATION,
            event_nid=nid,
            room_id=relation.room_id,
            relates_to=relation.relates_to,
            rel_type=relation.rel_type,
            aggregation_key=relation.aggregation_key,
            type=relation.type,
            sender=relation.sender,
            place=relation.place,
        )


DELETE_STRAY_RELATIONS = """
    DELETE FROM relations WHERE room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e
                        WHERE e.event_nid = relations.event_nid AND e.room_id = relations.room_id)"""


def delete_stray_relations(tx: Transaction, room_id: RoomID) -> int:
    """What is not here relates to nothing; how many rows said so."""
    return tx.run(DELETE_STRAY_RELATIONS, room_id=room_id)


DELETE_THREAD = "DELETE FROM threads WHERE room_id = :room_id AND root_id = :root_id"
INSERT_THREAD = "INSERT INTO threads (room_id, root_id, latest_place) VALUES (:room_id, :root_id, :place)"


def set_thread(tx: Transaction, room_id: RoomID, thread: WrongThread) -> None:
    """Where the newest event of a thread is."""
    tx.run(DELETE_THREAD, room_id=room_id, root_id=thread.root_id)
    if thread.right is not None:
        tx.run(INSERT_THREAD, room_id=room_id, root_id=thread.root_id, place=thread.right)


SET_OF_CLASS = """
    INSERT INTO class_notifications (room_id, place, class_key, thread_id, sender, notify, highlight, written_ms)
    VALUES (:room_id, :place, :whose, :thread_id, :sender, :notify, :highlight, :written_ms)
    ON CONFLICT (room_id, class_key, place) DO UPDATE SET
        thread_id = excluded.thread_id, sender = excluded.sender, notify = excluded.notify,
        highlight = excluded.highlight"""
SET_OF_PERSON = """
    INSERT INTO personal_notifications (room_id, user_id, place, thread_id, notify, highlight, written_ms)
    VALUES (:room_id, :whose, :place, :thread_id, :notify, :highlight, :written_ms)
    ON CONFLICT (room_id, user_id, place) DO UPDATE SET
        thread_id = excluded.thread_id, notify = excluded.notify, highlight = excluded.highlight"""


def set_notification(tx: Transaction, room_id: RoomID, row: NotificationRow, *, now_ms: int) -> int:
    """What an event does to the unread counts of a class, or of a user; 1."""
    columns = {
        "room_id": room_id,
        "place": row.place,
        "whose": row.whose,
        "thread_id": row.thread_id,
        "notify": row.notify,
        "highlight": row.highlight,
        "written_ms": now_ms,
    }
    if isinstance(row.whose, bytes):
        return tx.run(SET_OF_CLASS, **columns, sender=row.sender)
    return tx.run(SET_OF_PERSON, **columns)


DELETE_OF_CLASS = "DELETE FROM class_notifications WHERE room_id = :room_id AND class_key = :whose AND place = :place"
DELETE_OF_PERSON = "DELETE FROM personal_notifications WHERE room_id = :room_id AND user_id = :whose AND place = :place"


def delete_notification(tx: Transaction, room_id: RoomID, whose: bytes | UserID, place: int) -> int:
    """An event does nothing to the unread counts of a class, or does for a user what it does for the user's class."""
    if isinstance(whose, bytes):
        return tx.run(DELETE_OF_CLASS, room_id=room_id, whose=whose, place=place)
    return tx.run(DELETE_OF_PERSON, room_id=room_id, whose=whose, place=place)
