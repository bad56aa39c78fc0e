"""The graph of a room while it is written: what is built on what, which events are heads, what comes before what.

Spec: server-server-api/#pdus
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import RoomVersion
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.storage.event_edges import events_above, forget_heads, heads_under, insert_edges, insert_shadows
from homeserver.storage.events import StoredEvent, Verdict, first_place, place_before
from homeserver.storage.rooms import PLACE_STEP
from homeserver.storage.waiting_events import gap_followers, place_over_gaps

HISTORY_SHARE: Final = 1_000  # of what lies between two places, that which an event from the past leaves before it
HISTORY_SHARES: Final = 10_000  # such parts, one for each of many events that come at once: more may come below them


class GraphInMaking:
    """Heads and edges with what the write adds.

    An event that was not accepted is no head, but casts a shadow: what is built on it stands on the heads below it.
    """

    def __init__(self, at_hand: EventsAtHand, version: RoomVersion, heads: tuple[EventID, ...]) -> None:
        self.heads = heads
        self._tx = at_hand.tx
        self._room_id = at_hand.room_id
        self._at_hand = at_hand
        self._version = version
        self._left: set[EventID] = set()  # heads that are none any more
        self._shadows: dict[EventID, set[EventID]] = {}  # for what is no head: the heads that it stands on
        self._followed: dict[EventID, Sequence[StoredEvent]] = {}  # what closes a gap, and what was built on it

    def set_heads(self, heads: tuple[EventID, ...], left: set[EventID]) -> None:
        """Have other heads; `left` are those that something is built on now."""
        self.heads = heads
        self._left |= left
        for shadow in self._shadows.values():
            shadow -= left

    def heads_under(self, event_ids: Iterable[EventID]) -> set[EventID]:
        """The heads that are among some events, or that these stand on by way of events that are no heads."""
        asked = set(event_ids)
        shadowed = heads_under(self._tx, self._room_id, [one for one in asked if one not in self._at_hand.added])
        for event_id in asked:
            shadowed |= self._shadows.get(event_id, set())
        return (asked | shadowed).intersection(self.heads)

    def stand(self, event_id: EventID, heads: set[EventID]) -> None:
        """Note the heads that an event stands on which is none itself."""
        self._shadows.setdefault(event_id, set()).update(heads)

    def stand_refused(self, followers: Iterable[StoredEvent], heads: set[EventID]) -> None:
        """Note the heads that those stand on which were not accepted, of what was built on an event that came now."""
        for follower in followers:
            if follower.verdict is not Verdict.ACCEPTED:
                self.stand(follower.event.event_id, heads)

    def followers_over_gap(self, event_id: EventID) -> list[StoredEvent]:
        """What has its place already and was built on an event that is only coming now."""
        followers = self._at_hand.load(gap_followers(self._tx, self._room_id, event_id)).values()
        return [follower for follower in followers if follower.root_before is not None]

    def follow(self, event_id: EventID, followers: Sequence[StoredEvent]) -> None:
        """Note what was built on an event before it came."""
        if followers:
            self._followed[event_id] = followers

    def is_under_itself(self, event: Event) -> bool:
        """Whether an event is built on heads that are built on it, so that placing it would leave none of them.

        Only where servers choose the IDs can they name what is not made yet.
        """
        if self._version.event_ids_are_hashes:
            return False
        reached = {follower.event.event_id for follower in self.followers_over_gap(event.event_id)}
        heads = self.heads_under(event.prev_event_ids) if reached else set()
        if not heads:
            return False
        prev_ids = {one: stored.event.prev_event_ids for one, stored in self._at_hand.added.items()}
        asked = heads.union(*prev_ids.values())
        before = 0
        while len(reached) > before:
            before = len(reached)
            reached |= events_above(self._tx, self._room_id, reached, among=asked)
            reached |= {one for one, prev in prev_ids.items() if not reached.isdisjoint(prev)}
            for closing in reached & self._followed.keys():
                reached |= {follower.event.event_id for follower in self._followed[closing]}
        return not reached.isdisjoint(heads)

    def history_places(self, event_ids: Sequence[EventID]) -> list[int] | None:
        """Places for events from the past, in this order: right below what is built on them.

        None if nothing that was accepted is.
        """
        upper = place_over_gaps(self._tx, self._room_id, event_ids)
        if upper is None:
            return None
        count = len(event_ids)
        lower = place_before(self._tx, self._room_id, upper)
        step = PLACE_STEP
        if lower is not None:
            step = min(max(1, (upper - lower) // HISTORY_SHARES), (upper - lower - 1) // count)
        if not step:
            # Nothing is left between the two: rather out of order than not at all.
            upper, step = first_place(self._tx, self._room_id), PLACE_STEP
        return [upper - step * (count - index) for index in range(count)]

    def place_below(self, followers: Iterable[StoredEvent], taken: Collection[int]) -> int:
        """A place before what is built on an event, and behind everything that is there already.

        `taken` are the places of what the write adds.
        """
        places = [one.place for one in followers if one.place is not None]
        if places:
            upper = min(places)
            stored = place_before(self._tx, self._room_id, upper)
            lower = max([place for place in (stored, *taken) if place is not None and place < upper], default=None)
            if lower is None:
                return upper - PLACE_STEP
            if upper - lower > 1:
                return lower + max(1, (upper - lower) // HISTORY_SHARE)
        # Nothing is left between the two: rather out of order than not at all.
        return min([first_place(self._tx, self._room_id), *taken]) - PLACE_STEP

    def store(self, added: Sequence[StoredEvent]) -> None:
        """Write what is built on what, and which heads there are no more."""
        named = {one for stored in added for one in (*stored.event.prev_event_ids, *_auth_edges(stored))}
        nids = {event_id: stored.nid for event_id, stored in self._at_hand.load(named).items()}
        for stored in added:
            insert_edges(
                self._tx,
                self._room_id,
                stored.nid,
                prev=[nids[one] for one in stored.event.prev_event_ids if one in nids],
                auth=[nids[one] for one in _auth_edges(stored) if one in nids],
            )
        for event_id, followers in self._followed.items():
            nid = self._at_hand.added[event_id].nid
            for follower in followers:
                if event_id in follower.event.prev_event_ids:
                    insert_edges(self._tx, self._room_id, follower.nid, prev=[nid], auth=())
        if self._left:
            forget_heads(self._tx, self._room_id, self._left)
        for event_id, heads in self._shadows.items():
            if heads:
                insert_shadows(self._tx, self._room_id, event_id, heads)


def _auth_edges(stored: StoredEvent) -> tuple[EventID, ...]:
    """The auth events of a state event: no other event can authorise anything that state resolution looks at."""
    return stored.event.auth_event_ids if stored.event.state_key is not None else ()
