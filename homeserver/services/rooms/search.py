"""Searching messages, and the names and topics of rooms, by their words.

Spec: client-server-api/#server-side-search. The index is in storage/search.py; it says where words occur, and here each
event is looked at again: whether the user may see it, and whether it still says so. An edited message is found by what
it says now and shown as the message that it was, with its newest edit beside it, which is how clients show it in rooms.
Rooms that were upgraded are searched like others, and not followed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.relations import REPLACEMENT, newest_replacement, relation_of
from homeserver.core.search_words import SEARCHED, WordSearch, search_for, searched_text, words_of
from homeserver.core.sync_tokens import PaginationToken, SearchToken
from homeserver.services.errors import InvalidParameter, RoomIsPartial
from homeserver.services.events.client_format import ClientFormat, Viewer
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.aggregations import MOST_EDITS_TRIED, Aggregations
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Access, Readers
from homeserver.services.rooms.timeline import onlooker_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, events_backwards, events_forwards
from homeserver.storage.memberships import readable_room_ids
from homeserver.storage.relations import Children, newest_edits, relations_to
from homeserver.storage.search import NEWEST, IndexSearch, find_events

LONGEST_TERM: Final = 1_000
MOST_ROOMS: Final = 1_000  # of one user: those with the newest events
MOST_EXAMINED: Final = 300  # of the newest events that have the words: these are ranked, these are counted
MOST_ROUNDS: Final = 5  # of so many, when none of them can be shown
MOST_RESULTS: Final = 50
DEFAULT_RESULTS: Final = 10
MOST_CONTEXT: Final = 20


@dataclass(frozen=True, slots=True)
class ContextWish:
    """How many events around each result are wanted, and whether with how their senders were shown then."""

    before: int
    after: int
    include_profile: bool


@dataclass(frozen=True, slots=True)
class SearchWish:
    """What is searched, and how it is to be told. `types`: those of which the wanted texts are."""

    term: str
    event_filter: RoomEventFilter = field(default_factory=RoomEventFilter)
    types: frozenset[str] = frozenset(SEARCHED)
    by_rank: bool = True
    context: ContextWish | None = None
    include_state: bool = False
    group_by: Sequence[str] = ()
    begin: SearchToken | None = None


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The results and what belongs to them, as JSON."""

    count: int = 0
    highlights: Sequence[str] = ()
    results: Sequence[Mapping[str, Any]] = ()  # Any: JSON
    groups: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    state: Mapping[RoomID, Sequence[orjson.Fragment]] | None = None
    next_batch: str | None = None


@dataclass(frozen=True, slots=True)
class _Hit:
    """An event that answers: its number in the index, which is that of the edit that does; and how it is shown."""

    number: int
    stored: StoredEvent
    membership: str
    access: Access
    rank: float


@dataclass(frozen=True, slots=True)
class _Found:
    """Hits, newest first, and the lowest number that was looked at; None when there is nothing below."""

    hits: Sequence[_Hit]
    lowest: int | None


class Search:
    """Finds what users may read."""

    def __init__(
        self,
        database: Database,
        readers: Readers,
        states: RoomStates,
        formats: ClientFormat,
        aggregations: Aggregations,
        erased: ErasedUsers,
    ) -> None:
        self._database = database
        self._readers = readers
        self._states = states
        self._formats = formats
        self._aggregations = aggregations
        self._erased = erased

    async def search(self, viewer: Viewer, wish: SearchWish) -> SearchResults:
        """A page of what answers in the rooms in which the viewer is or was. Raises InvalidParameter."""
        if len(wish.term) > LONGEST_TERM:
            raise InvalidParameter(f"A search term has at most {LONGEST_TERM} characters")
        wanted = search_for(wish.term)
        if wanted is None:
            return SearchResults()
        return await self._database.read(self._search, viewer, wish, wanted)

    def _search(self, tx: Transaction, viewer: Viewer, wish: SearchWish, wanted: WordSearch) -> SearchResults:
        begin = wish.begin or SearchToken(NEWEST, 0)
        asked = wish.event_filter.limit
        limit = min(DEFAULT_RESULTS if asked is None else max(asked, 1), MOST_RESULTS)
        found = self._found(tx, viewer, wish, wanted, begin)
        ranked = sorted(found.hits, key=lambda hit: (-hit.rank, -hit.number)) if wish.by_rank else found.hits
        end = (begin.seen if wish.by_rank else 0) + limit
        page, following = ranked[end - limit : end], ranked[end:]
        if wish.by_rank:
            # What comes later does not move the pages: they are of what was there for the first.
            top = begin.before if wish.begin is not None else _above(found.hits)
            more = SearchToken(top, end, begin.group) if following else None
        else:
            lowest = page[-1].number if following else found.lowest
            more = None if lowest is None else SearchToken(lowest, begin.seen + len(page), begin.group)
        return SearchResults(
            count=len(ranked) + (0 if wish.by_rank else begin.seen),
            highlights=wanted.words,
            results=self._rendered(tx, viewer, wish, page),
            groups={key: _grouped(key, page, ranked[:end], following, more) for key in wish.group_by},
            state=self._state(tx, viewer, page) if wish.include_state else None,
            next_batch=None if more is None else str(more),
        )

    def _found(
        self, tx: Transaction, viewer: Viewer, wish: SearchWish, wanted: WordSearch, begin: SearchToken
    ) -> _Found:
        event_filter, group, before = wish.event_filter, begin.group, begin.before
        rooms = event_filter.rooms
        readable = readable_room_ids(tx, viewer.user_id, limit=MOST_ROOMS) if rooms is None else sorted(rooms.exact)
        room_ids: Sequence[str] = [room_id for room_id in readable if event_filter.allows_room(room_id)][:MOST_ROOMS]
        senders = None if event_filter.events.senders is None else event_filter.events.senders.exact
        if group is not None and group.startswith("!"):
            room_ids = [room_id for room_id in room_ids if room_id == group]
        elif group is not None:
            senders = frozenset({group})
        search = IndexSearch(wanted.tokens, room_ids, senders, None if _is_any(wish) else wish.types)
        ignored = ignored_users(tx, viewer.user_id)
        accesses: dict[RoomID, Access | None] = {}
        for _ in range(MOST_ROUNDS):
            numbered = find_events(tx, search, before=before, limit=MOST_EXAMINED)
            hits = self._hits(tx, viewer, wish, wanted, numbered, accesses, ignored)
            if len(numbered) < MOST_EXAMINED:
                return _Found(hits, None)
            before = numbered[-1][0]
            if hits:
                break
        return _Found(hits, before)

    def _hits(
        self,
        tx: Transaction,
        viewer: Viewer,
        wish: SearchWish,
        wanted: WordSearch,
        numbered: Sequence[tuple[int, EventID]],
        accesses: dict[RoomID, Access | None],
        ignored: frozenset[str],
    ) -> list[_Hit]:
        """Those of the events that the viewer may see and that answer, each message once."""
        numbers = {event_id: number for number, event_id in numbered}
        by_room: dict[RoomID, list[StoredEvent]] = {}
        for stored in self._states.load(tx, list(numbers)).values():
            if self._formats.is_expired(stored):
                continue
            if stored.event.sender not in ignored and stored.event.sender not in self._erased:
                by_room.setdefault(stored.event.room_id, []).append(stored)
        hits: dict[EventID, _Hit] = {}
        for room_id, events in by_room.items():
            if room_id not in accesses:
                accesses[room_id] = self._access(tx, viewer, room_id)
            access = accesses[room_id]
            if access is None:
                continue
            try:
                visible = self._messages(tx, viewer, room_id, events, access)
            except RoomIsPartial:
                continue  # of what was before the user came in it is not known yet who may see it
            for found, (stored, membership), text in self._as_they_are(tx, room_id, visible, access, ignored):
                rank = wanted.rank(words_of(text))
                known = hits.get(stored.event.event_id)
                number = numbers[found.event.event_id]
                if rank is None or (known is not None and known.number >= number):
                    continue
                if self._passes(tx, wish, stored):
                    hits[stored.event.event_id] = _Hit(number, stored, membership, access, rank)
        return sorted(hits.values(), key=lambda hit: -hit.number)

    def _access(self, tx: Transaction, viewer: Viewer, room_id: RoomID) -> Access | None:
        access = self._readers.find_access(tx, room_id, viewer.user_id)
        # Who was never in it reads a room that is open to all, but does not search it.
        is_own = access is not None and (access.is_joined or access.member_upto is not None)
        return access if is_own else None

    def _messages(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, events: Sequence[StoredEvent], access: Access
    ) -> list[tuple[StoredEvent, tuple[StoredEvent, str]]]:
        """Each of the events with the message that it is, or is an edit of, and the viewer's membership at that.

        Both are events that the viewer may see.
        """
        edited: dict[EventID, EventID] = {}
        for stored in events:
            relation = relation_of(stored.event.content)
            if relation is not None and relation.rel_type == REPLACEMENT:
                edited[stored.event.event_id] = relation.event_id
        originals = self._states.load(tx, list(edited.values()))
        every = {one.event.event_id: one for one in (*originals.values(), *events)}
        here = [one for one in every.values() if one.event.room_id == room_id and not one.verdict]
        visible = {
            stored.event.event_id: (stored, membership)
            for stored, membership in self._readers.in_sight(tx, room_id, viewer.user_id, here, access.sight)
            if stored.place is not None and stored.place <= access.upto_place
        }
        shown = []
        for stored in events:
            event_id = stored.event.event_id
            message = visible.get(edited.get(event_id, event_id))
            if event_id in visible and message is not None:
                shown.append((stored, message))
        return shown

    def _as_they_are(
        self,
        tx: Transaction,
        room_id: RoomID,
        visible: Sequence[tuple[StoredEvent, tuple[StoredEvent, str]]],
        access: Access,
        ignored: frozenset[str],
    ) -> Iterable[tuple[StoredEvent, tuple[StoredEvent, str], str]]:
        """What was found, the message and what this says now: by its newest edit, if it was edited."""
        originals = {message.event.event_id: message for _, (message, _) in visible if message.event.state_key is None}
        children = Children(room_id, list(originals), access.upto_place, ignored)
        candidates = newest_edits(tx, children, most=MOST_EDITS_TRIED) if originals else {}
        loaded = self._states.load(tx, [one for some in candidates.values() for one in some])
        for found, (message, membership) in visible:
            event = message.event
            if message.form.is_given_up:
                continue
            edits = [loaded[one].event for one in candidates.get(event.event_id, ()) if one in loaded]
            newest = newest_replacement(event, edits)
            is_edit = found.event.event_id != event.event_id
            if is_edit and (newest is None or newest.event_id != found.event.event_id):
                continue  # an edit that is none, or not the newest
            text = searched_text(event if newest is None else newest)
            if text is not None:
                yield found, (message, membership), text

    def _passes(self, tx: Transaction, wish: SearchWish, stored: StoredEvent) -> bool:
        event, event_filter = stored.event, wish.event_filter
        if event.type not in wish.types:
            return False
        if event_filter.is_default:
            return True
        children: Sequence[tuple[str, str]] = ()
        if event_filter.needs_relations:
            children = relations_to(tx, event.room_id, [event.event_id]).get(event.event_id, [])
        return event_filter.matches(
            event_type=event.type,
            sender=event.sender,
            room_id=event.room_id,
            has_url="url" in event.content,
            children=children,
        )

    def _rendered(
        self, tx: Transaction, viewer: Viewer, wish: SearchWish, page: Sequence[_Hit]
    ) -> list[Mapping[str, Any]]:
        ignored = ignored_users(tx, viewer.user_id)
        results: list[Mapping[str, Any]] = []
        for hit in page:
            result: dict[str, Any] = {"rank": hit.rank}
            around = _NO_CONTEXT if wish.context is None else self._around(tx, viewer, hit, wish.context, ignored)
            shown = [(hit.stored, hit.membership), *around.before, *around.after]
            onlooker = onlooker_of(viewer, hit.stored.event.room_id, hit.access, ignored)
            rendered = self._aggregations.shown(tx, onlooker, shown)
            result["result"] = rendered[0]
            if wish.context is not None:
                result["context"] = {
                    "events_before": rendered[1 : 1 + len(around.before)],
                    "events_after": rendered[1 + len(around.before) :],
                    "start": str(PaginationToken(around.start)),
                    "end": str(PaginationToken(around.end)),
                }
                if wish.context.include_profile:
                    result["context"]["profile_info"] = self._profiles(tx, hit, [stored for stored, _ in shown])
            results.append(result)
        return results

    def _around(
        self, tx: Transaction, viewer: Viewer, hit: _Hit, wish: ContextWish, ignored: frozenset[str]
    ) -> "_Around":
        room_id, place, access = hit.stored.event.room_id, hit.stored.place or 0, hit.access
        before = events_backwards(tx, room_id, place=place - 1, limit=wish.before)
        after = [
            stored
            for stored in events_forwards(tx, room_id, place=place, limit=wish.after)
            if (stored.place or 0) <= access.upto_place
        ]

        def seen(events: Sequence[StoredEvent]) -> list[tuple[StoredEvent, str]]:
            wanted = [one for one in events if one.event.state_key is not None or one.event.sender not in ignored]
            return self._readers.in_sight(tx, room_id, viewer.user_id, wanted, access.sight)

        start = (before[-1].place or 0) - 1 if before else place - 1
        return _Around(seen(before), seen(after), start, (after[-1].place or 0) if after else place)

    def _profiles(self, tx: Transaction, hit: _Hit, events: Sequence[StoredEvent]) -> dict[str, dict[str, str]]:
        """How the senders were shown in the room when the result came into it."""
        root, keys = hit.stored.root, {("m.room.member", one.event.sender) for one in events}
        if root is None:
            return {}
        members = self._states.select_known(tx, hit.stored.event.room_id, root, keys)
        profiles = {}
        for (_, user_id), member in members.items():
            shown = {name: member.content.get(name) for name in ("displayname", "avatar_url")}
            profiles[user_id] = {name: value for name, value in shown.items() if isinstance(value, str)}
        return profiles

    def _state(self, tx: Transaction, viewer: Viewer, page: Sequence[_Hit]) -> dict[RoomID, Sequence[orjson.Fragment]]:
        """The state of the rooms of a page: as it is now, or was when the viewer left."""
        accesses = {hit.stored.event.room_id: hit.access for hit in page}
        shown: dict[RoomID, Sequence[orjson.Fragment]] = {}
        for room_id, access in accesses.items():
            whole = self._states.whole(tx, room_id, access.root, as_far_as_known=True)
            shown[room_id] = self._formats.render(tx, whole, viewer, with_room_id=True, sight=access.sight)
        return shown


@dataclass(frozen=True, slots=True)
class _Around:
    """What the viewer sees around a result, nearest first, and from which place to which that reaches."""

    before: Sequence[tuple[StoredEvent, str]]
    after: Sequence[tuple[StoredEvent, str]]
    start: int
    end: int


_NO_CONTEXT: Final = _Around((), (), 0, 0)


def _is_any(wish: SearchWish) -> bool:
    return wish.types >= frozenset(SEARCHED)


def _above(hits: Sequence[_Hit]) -> int:
    """The number below which all hits are: what comes later does not move the pages."""
    return hits[0].number + 1 if hits else NEWEST


def _group_of(key: str, hit: _Hit) -> str:
    return hit.stored.event.room_id if key == "room_id" else hit.stored.event.sender


def _grouped(
    key: str, page: Sequence[_Hit], shown: Sequence[_Hit], following: Sequence[_Hit], more: SearchToken | None
) -> dict[str, dict[str, Any]]:
    """The results of a page by room or sender: the groups in the order of their first results.

    `shown` are all up to the end of the page, and `following` those known to come after it; `more` is how the whole
    search goes on.
    """
    groups: dict[str, dict[str, Any]] = {}
    for hit in page:
        group = groups.setdefault(_group_of(key, hit), {"order": len(groups) + 1, "results": []})
        group["results"].append(hit.stored.event.event_id)
    names = {_group_of(key, hit) for hit in following}
    for name, group in groups.items():
        if more is not None and (name in names or not following):
            seen = sum(_group_of(key, hit) == name for hit in shown)
            group["next_batch"] = str(SearchToken(more.before, seen, name))
    return groups
