"""What state resolution asks about auth chains, and two ways to know: walking them whole, or searching upwards.

The walks themselves are in event_graph.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from homeserver.core.event_graph import Edges, auth_chain, auth_difference, paths_between, targets_of
from homeserver.core.identifiers import EventID


class AuthChains(Protocol):
    """What is known of the auth chains of some states that are to be resolved.

    It knows what these states agree on; it is told what they don't. Both raise MissingEvents.
    """

    def difference(self, sets: Sequence[AbstractSet[EventID]]) -> AbstractSet[EventID]:
        """The auth difference of the states; `sets` are their conflicted events. Spec: rooms/v2/#definitions

        An event in the auth chain of anything that the states agree on is in all of their chains.
        """

    def paths_between(self, event_ids: AbstractSet[EventID]) -> AbstractSet[EventID]:
        """The events on auth paths from one of these to another, and these. Spec: rooms/v12/#definitions"""


@dataclass(frozen=True, slots=True)
class WalkedAuthChains:
    """Auth chains found by walking them whole: the cost is that of the room and its history."""

    edges: Edges  # auth events
    agreed: AbstractSet[EventID]  # all events that the states have in common

    def difference(self, sets: Sequence[AbstractSet[EventID]]) -> set[EventID]:
        """As in AuthChains."""
        differing = auth_difference(sets, self.edges)
        return differing - auth_chain(self.agreed, self.edges) if differing else differing

    def paths_between(self, event_ids: AbstractSet[EventID]) -> set[EventID]:
        """As in AuthChains."""
        return paths_between(event_ids, self.edges)


@dataclass(frozen=True, slots=True)
class SearchedAuthChains:
    """Auth chains walked only as far as they differ: the cost is that of the difference, however large the room.

    An event is in the chains of all states as soon as something that they agree on builds on it. That is found by
    following the edges upwards, which mostly takes a step or two; what is found is kept, so that no event is searched
    from twice. One of these serves one resolution.
    """

    edges: Edges  # auth events
    # The state events that list an event among their auth events, in any order. Read only as far as is needed.
    followers: Callable[[EventID], Iterable[EventID]]
    is_agreed: Callable[[EventID], bool]  # true for an event that is in all of the states
    _common: set[EventID] = field(default_factory=set)  # in the chain of something that is agreed
    _beside: set[EventID] = field(default_factory=set)  # in none of these

    def difference(self, sets: Sequence[AbstractSet[EventID]]) -> set[EventID]:
        """As in AuthChains."""
        everybody = (1 << len(sets)) - 1
        reached_by: dict[EventID, int] = {}  # a bit for each of the sets
        arriving: dict[EventID, int] = {}
        for number, event_ids in enumerate(sets):
            self._pass_on(dict.fromkeys(event_ids, 1 << number), arriving)
        while arriving:
            news: dict[EventID, int] = {}
            for event_id, bits in arriving.items():
                known = reached_by.get(event_id, 0)
                if bits & ~known and not self._is_common(event_id):
                    news[event_id] = bits & ~known
                    reached_by[event_id] = bits | known
            arriving = {}
            self._pass_on(news, arriving)
        return {event_id for event_id, bits in reached_by.items() if bits != everybody}

    def paths_between(self, event_ids: AbstractSet[EventID]) -> set[EventID]:
        """As in AuthChains. The auth chains of these events are walked whole."""
        return paths_between(event_ids, self.edges)

    def _pass_on(self, bits_of: dict[EventID, int], arriving: dict[EventID, int]) -> None:
        for event_id, targets in targets_of(bits_of.keys(), self.edges).items():
            for target in targets:
                arriving[target] = arriving.get(target, 0) | bits_of[event_id]

    def _is_common(self, event_id: EventID) -> bool:
        """True for an event in the auth chain of something that is agreed: a search in depth for such a thing."""
        if event_id in self._common:
            return True
        if event_id in self._beside:
            return False
        done: set[EventID] = set()
        came_round = False
        path: dict[EventID, Iterator[EventID]] = {event_id: iter(self.followers(event_id))}
        while path:
            current = next(reversed(path))
            follower = next(path[current], None)
            if follower is None:
                done.add(current)
                del path[current]
            elif follower in self._common or self.is_agreed(follower):
                self._common.update(path)
                if not came_round:
                    self._beside.update(done)
                return True
            elif follower in path:
                came_round = True  # what is done may yet lead to something by way of the path
            elif follower not in done and follower not in self._beside:
                path[follower] = iter(self.followers(follower))
        self._beside.update(done)
        return False
