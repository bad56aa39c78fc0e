"""Which state of a room a client asks for in sliding sync: pairs of a type and a state key, some of them wild.

Spec: MSC4186. Which room is asked about in which way is in services/sync/sliding_lists.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.core.state_map import StateKey

MEMBER: Final = "m.room.member"
ANY: Final = "*"
LAZY: Final = "$LAZY"
ME: Final = "$ME"
LAZY_MEMBERS: Final[StateKey] = (MEMBER, LAZY)


@dataclass(frozen=True, slots=True)
class RequiredState:
    """Pairs, any of which state may match. With `$LAZY` members are wanted that the timeline needs.

    Then what is wild in its type does not mean members, but what names their type does.
    """

    pairs: frozenset[StateKey]

    @property
    def is_lazy(self) -> bool:
        """Whether members are loaded as they are needed."""
        return LAZY_MEMBERS in self.pairs

    @property
    def wants_all_members(self) -> bool:
        """Whether every member of the room is asked for."""
        return (MEMBER, ANY) in self.pairs or ((ANY, ANY) in self.pairs and not self.is_lazy)

    @property
    def exact(self) -> frozenset[StateKey]:
        """The pairs that nothing is wild about."""
        return frozenset(pair for pair in self.pairs if ANY not in pair and pair != LAZY_MEMBERS)

    @property
    def is_wild_in_type(self) -> bool:
        """Whether some pair leaves the type open."""
        return any(event_type == ANY for event_type, _ in self.pairs)

    @property
    def wild_types(self) -> frozenset[str]:
        """The types of which every state key is wanted."""
        return frozenset(event_type for event_type, key in self.pairs if key == ANY and event_type != ANY)

    def wants(self, event_type: str, state_key: str) -> bool:
        """Whether this piece of state is asked for, whatever the timeline needs."""
        pairs = self.pairs
        if (event_type, state_key) in pairs or (event_type, ANY) in pairs:
            return True
        if event_type == MEMBER and self.is_lazy:
            return False
        return (ANY, ANY) in pairs or (ANY, state_key) in pairs

    def covers(self, other: "RequiredState") -> bool:
        """Whether whoever was told what this asks for was told all that the other asks for."""
        return self.pairs >= other.pairs or (
            self.is_lazy >= other.is_lazy
            and all(self._covers_pair(pair, other) for pair in other.pairs if pair != LAZY_MEMBERS)
        )

    def with_pairs_of(self, other: "RequiredState") -> "RequiredState":
        """What either of the two asks for."""
        if self.is_lazy == other.is_lazy:
            return RequiredState(self.pairs | other.pairs)
        # One of the two means members by what is wild in its type.
        eager = other if self.is_lazy else self
        named = {(MEMBER, key) for event_type, key in eager.pairs if event_type == ANY}
        return RequiredState(self.pairs | other.pairs | named)

    def _covers_pair(self, pair: StateKey, other: "RequiredState") -> bool:
        event_type, key = pair
        if event_type != ANY and key != ANY:
            return self.wants(event_type, key)
        if event_type != ANY:
            return pair in self.pairs or ((ANY, ANY) in self.pairs and not (event_type == MEMBER and self.is_lazy))
        if self.is_lazy and not other.is_lazy and (MEMBER, key) not in self.pairs and (MEMBER, ANY) not in self.pairs:
            return False
        return pair in self.pairs or (ANY, ANY) in self.pairs


def required_state(pairs: Iterable[StateKey], user_id: UserID) -> RequiredState:
    """What the user asks for by these pairs, in which `$ME` is the user."""
    return RequiredState(frozenset((event_type, user_id if key == ME else key) for event_type, key in pairs))
