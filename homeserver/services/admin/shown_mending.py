"""Puts right what is kept beside events for those who read them: what relates to what, threads, and what is unread.

What is wrong with it is found in relation_audit.py and unread_audit.py. The events were checked before.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.event_audit import Kept
from homeserver.core.identifiers import ServerName
from homeserver.services.admin.audit_reading import Reading
from homeserver.services.admin.relation_audit import PageOfRelations
from homeserver.services.admin.unread_audit import PageOfUnread
from homeserver.storage import room_mending as mending
from homeserver.storage.relation_audit import wrong_threads
from homeserver.storage.room_audit import EventRow

THREADS_AT_ONCE: Final = 1_000


def mend_relations(reading: Reading, page: Sequence[EventRow], kept: Sequence[Kept]) -> int:
    """What some events relate to, and in which threads they are; how many rows were put right."""
    mended, related = 0, PageOfRelations(reading, page)
    for one in kept:
        for correction in related.corrections(one):
            mending.set_relation(reading.tx, correction.nid, correction.right.relation)
            mending.set_thread_id(reading.tx, correction.nid, correction.right.thread_id)
            mended += 1
    return mended


def mend_threads(reading: Reading) -> int:
    """What relates and is not here, and where the newest events of threads are; how many rows were put right."""
    tx, room_id = reading.tx, reading.room_id
    mended = mending.delete_stray_relations(tx, room_id)
    while wrong := wrong_threads(tx, room_id, limit=THREADS_AT_ONCE):
        for thread in wrong:
            mending.set_thread(tx, room_id, thread)
        mended += len(wrong)
    return mended


def mend_unread(
    reading: Reading, server_name: ServerName, page: Sequence[EventRow], kept: Sequence[Kept], now_ms: int
) -> int:
    """What some events do to unread counts; how many rows were put right. Members must be right."""
    mended, unread = 0, PageOfUnread(reading, server_name, page)
    for one in kept:
        for correction in list(unread.corrections(one)):
            if correction.right is None:
                mended += mending.delete_notification(reading.tx, reading.room_id, correction.whose, correction.place)
            else:
                mended += mending.set_notification(reading.tx, reading.room_id, correction.right, now_ms=now_ms)
    return mended
