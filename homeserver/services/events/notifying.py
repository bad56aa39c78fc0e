"""What an event does to the unread counts of a room's local members.

It is worked out for each class of equal push rules, and one by one only for those whom the event names: nothing is
written per member. The rules are core/push_evaluation.py; who is in which class, services/events/push_classes.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.power_levels import read_power_levels
from homeserver.core.push_evaluation import (
    CompiledRules,
    EventFacts,
    RoomFacts,
    UserFacts,
    evaluate_class,
    evaluate_user,
    event_facts,
    occurs_in_body,
)
from homeserver.core.push_rules import Action
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.events.news import EventNotified
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import local_members, member_counts
from homeserver.storage.notifications import ClassNotification, PersonalNotification
from homeserver.storage.thread_subscriptions import subscribers

NOBODY: Final = EventNotified((), ())
BODY: Final = ("content", "body")


@dataclass(frozen=True, slots=True)
class Audience:
    """A room's joined members of this server, with their display names, and how many are joined in all."""

    members: Mapping[UserID, str | None]
    joined_count: int


@dataclass(frozen=True, slots=True)
class _Classes:
    """An audience by its push rules, as of one generation of them."""

    generation: int
    of_user: Mapping[UserID, CompiledRules]
    classes: frozenset[CompiledRules]
    watched_names: Mapping[UserID, str]
    watching_threads: frozenset[UserID]


class Notifying:
    """Works out whom an event notifies."""

    def __init__(self, states: RoomStates, classes: PushClasses, budget: CacheBudget) -> None:
        self._states = states
        self._classes = classes
        self._audiences: BoundedCache[tuple[RoomID, bytes], Audience] = BoundedCache(
            "audiences", budget, lambda audience: 200 + 150 * len(audience.members)
        )
        self._by_class: BoundedCache[tuple[RoomID, bytes], _Classes] = BoundedCache(
            "push classes of rooms", budget, lambda classes: 200 + 150 * len(classes.of_user)
        )

    def audience(self, tx: Transaction, room_id: RoomID, root: bytes) -> Audience:
        """Who of this server is joined to the room, whose current state must be `root`."""
        members_root = self._states.subtree_root(tx, room_id, root, "m.room.member")
        key = (room_id, members_root)
        audience = self._audiences.get(key)
        if audience is None:
            audience = Audience(local_members(tx, room_id), member_counts(tx, room_id).get("join", 0))
            self._audiences.put(key, audience)  # follows from the root: true whoever commits what
        return audience

    def forget_names(self, room_id: RoomID, members_root: bytes) -> None:
        """A member event of this state was redacted: the same state has other display names now."""
        self._audiences.discard((room_id, members_root))
        self._by_class.discard((room_id, members_root))

    def forget_room(self, room_id: RoomID) -> None:
        """A room is about to be deleted."""
        for cache in (self._audiences, self._by_class):
            cache.discard_keys(lambda key: key[0] == room_id)

    def evaluate(self, tx: Transaction, stored: StoredEvent, root: bytes) -> EventNotified:
        """What the event does for each class, and for those for whom it does otherwise. `root`: the current state."""
        event = stored.event
        audience = self.audience(tx, event.room_id, root)
        if not audience.members or audience.members.keys() == {event.sender}:
            return NOBODY
        by_class = self._classes_of(tx, event.room_id, root, audience)
        facts = event_facts(event)
        room = self._room_facts(tx, event, root, audience)
        outcomes = {rules.class_key: evaluate_class(rules, facts, room) for rules in by_class.classes}
        persons = []
        alone, subscribed = self._named(facts, audience, by_class), set[UserID]()
        if stored.thread_id is not None and by_class.watching_threads:
            alone |= by_class.watching_threads - {event.sender}
            subscribed = subscribers(tx, event.room_id, stored.thread_id, alone)
        for user_id in alone:
            rules = by_class.of_user[user_id]
            is_subscribed = None if stored.thread_id is None else user_id in subscribed
            own = evaluate_user(rules, facts, room, UserFacts(user_id, audience.members[user_id], is_subscribed))
            shared = outcomes[rules.class_key]
            if (own.notify, own.highlight) != (shared.notify, shared.highlight):
                persons.append(PersonalNotification(user_id, own.notify, own.highlight))
        classes = tuple(
            ClassNotification(class_key, outcome.notify, outcome.highlight)
            for class_key, outcome in outcomes.items()
            if outcome.notify
        )
        return EventNotified(classes, tuple(persons))

    def actions(
        self, tx: Transaction, stored: StoredEvent, root: bytes, user_id: UserID, *, highlight: bool
    ) -> Sequence[Action]:
        """What was to be done about an event that notified a user. `root`: the current state.

        It is not kept: it is what the user's rules say now, unless they would not notify alike any more.
        """
        event = stored.event
        audience = self.audience(tx, event.room_id, root)
        rules = self._classes.of_users(tx, (user_id,))[user_id].in_room(event.room_id)
        user = UserFacts(user_id, audience.members.get(user_id))
        outcome = evaluate_user(rules, event_facts(event), self._room_facts(tx, event, root, audience), user)
        if outcome.notify and outcome.highlight == highlight:
            return outcome.actions
        return ("notify", {"set_tweak": "highlight"}) if highlight else ("notify",)

    def _classes_of(self, tx: Transaction, room_id: RoomID, root: bytes, audience: Audience) -> _Classes:
        key = (room_id, self._states.subtree_root(tx, room_id, root, "m.room.member"))
        known = self._by_class.get(key)
        if known is not None and known.generation == self._classes.generation:
            return known
        generation = self._classes.generation
        rules = self._classes.of_users(tx, audience.members)
        of_user = {user_id: compiled.in_room(room_id) for user_id, compiled in rules.items()}
        known = _Classes(
            generation=generation,
            of_user=of_user,
            classes=frozenset(of_user.values()),
            watched_names={
                user_id: name
                for user_id, name in audience.members.items()
                if name and of_user[user_id].watches_display_name
            },
            watching_threads=frozenset(user_id for user_id, compiled in of_user.items() if compiled.watches_threads),
        )
        self._by_class.put(key, known)
        return known

    @staticmethod
    def _named(facts: EventFacts, audience: Audience, by_class: _Classes) -> set[UserID]:
        named = {UserID(user_id) for user_id in facts.named_users if user_id in audience.members}
        if facts.lower_text(BODY) is not None:
            named.update(user_id for user_id, name in by_class.watched_names.items() if occurs_in_body(name, facts))
        named.discard(UserID(facts.sender))
        return named

    def _room_facts(self, tx: Transaction, event: Event, root: bytes, audience: Audience) -> RoomFacts:
        state = self._states.select(tx, event.room_id, root, (CREATE, POWER_LEVELS))
        create = state.get(CREATE)
        if create is None:
            return RoomFacts(audience.joined_count, 0, {})
        power_levels = state.get(POWER_LEVELS)
        levels = read_power_levels(create, power_levels, event.version)
        return RoomFacts(audience.joined_count, levels.user_level(event.sender), notification_levels(power_levels))


def notification_levels(power_levels: Event | None) -> Mapping[str, int]:
    """Which levels it takes to notify the whole room, as the power levels have it."""
    given = None if power_levels is None else power_levels.content.get("notifications")
    return {key: level for key, level in given.items() if type(level) is int} if isinstance(given, dict) else {}
