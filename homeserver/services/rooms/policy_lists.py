"""The moderation policy lists that this server follows, in memory: what their rules say, kept up with their rooms.

Invites and joins are held against them without the database. Which lists are followed is stored in
storage/policy_lists.py; what is done because of them is in services/admin/. Spec:
client-server-api/#moderation-policy-lists
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, parse_room_id, server_name_of_user
from homeserver.core.policy_rules import POLICY_TYPES, PolicyBook, PolicyKind, PolicyRule, read_rule, rules_in_force
from homeserver.core.room_upgrades import TOMBSTONE_KEY
from homeserver.core.state_map import StateKey
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.errors import NotFound
from homeserver.services.events.news import RoomWritten
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.policy_lists import (
    PolicyList,
    delete_policy_list,
    forget_deleted_lists,
    policy_lists,
    store_policy_list,
)
from homeserver.storage.rooms import find_head

NOT_FOLLOWED: Final = "This list is not followed"
MOST_REMEMBERED: Final = 20_000  # users of whom it is known what the lists say


@dataclass(frozen=True, slots=True)
class Followed:
    """A list, what it does, and its rules. `replaced_by` is the room to which it has moved, if anybody says so."""

    list: PolicyList
    book: PolicyBook
    replaced_by: RoomID | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a list says of somebody or something."""

    list: PolicyList
    rule: PolicyRule


@dataclass(frozen=True, slots=True)
class Renewed:
    """A list whose rules were others before."""

    followed: Followed
    before: PolicyBook


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a list's room: the state, and which of its events is which rule."""

    root: bytes
    replaced_by: RoomID | None
    entries: Mapping[StateKey, tuple[EventID, PolicyRule | None]]


class PolicyLists:
    """Knows what the lists say. Used on the reactor thread, unless a function says otherwise."""

    def __init__(self, database: Database, states: RoomStates, server_name: ServerName) -> None:
        self._database = database
        self._states = states
        self._server_name = server_name
        self._followed: dict[RoomID, Followed] = {}
        self._read: dict[RoomID, _Read] = {}
        self._changed: dict[RoomID, set[EventID]] = {}  # rooms to read again, and which events were redacted there
        self._verdicts: dict[UserID, tuple[Verdict, ...]] = {}
        self._locks: KeyedLocks[RoomID] = KeyedLocks()

    async def load(self) -> None:
        """Read all lists: once, before anything is held against them."""
        await self._database.write(forget_deleted_lists)
        for followed in await self._database.read(policy_lists):
            await self._take(followed.room_id, followed)

    # Which are followed

    @property
    def is_empty(self) -> bool:
        """Whether no list is followed, so that there is nothing to look for."""
        return not self._followed

    @property
    def act(self) -> bool:
        """Whether any list does something, and is not only watched."""
        return any(followed.list.acts for followed in self._followed.values())

    @property
    def all(self) -> Sequence[Followed]:
        """The lists, the oldest first."""
        return sorted(self._followed.values(), key=lambda each: (each.list.subscribed_ms, each.list.room_id))

    def find(self, list_id: RoomID) -> Followed | None:
        """The list of this room, if it is followed."""
        return self._followed.get(list_id)

    async def follow(self, followed: PolicyList) -> Followed:
        """Follow a list, or change what it does."""
        await self._database.write(store_policy_list, followed)
        return await self._take(followed.room_id, followed)

    async def forget(self, list_id: RoomID) -> None:
        """Follow a list no more."""
        await self._database.write(delete_policy_list, list_id)
        self.forget_room(list_id)

    def forget_room(self, list_id: RoomID) -> None:
        """A room is deleted, with all that was stored of it: if it was that of a list, there is none any more."""
        for kept in (self._followed, self._read, self._changed):
            kept.pop(list_id, None)
        self._verdicts.clear()

    def note_applied(self, list_id: RoomID, digest: bytes) -> None:
        """The rules of this digest were carried out, which is written down."""
        followed = self._followed.get(list_id)
        if followed is not None:
            self._followed[list_id] = replace(followed, list=replace(followed.list, applied=digest))

    async def book_of(self, room_id: RoomID) -> PolicyBook:
        """The rules of any room, followed or not. Raises NotFound for one that is not known here."""
        followed = self._followed.get(room_id)
        if followed is not None:
            return followed.book
        read = await self._database.read(self._read_room, room_id, None, frozenset())
        if read is None:
            raise NotFound(NO_ROOM)
        return read[1]

    # What changes

    def hear(self, change: RoomWritten) -> bool:
        """Something was written in a room: whether the rules of a list may be others now, so that `renew` is due."""
        read = self._read.get(change.room_id)
        if read is None or change.room_id not in self._followed:
            return False
        redacted = {stored.event.redacts for stored in change.events if stored.event.redacts is not None}
        hit = {event_id for event_id, _ in read.entries.values() if event_id in redacted} if redacted else set()
        if hit or change.root_before != change.root_after:
            self._changed.setdefault(change.room_id, set()).update(hit)
            return True
        return False

    async def renew(self) -> list[Renewed]:
        """Read what has changed; the lists whose rules are others now."""
        renewed = []
        for list_id in list(self._changed):
            before = self._followed.get(list_id)
            if before is None:
                self._changed.pop(list_id, None)
                continue
            taken = await self._take(list_id, None)
            if taken.book.digest != before.book.digest:
                renewed.append(Renewed(taken, before.book))
        return renewed

    # What they say

    def find_ban(self, room_id: RoomID, user_id: UserID) -> Verdict | None:
        """The rule by which somebody is to be banned from a room; that of the oldest list."""
        if not self._followed:
            return None
        verdicts = self._verdicts.get(user_id)
        if verdicts is None:
            verdicts = self._judge(user_id)
        return next((verdict for verdict in verdicts if verdict.list.protects(room_id)), None)

    def bars_join(self, room_id: RoomID, user_id: UserID) -> bool:
        """Whether somebody of another server is not let into a room through this one."""
        return self.find_ban(room_id, user_id) is not None

    def bars_name(self, user_id: UserID) -> bool:
        """Whether nobody is to register here under a name."""
        return any(book.find(PolicyKind.USER, user_id) is not None for book in self._on_server())

    def bars_invite(self, sender: UserID, room_id: RoomID) -> bool:
        """Whether no invites by a user are taken or sent, or none into this room. To be asked in any thread.

        Whoever writes a list cannot keep all of this server's users from inviting.
        """
        server = server_name_of_user(sender)
        return any(
            book.find(PolicyKind.USER, sender) is not None
            or (server != self._server_name and book.find(PolicyKind.SERVER, server) is not None)
            or book.find(PolicyKind.ROOM, room_id) is not None
            for book in self._on_server()
        )

    def bars_room(self, room_id: RoomID) -> bool:
        """Whether this server takes no part in a room, known here or not."""
        if room_id in self._followed:
            return False
        return any(book.find(PolicyKind.ROOM, room_id) is not None for book in self._on_server())

    def about(self, kind: PolicyKind, name: str) -> list[Verdict]:
        """All that the lists say of something: of the oldest list first, and in each the rule that wins first."""
        return [Verdict(followed.list, rule) for followed in self.all for rule in followed.book.find_all(kind, name)]

    def _on_server(self) -> list[PolicyBook]:
        followed = tuple(self._followed.values())  # which may change meanwhile, where another thread asks
        return [each.book for each in followed if each.list.on_server and not each.list.ends]

    def _judge(self, user_id: UserID) -> tuple[Verdict, ...]:
        found = [
            Verdict(followed.list, rule)
            for followed in self.all
            if followed.list.acts and (rule := followed.book.find(PolicyKind.USER, user_id)) is not None
        ]
        if len(self._verdicts) >= MOST_REMEMBERED:
            self._verdicts.clear()
        self._verdicts[user_id] = tuple(found)
        return self._verdicts[user_id]

    async def _take(self, list_id: RoomID, changed: PolicyList | None) -> Followed:
        """Read a list as far as it has changed, and go by it from now on; with another purpose if that `changed`."""
        async with self._locks(list_id):
            redacted = self._changed.pop(list_id, set())
            known = self._read.get(list_id)
            is_read = False
            try:
                read = await self._database.read(self._read_room, list_id, known, frozenset(redacted))
                is_read = True
            finally:
                if not is_read:
                    self._changed.setdefault(list_id, set()).update(redacted)
            current = self._followed.get(list_id)
            followed = changed if changed is not None else None if current is None else current.list
            if followed is None:
                raise NotFound(NOT_FOLLOWED)  # any more
            if read is None:
                taken = Followed(followed, PolicyBook((), self._server_name))
            else:
                self._read[list_id] = read[0]
                taken = Followed(followed, read[1], read[0].replaced_by)
            self._followed[list_id] = taken
            self._verdicts.clear()
            return taken

    def _read_room(
        self, tx: Transaction, room_id: RoomID, known: _Read | None, redacted: Collection[EventID]
    ) -> tuple[_Read, PolicyBook] | None:
        head = find_head(tx, room_id)
        if head is None:
            return None
        if known is None:
            found = [
                stored
                for event_type in POLICY_TYPES
                for stored in self._states.of_type(tx, room_id, head.current_root, event_type)
            ]
            entries = _entries(found)
        else:
            entries = dict(known.entries)
            renewed = [event_id for event_id, _ in entries.values() if event_id in redacted]
            for key, (_, after) in self._states.difference(tx, room_id, known.root, head.current_root).items():
                if key[0] in POLICY_TYPES:
                    entries.pop(key, None)
                    if after is not None:
                        renewed.append(after)
            entries |= _entries(self._states.load(tx, renewed).values())
        tombstone = self._states.select(tx, room_id, head.current_root, (TOMBSTONE_KEY,)).get(TOMBSTONE_KEY)
        replaced_by = None if tombstone is None else _room_id(tombstone.content.get("replacement_room"))
        rules = rules_in_force({key: rule for key, (_, rule) in entries.items()})
        return _Read(head.current_root, replaced_by, entries), PolicyBook(rules, self._server_name)


def _room_id(value: object) -> RoomID | None:
    try:
        return parse_room_id(value) if isinstance(value, str) else None
    except BadIdentifier:
        return None


def _entries(found: Collection[StoredEvent]) -> dict[StateKey, tuple[EventID, PolicyRule | None]]:
    return {
        (stored.event.type, stored.event.state_key or ""): (stored.event.event_id, read_rule(stored.event))
        for stored in found
    }
