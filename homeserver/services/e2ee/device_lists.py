"""Whose devices changed, told to those who encrypt for them: who is in a room in which they are, or invited to it.

The specification speaks of users who share a room and leaves open whether those who are invited do. What is said in a
room is encrypted for them, so whoever is in it needs to know their devices; not the other way round.
Spec: client-server-api/#tracking-the-device-list-for-a-user. Other servers are told by services/federation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

from homeserver.core.identifiers import RoomID, UserID, server_name_of_user
from homeserver.runtime.clock import Clock
from homeserver.services.events.news import DeviceListWritten, News, OutgoingWritten
from homeserver.storage.cross_signing import private_changes_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_keys import device_keys_of_user
from homeserver.storage.device_lists import (
    CROSS_SIGNING,
    changed_device_lists,
    local_audience,
    note_device_list_change,
    note_device_update,
    recipients_among,
    recipients_in,
    recipients_of,
)
from homeserver.storage.log_leaps import is_left_out
from homeserver.storage.memberships import (
    MembershipChange,
    changes_of_rooms,
    changes_of_user,
    joined_room_ids,
)
from homeserver.storage.room_servers import shares_room_with_others
from homeserver.storage.rooms import sync_horizon
from homeserver.storage.streams import LogPosition, span_since


class DeviceLists:
    """Notes changes of users' devices and keys, and tells of them."""

    def __init__(self, database: Database, news: News, clock: Clock) -> None:
        self._database = database
        self._news = news
        self._clock = clock

    async def changes_since(self, user_id: UserID, position: int) -> tuple[set[UserID], set[UserID]]:
        """As `changes`, from a position on until now. Beyond the horizon of syncs everybody may have changed."""
        return await self._database.read(_changes_since, user_id, position)

    def note_change(self, tx: Transaction, user_id: UserID, device_ids: Collection[str] = (CROSS_SIGNING,)) -> None:
        """Devices of a user, their names, or the user's keys that sign others change in this transaction."""
        *others, last = dict.fromkeys(device_ids)
        for device_id in others:  # each has a position of its own: that is the update's ID for other servers
            tx.at_position(("device_updates",), partial(self._note_update_at, user_id=user_id, device_id=device_id))
        tables = ("device_list_changes", "device_updates")
        tx.at_position(tables, partial(self._note_change_at, user_id=user_id, device_id=last))

    def note_remote_change(self, tx: Transaction, user_id: UserID) -> None:
        """The devices or keys of another server's user change in this transaction, as far as is known here."""
        tx.at_position(("device_list_changes",), partial(self._note_remote_change_at, user_id=user_id))

    def announce(self, tx: Transaction, user_id: UserID) -> None:
        """Have all servers that share a room with a user look at the user's devices, of which none has changed."""
        devices = [device_id for device_id, keys in device_keys_of_user(tx, user_id).items() if keys]
        if devices:
            tx.at_position(("device_updates",), partial(self._announce_at, user_id=user_id, device_id=min(devices)))

    def _announce_at(self, tx: Transaction, position: int, *, user_id: UserID, device_id: str) -> None:
        self._note_update_at(tx, position, user_id=user_id, device_id=device_id)
        tx.after_commit(lambda: self._news.publish(OutgoingWritten(position), ()))

    def _note_update_at(self, tx: Transaction, position: int, *, user_id: UserID, device_id: str) -> None:
        note_device_update(tx, user_id, device_id, position=position, now_ms=self._clock.now_ms())

    def _note_change_at(self, tx: Transaction, position: int, *, user_id: UserID, device_id: str) -> None:
        self._note_update_at(tx, position, user_id=user_id, device_id=device_id)
        self._tell_at(tx, position, user_id, local_audience(tx, user_id))
        if shares_room_with_others(tx, user_id, server_name_of_user(user_id)):
            tx.after_commit(lambda: self._news.publish(OutgoingWritten(position), ()))

    def _note_remote_change_at(self, tx: Transaction, position: int, *, user_id: UserID) -> None:
        self._tell_at(tx, position, user_id, local_audience(tx, user_id) - {user_id})

    def _tell_at(self, tx: Transaction, position: int, user_id: UserID, audience: Collection[UserID]) -> None:
        note_device_list_change(tx, user_id, position)
        tx.after_commit(lambda: self._news.publish(DeviceListWritten(position, user_id), audience))


def changes(tx: Transaction, user_id: UserID, *, after: int, upto: int) -> tuple[set[UserID], set[UserID]]:
    """What a user's client needs to know of (after, upto]: whose keys it must ask for anew, and whose it may forget.

    The first are users in the same rooms, or invited to them, whose devices or keys changed, or who came into a room
    with the user or were invited to it, the user themself when their own changed, and those whom another device of the
    user verified. The second were in or invited to a room with the user at `after`, and are in none now.
    """
    updated = changed_device_lists(tx, after=after, upto=upto)
    come, gone = _come_and_gone(tx, user_id, after, upto)
    recipients = recipients_among(tx, user_id, updated | gone)
    left = gone - recipients
    private = private_changes_of(tx, user_id, after=after, upto=upto)
    return (updated & (recipients | {user_id})) | come | (private - left), left


def _changes_since(tx: Transaction, user_id: UserID, position: int) -> tuple[set[UserID], set[UserID]]:
    span = span_since(tx, LogPosition(position))
    if span.after < sync_horizon(tx) or is_left_out(tx, position):
        return recipients_of(tx, user_id) | {user_id}, set()
    return changes(tx, user_id, after=span.after, upto=span.upto)


class _Level(IntEnum):
    """How far somebody is in a room."""

    OUT = 0
    INVITED = 1
    JOINED = 2


@dataclass(frozen=True, slots=True)
class _Step:
    """How one user's membership in one room went from the beginning of a span to its end."""

    first: _Level
    last: _Level
    lowest: _Level

    @property
    def has_risen(self) -> bool:
        """Whether the user came into the room, or was invited; also who was away in between."""
        return self.last > self.lowest

    @property
    def was_joined(self) -> bool:
        return self.first is _Level.JOINED

    @property
    def is_joined(self) -> bool:
        return self.last is _Level.JOINED


def _come_and_gone(tx: Transaction, user_id: UserID, after: int, upto: int) -> tuple[set[UserID], set[UserID]]:
    """Who came into a room with the user within (after, upto], and who was in one at `after` of whom one is gone.

    Whoever is invited counts as being there for those who are joined. Who left and came back has come: meanwhile the
    server of one may have told that of the other nothing. So has who was invited and joins.
    """
    own = _steps(changes_of_user(tx, user_id, after=after, upto=upto))
    entered = {room_id for (room_id, _), step in own.items() if step.is_joined and step.has_risen}
    new = {room_id for room_id in entered if not own[room_id, user_id].was_joined}
    left = {room_id for (room_id, _), step in own.items() if step.was_joined and not step.is_joined}
    watched = left.union(joined_room_ids(tx, user_id)) - new
    others = _steps(changes_of_rooms(tx, tuple(watched), after=after, upto=upto))
    come: set[UserID] = set()
    gone: set[UserID] = set()
    for (room_id, other), step in others.items():
        if step.first is not _Level.OUT and (room_id in left or step.last is _Level.OUT):
            gone.add(other)
        elif step.has_risen and room_id not in left:
            come.add(other)
    for room_id, member in recipients_in(tx, tuple(entered | left)):
        if room_id in entered:
            come.add(member)
        elif (room_id, member) not in others:
            gone.add(member)
    return come - {user_id}, gone - {user_id}


def _steps(history: Sequence[MembershipChange]) -> Mapping[tuple[RoomID, UserID], _Step]:
    """From single changes, oldest first, to what came of them for each user and room."""
    steps: dict[tuple[RoomID, UserID], _Step] = {}
    for change in history:
        key = (change.room_id, change.user_id)
        known = steps.get(key)
        first = _level(change.before) if known is None else known.first
        last = _level(change.membership)
        lowest = min(first if known is None else known.lowest, last)
        steps[key] = _Step(first, last, lowest)
    return steps


def _level(membership: str | None) -> _Level:
    return {"join": _Level.JOINED, "invite": _Level.INVITED}.get(membership or "", _Level.OUT)
