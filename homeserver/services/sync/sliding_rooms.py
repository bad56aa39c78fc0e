"""The rooms of sliding sync: what each of them says, to somebody who is in it, was in it, or may come in.

Spec: MSC4186. Which rooms are told of is in sliding_lists.py, to whom what was told in sliding_connections.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.core.event import Event
from homeserver.core.filters import EventFilter, RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.required_state import MEMBER
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.sync_tokens import PaginationToken
from homeserver.services.events.client_format import NOTHING_RELATES, ClientFormat, Sight, Viewer
from homeserver.services.events.room_state import AVATAR, NAME, RoomStates
from homeserver.services.rooms.aggregations import Aggregations, Onlooker
from homeserver.services.rooms.readers import Readers
from homeserver.services.sync.request import NotInMemory, Window
from homeserver.services.sync.room_lists import EVERYWHERE, from_elsewhere
from homeserver.services.sync.sent_members import Reader
from homeserver.services.sync.sliding_request import RoomConfig
from homeserver.services.sync.sliding_states import SlidingState, SlidingStateQuestion, SlidingStates
from homeserver.services.sync.sliding_views import Said
from homeserver.services.sync.summaries import MOST_HEROES
from homeserver.services.sync.timelines import Timeline, TimelineQuestion, Timelines
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, place_at
from homeserver.storage.memberships import (
    Membership,
    hero_candidates,
    member_counts_of_rooms,
    memberships_of_user,
    shown_members,
)
from homeserver.storage.partial_rooms import partial_among
from homeserver.storage.room_index import ListedRoom
from homeserver.storage.rooms import roots_at
from homeserver.storage.sliding_connections import SentRoom


@dataclass(frozen=True, slots=True)
class RoomQuestion:
    """One room of an answer.

    `known_upto` is the log position up to which the client knows the room, None when it knows nothing of it; it knew
    then that the user was `known_as` (a membership). `sent` is how it was told.
    """

    room: ListedRoom
    config: RoomConfig
    known_upto: int | None
    known_as: str | None
    sent: SentRoom | None

    @property
    def is_initial(self) -> bool:
        """Whether the client begins anew with the room: nothing is known, or the user was not in it."""
        return self.known_upto is None or self.known_as != "join"

    @property
    def is_expanded(self) -> bool:
        """Whether the client wants more of the timeline than it was told before."""
        return self.sent is not None and self.config.timeline_limit > self.sent.timeline_limit

    @property
    def is_departed(self) -> bool:
        """Whether the user is out of the room."""
        return self.room.membership in ("leave", "ban")


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """All rooms of an answer. `live_after` is the position of the client's token; None for the first answer."""

    viewer: Viewer
    reader: Reader
    answer: int
    live_after: int | None
    upto: int
    ignored: Collection[str]


@dataclass(slots=True)
class RoomResult:
    """A room as the answer shows it, and which events are in its timeline."""

    shown: dict[str, Any]  # Any: JSON
    sent: SentRoom
    event_ids: list[str] = field(default_factory=list)
    is_nameless: bool = False
    needs_counts: bool = False


@dataclass(frozen=True, slots=True)
class _Stay:
    """What of a room the user may see: up to `end`, in the state `root`. See TimelineQuestion for the other two.

    `became_whole`: since the client knows the room, its members have become known.
    """

    before: bytes | None
    root: bytes
    end: int
    joined_from: int | None
    member_upto: int | None
    departure: StoredEvent | None = None
    became_whole: bool = False


class SlidingRooms:
    """Renders rooms."""

    def __init__(
        self,
        timelines: Timelines,
        sliding_states: SlidingStates,
        states: RoomStates,
        readers: Readers,
        formats: ClientFormat,
        aggregations: Aggregations,
    ) -> None:
        self._timelines = timelines
        self._sliding_states = sliding_states
        self._states = states
        self._readers = readers
        self._formats = formats
        self._aggregations = aggregations

    def read(
        self, tx: Transaction, asked: AnswerQuestion, questions: Sequence[RoomQuestion]
    ) -> dict[RoomID, RoomResult]:
        """What is told of these rooms."""
        user_id = asked.viewer.user_id
        joined = [one for one in questions if one.room.membership == "join"]
        others = [one.room.room_id for one in questions if one.room.membership != "join"]
        memberships = memberships_of_user(tx, user_id, others)
        before, after = _roots(tx, questions, asked.upto)
        became_whole = _became_whole(tx, joined)
        results: dict[RoomID, RoomResult] = {}
        for one in questions:
            room_id = one.room.room_id
            if one.room.membership == "join":
                stay = _Stay(
                    before=None if one.is_initial else before.get(room_id, EMPTY_ROOT),
                    root=after.get(room_id, EMPTY_ROOT),
                    end=asked.upto,
                    joined_from=one.room.joined_place,
                    member_upto=EVERYWHERE,
                    became_whole=room_id in became_whole,
                )
                results[room_id] = self._seen(tx, asked, one, stay)
            elif one.is_departed:
                result = self._left(tx, asked, one, memberships[room_id], before.get(room_id))
                if result is not None:
                    results[room_id] = result
            else:
                results[room_id] = _stripped(asked, one, memberships[room_id])
        self._add_members(tx, user_id, [one.room for one in joined], results)
        return results

    def said(self, asked: AnswerQuestion, said: Said) -> RoomResult:
        """What is told of a room in which something was said, from memory alone.

        Raises NotInMemory or MissingNodes when that does not suffice.
        """
        room, root = said.room, said.written[-1].root_after
        question = TimelineQuestion(
            room_id=room.room_id,
            user_id=asked.viewer.user_id,
            window=Window(asked.live_after, asked.upto),
            event_filter=RoomEventFilter(events=EventFilter(limit=said.config.timeline_limit)),
            ignored=asked.ignored,
            joined_from=room.joined_place,
            member_upto=EVERYWHERE,
        )
        stored = [one for change in said.written for one in change.events]
        timeline = self._timelines.from_events(question, stored)
        if timeline.limited or not timeline.events:
            raise NotInMemory
        one = RoomQuestion(room, said.config, asked.live_after, "join", said.sent)
        return self._live(asked, one, root, timeline)

    def _live(self, asked: AnswerQuestion, one: RoomQuestion, root: bytes, timeline: Timeline) -> RoomResult:
        """A room whose state is that which the client knows, with what was said in it since."""
        events = [stored for stored, _ in timeline.events]
        state = self._sliding_states.read(None, _state_asked(asked, one, events, before=root, root=root, has_gap=False))
        sight = Sight(root, one.room.joined_place, EVERYWHERE)
        memberships = {stored.event.event_id: membership for stored, membership in timeline.events}
        shown: dict[str, Any] = {
            **_common(one),
            "timeline": self._formats.render(
                None, events, asked.viewer, with_room_id=False, memberships=memberships, sight=sight
            ),
            "limited": False,
            "num_live": _live(events, asked.live_after),
            "required_state": self._formats.render(None, state.events, asked.viewer, with_room_id=False, sight=sight),
        }
        if events[0].place is not None:
            shown["prev_batch"] = str(PaginationToken(events[0].place - 1))
        return RoomResult(shown, _sent(one, asked, {}, has_gap=False))

    def _left(
        self, tx: Transaction, asked: AnswerQuestion, one: RoomQuestion, membership: Membership, before: bytes | None
    ) -> RoomResult | None:
        """A room that the user is out of: what there was to see until then."""
        newest = self._states.load(tx, [membership.event_id]).get(membership.event_id) or from_elsewhere(tx, membership)
        if newest is None:
            return None
        end = self._readers.departure(tx, membership)
        upto, known_upto = newest.log_position or membership.log_position, one.known_upto
        was_seen = known_upto is not None and end is not None and (end.log_position or 0) <= known_upto
        if end is None or end.root is None or was_seen:
            # There is how the user got out, and nothing else that the client could be told.
            return self._outside(tx, asked, one, newest)
        stay = _Stay(
            before=None if one.is_initial else before or EMPTY_ROOT,
            root=end.root,
            end=upto,
            joined_from=None,
            member_upto=end.place,
            departure=newest,
        )
        return self._seen(tx, asked, one, stay)

    def _outside(self, tx: Transaction, asked: AnswerQuestion, one: RoomQuestion, newest: StoredEvent) -> RoomResult:
        rendered = self._formats.render(tx, [newest], asked.viewer, with_room_id=False)
        is_wanted = one.config.required_state.wants(MEMBER, asked.viewer.user_id)
        shown: dict[str, Any] = {
            **_common(one),
            **({"initial": True} if one.known_upto is None else {}),
            "timeline": rendered if one.config.timeline_limit else [],
            "required_state": rendered if is_wanted else [],
            "num_live": int(bool(one.config.timeline_limit and asked.live_after is not None)),
        }
        return RoomResult(shown, _sent(one, asked, {}, has_gap=False))

    def _seen(self, tx: Transaction, asked: AnswerQuestion, one: RoomQuestion, stay: _Stay) -> RoomResult:
        """A room that the user is or was in."""
        room_id, user_id = one.room.room_id, asked.viewer.user_id
        timeline = self._timeline(tx, asked, one, stay)
        events = [stored for stored, _ in timeline.events]
        had_part = one.is_initial and one.known_upto is not None
        limited = timeline.limited or had_part
        # More than what is new says nothing of whether there is a gap behind what was known.
        has_gap = limited and not (one.is_expanded and not one.is_initial and self._reaches_back(one, events))
        question = _state_asked(asked, one, events, before=stay.before, root=stay.root, has_gap=has_gap)
        state = self._sliding_states.read(tx, question)
        if stay.departure is not None:
            state = _with_departure(state, stay.departure, one, user_id)
        memberships = {stored.event.event_id: membership for stored, membership in timeline.events}
        sight = Sight(stay.root, stay.joined_from, stay.member_upto)
        relations = NOTHING_RELATES
        if limited and stay.member_upto is not None:  # in a gap there may be children of what is shown
            onlooker = Onlooker(asked.viewer, room_id, sight, stay.member_upto, frozenset(asked.ignored))
            relations = self._aggregations.of(tx, onlooker, events)
        shown: dict[str, Any] = {
            **_common(one),
            "timeline": self._formats.render(
                tx,
                events,
                asked.viewer,
                with_room_id=False,
                memberships=memberships,
                sight=sight,
                relations=relations,
            ),
            "limited": limited,
            "num_live": _live(events, asked.live_after),
            "required_state": self._formats.render(tx, state.events, asked.viewer, with_room_id=False, sight=sight),
        }
        if one.is_initial:
            shown["initial"] = True
        elif one.is_expanded:
            shown["unstable_expanded_timeline"] = True
        place = self._first_place(tx, room_id, events, stay.end, wanted=limited or one.is_initial)
        if place is not None:
            shown["prev_batch"] = str(PaginationToken(place))
        has_moves = one.is_initial or stay.became_whole or any(event_type == MEMBER for event_type, _ in state.changed)
        is_nameless = self._add_name(tx, one, stay.root, state, shown, has_moves=has_moves)
        return RoomResult(
            shown,
            _sent(one, asked, state.changed, has_gap=has_gap),
            event_ids=[stored.event.event_id for stored in events],
            is_nameless=is_nameless,
            needs_counts=has_moves and not one.room.is_partial,
        )

    def _timeline(self, tx: Transaction, asked: AnswerQuestion, one: RoomQuestion, stay: _Stay) -> Timeline:
        everything = one.is_initial or one.is_expanded
        question = TimelineQuestion(
            room_id=one.room.room_id,
            user_id=asked.viewer.user_id,
            window=Window(None if everything else one.known_upto, stay.end),
            event_filter=RoomEventFilter(events=EventFilter(limit=one.config.timeline_limit)),
            ignored=asked.ignored,
            joined_from=stay.joined_from,
            member_upto=stay.member_upto,
        )
        return self._timelines.read(tx, question)

    @staticmethod
    def _reaches_back(one: RoomQuestion, events: Sequence[StoredEvent]) -> bool:
        """Whether the first of the events was told before, so that nothing lies between."""
        return bool(events) and (events[0].log_position or 0) <= (one.known_upto or 0)

    @staticmethod
    def _first_place(
        tx: Transaction, room_id: RoomID, events: Sequence[StoredEvent], end: int, *, wanted: bool
    ) -> int | None:
        """The place before the first event, from which a client reads on backwards."""
        if events and events[0].place is not None:
            return events[0].place - 1
        return place_at(tx, room_id, at=end) if wanted else None

    def _add_name(
        self,
        tx: Transaction,
        one: RoomQuestion,
        root: bytes,
        state: SlidingState,
        shown: dict[str, Any],
        *,
        has_moves: bool,
    ) -> bool:
        """Add the room's name and avatar, if they changed; whether heroes are to stand for a name."""
        keys = (NAME, AVATAR)
        is_renamed = NAME in state.changed
        if not has_moves and not any(key in state.changed for key in keys):
            return False
        named = self._states.select_known(tx, one.room.room_id, root, keys)
        name, avatar = _text(named.get(NAME), "name"), _text(named.get(AVATAR), "url")
        if is_renamed or (one.is_initial and name is not None):
            shown["name"] = name
        if AVATAR in state.changed or (one.is_initial and avatar is not None):
            shown["avatar"] = avatar
        return name is None and not one.is_departed and (has_moves or is_renamed)

    @staticmethod
    def _add_members(
        tx: Transaction, user_id: UserID, joined: Sequence[ListedRoom], results: Mapping[RoomID, RoomResult]
    ) -> None:
        """Add how many are in the rooms, and who stands for those without a name."""
        rooms = [room.room_id for room in joined if room.room_id in results]
        counted = [room_id for room_id in rooms if results[room_id].needs_counts]
        for room_id, counts in member_counts_of_rooms(tx, counted).items():
            results[room_id].shown["joined_count"] = counts.get("join", 0)
            results[room_id].shown["invited_count"] = counts.get("invite", 0)
        nameless = [room_id for room_id in rooms if results[room_id].is_nameless]
        if not nameless:
            return
        heroes = hero_candidates(tx, nameless, user_id, limit=MOST_HEROES)
        profiles = shown_members(tx, list(heroes), sorted({hero for those in heroes.values() for hero in those}))
        for room_id in nameless:
            results[room_id].shown["heroes"] = [
                _hero(hero, profiles.get((room_id, hero), (None, None))) for hero in heroes.get(room_id, ())
            ]


def _roots(
    tx: Transaction, questions: Sequence[RoomQuestion], upto: int
) -> tuple[dict[RoomID, bytes], dict[RoomID, bytes]]:
    """The states of rooms as clients knew them, and as they are."""
    known: dict[int, list[RoomID]] = {}
    for one in questions:
        if one.known_upto is not None and not one.is_initial:
            known.setdefault(one.known_upto, []).append(one.room.room_id)
    before: dict[RoomID, bytes] = {}
    for at, room_ids in known.items():
        before |= roots_at(tx, room_ids, at=at)
    joined = [one.room.room_id for one in questions if one.room.membership == "join"]
    return before, roots_at(tx, joined, at=upto) if joined else {}


def _became_whole(tx: Transaction, joined: Sequence[RoomQuestion]) -> set[RoomID]:
    """Those of the rooms whose members were not all known when the client was told of the room, and are now."""
    known_upto = {
        one.room.room_id: one.known_upto for one in joined if one.known_upto is not None and not one.room.is_partial
    }
    if not known_upto:
        return set()
    found = partial_among(tx, list(known_upto), after=min(known_upto.values()))
    return {room_id for room_id, position in found.items() if position is not None and position > known_upto[room_id]}


def _state_asked(
    asked: AnswerQuestion,
    one: RoomQuestion,
    events: Sequence[StoredEvent],
    *,
    before: bytes | None,
    root: bytes,
    has_gap: bool,
) -> SlidingStateQuestion:
    """What of a room's state goes with these events."""
    return SlidingStateQuestion(
        room_id=one.room.room_id,
        before=before,
        root=root,
        required=one.config.required_state,
        known=None if one.sent is None else one.sent.required_state,
        needed=_needed(events),
        has_gap=has_gap,
        reader=asked.reader,
        answer=asked.answer,
    )


def _common(one: RoomQuestion) -> dict[str, Any]:
    """What is told of every room."""
    room = one.room
    bump_stamp = room.log_position if room.bump_position is None else room.bump_position
    return {"membership": room.membership, "bump_stamp": bump_stamp}


def _stripped(asked: AnswerQuestion, one: RoomQuestion, membership: Membership) -> RoomResult:
    """A room that the user may come into: as it was shown to the user, and no more."""
    shown = {
        **_common(one),
        "initial": True,
        "invite_state": orjson.Fragment(membership.stripped_state or b"[]"),
    }
    return RoomResult(shown, _sent(one, asked, {}, has_gap=True))


def _sent(
    one: RoomQuestion, asked: AnswerQuestion, changed: Mapping[StateKey, EventID | None], *, has_gap: bool
) -> SentRoom:
    """What the client was told of the room once it has this answer."""
    config, sent = one.config, one.sent
    # Whoever left by themselves is not told of the room any more.
    is_over = one.is_departed and one.room.sender == asked.viewer.user_id
    upto = asked.upto if is_over else None
    if sent is None or one.is_initial:
        return SentRoom(upto, config.timeline_limit, config.required_state)
    limit = config.timeline_limit if has_gap or one.is_expanded else sent.timeline_limit
    required = sent.required_state
    if any(required.wants(*key) and not config.required_state.wants(*key) for key in changed):
        required = config.required_state  # something else that the client had is not true any more
    elif not required.covers(config.required_state):
        required = required.with_pairs_of(config.required_state)
    return SentRoom(upto, limit, required)


def _needed(events: Sequence[StoredEvent]) -> set[str]:
    """Whose member events a client needs that shows a timeline."""
    needed: set[str] = {stored.event.sender for stored in events}
    return needed | {stored.event.state_key for stored in events if _is_about_member(stored) and stored.event.state_key}


def _is_about_member(stored: StoredEvent) -> bool:
    return stored.event.type == MEMBER and stored.event.state_key is not None


def _live(events: Sequence[StoredEvent], after: int | None) -> int:
    """How many events happened since the client's token."""
    return 0 if after is None else sum((stored.log_position or 0) > after for stored in events)


def _with_departure(state: SlidingState, departure: StoredEvent, one: RoomQuestion, user_id: UserID) -> SlidingState:
    """The state of the user's stay may not have what ended it for good."""
    kept = [stored for stored in state.events if (stored.event.type, stored.event.state_key) != (MEMBER, user_id)]
    if len(kept) == len(state.events) and not one.config.required_state.wants(MEMBER, user_id):
        return state
    return SlidingState([*kept, departure], state.changed)


def _hero(user_id: UserID, profile: tuple[str | None, str | None]) -> dict[str, str]:
    hero: dict[str, str] = {"user_id": user_id}
    display_name, avatar_url = profile
    if display_name is not None:
        hero["displayname"] = display_name
    if avatar_url is not None:
        hero["avatar_url"] = avatar_url
    return hero


def _text(event: Event | None, name: str) -> str | None:
    value = None if event is None else event.content.get(name)
    return value if isinstance(value, str) and value else None
