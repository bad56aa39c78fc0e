"""Which rooms an answer from the database shows, in which section, and what is asked about all of them at once.

Spec: client-server-api/#syncing. What each room says is in rooms.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.services.events.client_format import OUTSIDE
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.invite_permission import invite_rules
from homeserver.services.rooms.readers import Readers
from homeserver.services.sync.memory import SyncMemory, keep_newer
from homeserver.services.sync.request import SyncRequest, Window
from homeserver.services.sync.rooms import RoomPart, SyncRooms
from homeserver.services.sync.summaries import Summary, read_summaries, was_renamed
from homeserver.services.sync.unread import Unread
from homeserver.storage.account_data import AccountData, account_data_since, all_account_data
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, StoredEvent, Verdict, rooms_with_news
from homeserver.storage.memberships import (
    Membership,
    MembershipChange,
    changes_of_rooms,
    changes_of_user,
    memberships_of_user,
    rooms_of_user,
)
from homeserver.storage.partial_rooms import partial_among
from homeserver.storage.receipts import Receipt, receipts_of_rooms, receipts_since
from homeserver.storage.remote_memberships import find_remote_membership
from homeserver.storage.rooms import roots_at

TypingNow = Mapping[RoomID, Sequence[UserID]]
Section = dict[RoomID, Any]  # Any: JSON


@dataclass(slots=True)
class _Question:
    """One answer in the making."""

    tx: Transaction
    request: SyncRequest
    window: Window
    typing: TypingNow
    ignored: frozenset[str]
    memberships: Mapping[RoomID, Membership]  # in rooms that the filter lets through
    changes: dict[RoomID, list[MembershipChange]] = field(default_factory=dict)  # the user's own, in the window
    # Rooms that were not known as a whole at the token, and where in the log they became so, if they did.
    partial: Mapping[RoomID, int | None] = field(default_factory=dict)

    @property
    def user_id(self) -> UserID:
        return self.request.viewer.user_id

    def is_new(self, room_id: RoomID) -> bool:
        """Whether the client does not know the room as joined."""
        if self.window.after is None or (room_id in self.partial and not self.is_lazy):
            return True
        changes = self.changes.get(room_id)
        return changes is not None and changes[0].before != "join"

    @property
    def is_lazy(self) -> bool:
        """Whether the client can do without members at first."""
        return self.request.filter.room.state.lazy_load_members

    @property
    def unfinished(self) -> set[RoomID]:
        """The rooms that are not known as a whole at the end of the window."""
        upto = self.window.upto
        return {room_id for room_id, position in self.partial.items() if position is None or position > upto}

    def became_whole(self, room_id: RoomID) -> bool:
        """Whether all of a room is known since the token."""
        return room_id in self.partial and room_id not in self.unfinished

    def was_there_before(self, room_id: RoomID) -> bool:
        """Whether a room that is new may have been joined earlier: then the client has an old part of its timeline."""
        return room_id in self.changes and self.changes[room_id][0].before is not None


@dataclass(frozen=True, slots=True)
class _Roots:
    """Current states of rooms, when the window began and when it ended."""

    before: Mapping[RoomID, bytes]
    after: Mapping[RoomID, bytes]


class RoomLists:
    """Reads the rooms of an answer."""

    def __init__(
        self, rooms: SyncRooms, states: RoomStates, unread: Unread, readers: Readers, memory: SyncMemory
    ) -> None:
        self._rooms = rooms
        self._states = states
        self._unread = unread
        self._readers = readers
        self._memory = memory

    def sections(self, tx: Transaction, request: SyncRequest, window: Window, typing: TypingNow) -> dict[str, Section]:
        """`rooms` of the response; sections without a room are left out."""
        user_id, allows_room = request.viewer.user_id, request.filter.room.allows_room
        memberships = {one.room_id: one for one in rooms_of_user(tx, user_id) if allows_room(one.room_id)}
        asked = _Question(tx, request, window, typing, self._ignored_users(tx, user_id), memberships)
        if window.after is not None:
            for change in changes_of_user(tx, user_id, after=window.after, upto=window.upto):
                asked.changes.setdefault(change.room_id, []).append(change)
        # A room may be forgotten before every device knows that it was left: of that much each is told.
        forgotten = [room_id for room_id in asked.changes if room_id not in memberships and allows_room(room_id)]
        memberships.update(memberships_of_user(tx, user_id, forgotten))
        joined = [room_id for room_id, one in memberships.items() if one.membership == "join"]
        asked.partial = partial_among(tx, joined, after=-1 if window.after is None else window.after)
        account_data = _room_account_data(asked)
        sections = {
            "join": self._joined(asked, account_data),
            "invite": _stripped(asked, "invite"),
            "knock": _stripped(asked, "knock"),
            "leave": self._left(asked, account_data),
        }
        return {name: rooms for name, rooms in sections.items() if rooms}

    def _joined(self, asked: _Question, account_data: Mapping[RoomID, Sequence[AccountData]]) -> Section:
        tx, window, full_state = asked.tx, asked.window, asked.request.full_state
        # A client that loads no members lazily would take those that are known for all: it waits for the others.
        hidden = set() if asked.is_lazy else asked.unfinished
        joined = [
            room_id for room_id, one in asked.memberships.items() if one.membership == "join" and room_id not in hidden
        ]
        fresh = {room_id for room_id in joined if asked.is_new(room_id)}
        going_on = [room_id for room_id in joined if room_id not in fresh]
        receipts = _receipts(asked, sorted(fresh), going_on)
        with_news: set[RoomID] = set()
        if window.after is not None:
            with_news = rooms_with_news(tx, going_on, after=window.after, upto=window.upto)
            with_news.update(room_id for room_id in going_on if asked.became_whole(room_id))
        rooted = {*joined} if full_state else fresh | with_news
        roots = _Roots(
            roots_at(tx, sorted(with_news), at=window.after or 0) if with_news else {},
            roots_at(tx, sorted(rooted), at=window.upto) if rooted else {},
        )
        touched = {room_id for room_id in going_on if room_id in account_data} | receipts.keys() | asked.typing.keys()
        shown = [room_id for room_id in joined if room_id in rooted or room_id in touched]
        summaries = self._summaries(asked, roots, fresh, with_news)
        unread = (
            self._unread.read(tx, asked.user_id, shown, position=window.upto, ignored=asked.ignored) if shown else {}
        )
        sections: Section = {}
        for room_id in shown:
            nothing_new = room_id not in rooted
            known = None if room_id in fresh or full_state else roots.before.get(room_id, EMPTY_ROOT)
            membership = asked.memberships[room_id]
            part = RoomPart(
                room_id=room_id,
                window=Window(None if room_id in fresh else window.after, window.upto),
                position=window.upto,
                before=EMPTY_ROOT if nothing_new else known,
                after=EMPTY_ROOT if nothing_new else roots.after[room_id],
                joined_from=membership.joined_place,
                member_upto=EVERYWHERE,
                has_gap=room_id in fresh and asked.was_there_before(room_id),
                events=() if nothing_new else None,
                receipts=receipts.get(room_id, ()),
                typing=asked.typing.get(room_id),
                account_data=account_data.get(room_id, ()),
                summary=summaries.get(room_id),
                unread=unread[room_id],
                ignored=asked.ignored,
            )
            section = self._rooms.joined(tx, asked.request, part)
            if section is not None:
                sections[room_id] = section
        return sections

    def _summaries(
        self, asked: _Question, roots: _Roots, fresh: Iterable[RoomID], with_news: Iterable[RoomID]
    ) -> Mapping[RoomID, Summary]:
        """The summaries of the rooms where they may have changed."""
        tx, window = asked.tx, asked.window
        wanted = set(roots.after) if asked.request.full_state else set(fresh)
        if window.after is not None:
            moves = changes_of_rooms(tx, sorted(with_news), after=window.after, upto=window.upto)
            wanted.update(change.room_id for change in moves if change.before != change.membership)
            wanted.update(room_id for room_id in with_news if asked.became_whole(room_id))
            wanted.update(
                room_id
                for room_id in with_news
                if room_id not in wanted
                and was_renamed(tx, self._states, room_id, roots.before.get(room_id, EMPTY_ROOT), roots.after[room_id])
            )
        wanted_roots = {room_id: roots.after[room_id] for room_id in sorted(wanted)}
        if not wanted_roots:
            return {}
        return read_summaries(tx, self._states, wanted_roots, asked.user_id, asked.unfinished)

    def _left(self, asked: _Question, account_data: Mapping[RoomID, Sequence[AccountData]]) -> Section:
        """Rooms that the user left, or was removed from, since the token."""
        include_all = asked.window.after is None and asked.request.filter.room.include_leave
        sections: Section = {}
        for one in asked.memberships.values():
            if one.membership not in ("leave", "ban"):
                continue
            changes = asked.changes.get(one.room_id)
            # One who was banned while out of the room, or whose ban was lifted, is told as well.
            if not include_all and (changes is None or changes[-1].membership not in ("leave", "ban")):
                continue
            part = self._left_part(asked, one, account_data.get(one.room_id, ()))
            if part is not None:
                sections[one.room_id] = self._rooms.left(asked.tx, asked.request, part)
        return sections

    def _left_part(
        self, asked: _Question, membership: Membership, account_data: Sequence[AccountData]
    ) -> RoomPart | None:
        tx, room_id, after = asked.tx, membership.room_id, asked.window.after
        newest = self._states.load(tx, [membership.event_id]).get(membership.event_id) or from_elsewhere(tx, membership)
        if newest is None:
            return None
        upto = newest.log_position or asked.window.upto
        end = self._readers.departure(tx, membership)
        whole = partial(
            RoomPart,
            room_id=room_id,
            position=asked.window.upto,
            joined_from=None,
            account_data=account_data,
            departure=newest,
            ignored=asked.ignored,
        )
        if end is None or end.root is None or (after is not None and (end.log_position or 0) <= after):
            # The user was not in the room since the token: there is the change of the membership, and nothing else.
            root = newest.root or EMPTY_ROOT
            return whole(window=Window(after, upto), before=root, after=root, member_upto=None, events=(newest,))
        before: bytes | None = None
        if not asked.is_new(room_id):
            before = roots_at(tx, [room_id], at=after or 0).get(room_id, EMPTY_ROOT)
        window = Window(None if before is None else after, upto)
        return whole(window=window, before=before, after=end.root, member_upto=end.place)

    def _ignored_users(self, tx: Transaction, user_id: UserID) -> frozenset[str]:
        position, ignored = tx.log_position, ignored_users(tx, user_id)
        tx.after_commit(lambda: keep_newer(self._memory.ignored, user_id, position, ignored))
        return ignored


EVERYWHERE: Final = 2**62  # after any place of any room


def from_elsewhere(tx: Transaction, membership: Membership) -> StoredEvent | None:
    """The event by which somebody got out of a room that this server is not in: no room here has it."""
    found = find_remote_membership(tx, membership.room_id, membership.user_id)
    if found is None:
        return None
    return StoredEvent(
        nid=OUTSIDE,
        event=found.encoded.event,
        log_position=membership.log_position,
        place=None,
        verdict=Verdict.ACCEPTED,
        form=Form.FULL,
        redacted_by=None,
        replaces_state=None,
        thread_id=None,
        transaction=None,
        root_before=None,
        root_after=None,
        size_bytes=len(found.encoded.pdu_json),
    )


def _stripped(asked: _Question, membership: str) -> Section:
    """Rooms to which the user was invited, or on whose door the user knocked, since the token."""
    after = -1 if asked.window.after is None else asked.window.after
    found = [
        one
        for one in asked.memberships.values()
        if one.membership == membership and one.log_position > after and one.sender not in asked.ignored
    ]
    if membership == "invite" and found:
        rules = invite_rules(asked.tx, asked.user_id)
        found = [one for one in found if not rules.hides(one.sender)]
    return {
        one.room_id: {f"{membership}_state": {"events": orjson.Fragment(one.stripped_state or b"[]")}} for one in found
    }


def _receipts(asked: _Question, fresh: Sequence[RoomID], going_on: Sequence[RoomID]) -> dict[RoomID, list[Receipt]]:
    window = asked.window
    found = receipts_of_rooms(asked.tx, fresh, upto=window.upto) if fresh else []
    if going_on and window.after is not None:
        found = [*found, *receipts_since(asked.tx, going_on, after=window.after, upto=window.upto)]
    by_room: dict[RoomID, list[Receipt]] = {}
    for receipt in found:
        by_room.setdefault(receipt.room_id, []).append(receipt)
    return by_room


def _room_account_data(asked: _Question) -> dict[RoomID, list[AccountData]]:
    """What the user attached to rooms: since the token, but all of it in rooms that are new to the client."""
    window, fresh = asked.window, {room_id for room_id in asked.changes if asked.is_new(room_id)}
    found: list[AccountData] = []
    if window.after is not None:
        found += account_data_since(asked.tx, asked.user_id, after=window.after, upto=window.upto)
    if fresh or window.after is None:
        found = [one for one in found if one.room_id not in fresh]
        everything = all_account_data(asked.tx, asked.user_id)
        found += [one for one in everything if window.after is None or one.room_id in fresh]
    by_room: dict[RoomID, list[AccountData]] = {}
    for one in found:
        if one.room_id is not None:
            by_room.setdefault(one.room_id, []).append(one)
    return by_room
