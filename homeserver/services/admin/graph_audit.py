"""The audit of the graph around a room's events: edges, what waits and for what, heads, and what stands on them.

The events themselves are audited in room_audit.py.
"""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Final

from homeserver.core.event import Event
from homeserver.core.event_audit import Kept, Unsound, is_merged, read_stored
from homeserver.core.identifiers import EventID, ServerName, server_name_of
from homeserver.services.admin.audit_reading import Below, Reading
from homeserver.services.events.judging import HEADS_LIMIT
from homeserver.storage import graph_audit as rows
from homeserver.storage.event_edges import EdgeKind
from homeserver.storage.events import Form
from homeserver.storage.graph_audit import EarlyRedaction, EdgeRow, Shadow, WaitingRow

MOST_FOLLOWERS: Final = 50
MOST_WALKED: Final = 200  # from one event, through others that were not accepted

# --- Edges ---


def check_edges_of(reading: Reading, kept: Kept, gaps: Collection[EventID]) -> None:
    """Raise Unsound unless each event that this one names, and that is here, knows of it.

    What came after the event was kept, and closes no gap of it, need not: nobody was told that it was missing.
    """
    for _, _, other in missing_edges(reading, kept, gaps):
        raise Unsound(f"{other}, which it names, does not know of it")


def missing_edges(reading: Reading, kept: Kept, gaps: Collection[EventID]) -> list[tuple[EdgeKind, int, EventID]]:
    """The edges that are to lead from an event, and do not: of which kind, and to which event, by number and ID."""
    prev, auth = _named(kept.event)
    targets = {other: found.nid for other in (*prev, *auth) if (found := reading.find(other)) is not None}
    edges = rows.edges_from(reading.tx, reading.room_id, source=kept.nid, targets=targets.values())
    is_lone = kept.root_before is None
    return [
        (kind, targets[other], other)
        for kind, named in ((EdgeKind.PREV, prev), (EdgeKind.AUTH, auth))
        for other in named
        if other in targets
        and (targets[other], int(kind)) not in edges
        and not (kind is EdgeKind.PREV and (is_lone or other in gaps))
    ]


def check_edge(reading: Reading, row: EdgeRow) -> None:
    """Raise Unsound unless an event names another as an edge says."""
    if row.source_id is None or row.target_id is None:
        raise Unsound("it leads from or to an event that is not here")
    source = reading.find(row.source_id)
    prev, auth = ((), ()) if source is None else _named(source.event)
    if row.edge[1] not in tuple(EdgeKind) or row.target_id not in (prev if row.edge[1] == EdgeKind.PREV else auth):
        raise Unsound(f"{row.source_id} does not name {row.target_id} so")


def _named(event: Event) -> tuple[tuple[EventID, ...], tuple[EventID, ...]]:
    """The events to which edges lead from this one."""
    return event.prev_event_ids, event.auth_event_ids if event.state_key is not None else ()


# --- What waits ---


def check_waiting(reading: Reading, row: WaitingRow) -> Event:
    """The event of a row, if it is what the row says, and what it lacks is noted. Raises Unsound.

    One that lacks nothing is just about to be judged.
    """
    if row.form not in (Form.FULL, Form.WRONG_HASH) or row.size != len(row.pdu):
        raise Unsound(f"it waits in form {row.form}, with a size of {row.size}")
    is_whole = row.form == Form.FULL
    event = read_stored(row.pdu, reading.version, event_id=row.event_id, room_id=reading.room_id, is_whole=is_whole)
    known = reading.find_now(row.event_id)
    if known is not None and known.root_before is not None:
        raise Unsound("it waits, and was judged")
    needless, unnoted = gaps_of_waiting(reading, event)
    if needless:
        raise Unsound(f"it is said to lack {min(needless)}, which it does not")
    if unnoted:
        raise Unsound(f"it lacks {min(unnoted)}, and that is not noted")
    return event


def gaps_of_waiting(reading: Reading, event: Event) -> tuple[set[EventID], set[EventID]]:
    """What an event that waits is said to lack and does not, and what it lacks without that being noted."""
    gaps = rows.gaps_of(reading.tx, reading.room_id, [event.event_id]).get(event.event_id, set())
    lacking: set[EventID] = set()
    come: set[EventID] = set()  # as an auth event, without a state around it: that closes no gap
    for other in (*event.prev_event_ids, *event.auth_event_ids):
        found = reading.find(other)
        if found is None or (found.root is None and other in event.prev_event_ids):
            lacking.add(other)
        elif found.root is None:
            come.add(other)
    return gaps - lacking - come, lacking - gaps


# --- Redactions that came before what they redact ---


def check_early_redaction_of(reading: Reading, kept: Kept) -> None:
    """Raise Unsound unless it is noted of a redaction that what it redacts has not come yet."""
    target_id = kept.event.redacts
    if target_id is None or not kept.counts_as_redaction or reading.find(target_id) is not None:
        return
    if reading.purge_horizon is not None:
        return  # it may have come, been redacted or not, and been deleted since
    if not reading.is_elsewhere(target_id) and not rows.is_noted_early(
        reading.tx, reading.room_id, target_id=target_id, redaction_id=kept.event.event_id
    ):
        raise Unsound(f"it redacts {target_id}, which is not here, and nothing is noted to do so when it comes")


def check_early_redaction(reading: Reading, row: EarlyRedaction) -> None:
    """Raise Unsound unless there is a redaction of something that is not here, as a row says."""
    target_id, redaction_id = row
    redaction = reading.find_now(redaction_id)
    if redaction is None or not redaction.counts_as_redaction:
        raise Unsound("there is no such redaction")
    # One that was redacted itself may not say it any more.
    if redaction.event.redacts != target_id and (redaction.is_whole or redaction.event.redacts is not None):
        raise Unsound("it redacts something else")
    if reading.find(target_id) is not None:
        raise Unsound("what it redacts has come")


# --- What stands on heads ---


def check_shadows_of(reading: Reading, kept: Kept, heads: AbstractSet[EventID]) -> None:
    """Raise Unsound unless it is noted of an event on which heads it stands without being one, and it ends no others.

    What came before what it is built on need not know on which heads that stands: whoever closes a gap tells those who
    lacked it, and nobody above them. And what was accepted in a given state ends no heads that come to be below it, if
    they lead to another one. Nor does what came from the past, to a place below others.
    """
    own, least, most = shadows_around(reading, kept, heads)
    if kept.root_before is None or kept.is_accepted:
        if own:
            raise Unsound(f"it is said to stand on the head {min(own)}, and is none of those that may")
        if kept.root_before is None:
            return
    if kept.is_accepted:
        if least and kept.given_by is None and kept.log_position is not None:
            raise Unsound(f"it is built on {min(least)}, which is said to be a head")
    elif stray := own - most:
        raise Unsound(f"it is said to stand on the head {min(stray)}, and does not")
    elif unnoted := least - own:
        raise Unsound(f"it stands on the head {min(unnoted)}, and that is not noted")


def shadows_around(
    reading: Reading, kept: Kept, heads: AbstractSet[EventID]
) -> tuple[set[EventID], set[EventID], set[EventID]]:
    """The heads on which an event is said to stand, those on which it does for certain, and those on which it may."""
    event_id, prev = kept.event.event_id, kept.event.prev_event_ids
    noted = rows.shadows_of(reading.tx, reading.room_id, (event_id, *prev))
    least = set(heads).intersection(prev)
    most = set(least)
    for other in prev:
        most |= noted.get(other, set())
        if (found := reading.find(other)) is not None and found.given_by is None:
            least |= noted.get(other, set())
    return noted.get(event_id, set()), least, most


def check_shadow(reading: Reading, row: Shadow, heads: AbstractSet[EventID]) -> None:
    """Raise Unsound unless an event that may stand on heads is said to stand on one."""
    event_id, head = row
    kept = reading.find(event_id)
    if kept is None or kept.root_before is None or kept.is_accepted:
        raise Unsound(f"{event_id} is said to stand on the head {head}, and is none of those that may")
    if head not in heads:
        raise Unsound(f"{event_id} is said to stand on {head}, which is no head")


# --- Heads ---


class _Standing(Enum):
    """Where an event stood when it came, of those that were built on it before."""

    ON_TOP = "nothing was built on it, or only in a state that it does not lead to"
    UNDER_HEAD = "an accepted event was built on it, in the state that it leads to"
    UNKNOWN = "one of the two"


def _standing(reading: Reading, kept: Kept) -> _Standing:
    followers = rows.given_followers(reading.tx, reading.room_id, kept.nid, limit=MOST_FOLLOWERS)
    found = {_standing_under(reading, kept, event_id) for event_id in followers}
    if _Standing.UNDER_HEAD in found:
        return _Standing.UNDER_HEAD
    return _Standing.UNKNOWN if _Standing.UNKNOWN in found or len(followers) == MOST_FOLLOWERS else _Standing.ON_TOP


def _standing_under(reading: Reading, kept: Kept, follower_id: EventID) -> _Standing:
    follower = reading.find(follower_id)
    if follower is None or follower.root_before is None or kept.log_position is None:
        return _Standing.UNKNOWN
    if follower.log_position is not None and follower.log_position > kept.log_position:
        return _Standing.ON_TOP  # it came later
    others = [reading.find(other) for other in follower.event.prev_event_ids]
    roots = [other.root for other in others if other is not None and other.root is not None]
    positions = [other.log_position for other in others if other is not None]
    if len(roots) < len(others) or any(at is not None and at > kept.log_position for at in positions):
        return _Standing.ON_TOP  # the follower lacked others still: nobody knew what they lead to
    merged = reading.merge(roots) if len(set(roots)) > 1 else frozenset(roots)
    if follower.root_before not in merged:
        return _Standing.ON_TOP
    is_certain = None not in positions and len(merged) == 1 and follower.log_position is not None
    return _Standing.UNDER_HEAD if is_certain else _Standing.UNKNOWN


def check_is_history(reading: Reading, kept: Kept) -> None:
    """Raise Unsound unless an event that has its place and was no news was brought in from the past.

    Something was built on it already, or on what came with it. The room's first event may also come after others, whose
    state was given.
    """
    if kept.place is None or kept.log_position is not None:
        return
    if not kept.event.prev_event_ids:
        reading.memory.begins_late = True
    elif _is_purged_around(reading, kept.place):
        return  # what was built on it may be deleted
    elif not rows.may_be_history(reading.tx, reading.room_id, kept.nid):
        raise Unsound("it was no news, and nothing was built on it before it came")


def _is_purged_around(reading: Reading, place: int) -> bool:
    """Whether some of the history around a place was deleted."""
    return reading.purge_horizon is not None and place <= reading.purge_horizon


class HeadFollowing:
    """Follows the heads of a room from event to event, in the order in which they were news.

    Where states were given, the events do not tell all: `certain` are heads, and no others than `possible` are.
    """

    def __init__(self, server_name: ServerName) -> None:
        """`server_name` is this server's."""
        self._server_name = server_name
        self.certain: set[EventID] = set()
        self.possible: set[EventID] = set()
        self.depth = 0
        self.has_given = False  # the state before some event

    def follow(self, reading: Reading, kept: Kept, noted_root: bytes | None) -> None:
        """Go on by one event; `noted_root` is what the log of states has at its position.

        Raises Unsound when that is not the state after the heads. It does no harm to go on by the same event twice.
        """
        if kept.log_position is None:
            return
        event_id = kept.event.event_id
        self.has_given |= kept.given_by is not None
        if reading.purge_horizon is not None and any(reading.find(one) is None for one in kept.event.prev_event_ids):
            self.certain.clear()  # what it was built on may have been built on them, and is deleted
        if kept.is_accepted:
            self.depth = max(self.depth, kept.event.depth)
        below = self._below(reading, kept)
        standing = _standing(reading, kept)
        if kept.is_accepted or standing is _Standing.UNDER_HEAD:
            self.possible -= below.heads
            self.certain -= below.heads
        elif standing is _Standing.UNKNOWN:
            self.certain -= below.heads
        if below.is_open:
            self.certain.clear()
        if kept.is_accepted and standing is not _Standing.UNDER_HEAD:
            self.possible.add(event_id)
            if standing is _Standing.ON_TOP:
                self.certain.add(event_id)
        if kept.is_accepted and self._is_way_in(kept):
            # What the server knew from an earlier stay may be no head any more.
            self.certain &= {event_id}
        if noted_root is not None and self.certain == self.possible:
            self._check_root(reading, noted_root)

    def check(self, reading: Reading, heads: AbstractSet[EventID]) -> None:
        """Raise Unsound unless these are the heads after all events."""
        if len(heads) > HEADS_LIMIT:
            raise Unsound(f"it has {len(heads)} heads, and may have {HEADS_LIMIT}")
        for head in sorted(heads):
            kept = reading.find(head)
            if kept is None:
                raise Unsound(f"its head {head} is not here")
            if not kept.is_accepted or kept.log_position is None or kept.place is None:
                raise Unsound(f"its head {head} was not accepted, or was no news")
        if strays := heads - self.possible:
            raise Unsound(f"{min(strays)} is said to be a head, and is built on")
        if reading.memory.begins_late and not self.has_given:
            raise Unsound("its first event was no news, and nothing can have come before it")
        if missing := self.certain - heads:
            raise Unsound(f"nothing is built on {min(missing)}, and it is not among the heads {sorted(heads)}")

    def _is_way_in(self, kept: Kept) -> bool:
        """Whether a user of this server joins by an event: made here, or given with the state before it."""
        event = kept.event
        if event.type != "m.room.member" or event.content.get("membership") != "join":
            return False
        return event.sender == event.state_key and server_name_of(event.sender) == self._server_name

    def _check_root(self, reading: Reading, noted_root: bytes) -> None:
        roots = [kept.root for head in sorted(self.certain) if (kept := reading.find(head)) is not None]
        if not is_merged(noted_root, [root for root in roots if root is not None], reading.merge):
            raise Unsound("room_roots has another state at its position")

    def _below(self, reading: Reading, kept: Kept) -> Below:
        """The heads among what an event is built on, and below that as far as nothing was accepted."""
        known = reading.memory.below
        heads: set[EventID] = set()
        is_open = False
        seen: set[EventID] = set()
        left = [kept]
        while left:
            current = left.pop()
            for other in current.event.prev_event_ids:
                if other in seen:
                    continue
                seen.add(other)
                if other in self.possible:
                    heads.add(other)
                elif len(seen) > MOST_WALKED:
                    is_open = True
                elif (found := reading.find(other)) is not None and found.root is not None and not found.is_accepted:
                    if current.given_by is not None or found.given_by is not None:
                        is_open = True  # it may have come later, or on what came later
                    elif (below := known.get(other)) is not None:
                        heads |= below.heads & self.possible
                        is_open |= below.is_open
                    else:
                        left.append(found)
        if not kept.is_accepted:
            known[kept.event.event_id] = Below(frozenset(heads), is_open or kept.given_by is not None)
        return Below(frozenset(heads), is_open)
