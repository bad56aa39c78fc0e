"""Which class of equal push rules each local user is in: what an event means is worked out once per class.

Editing rules is in services/push/rules.py.
"""

from collections.abc import Collection
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_evaluation import CompiledRules, compile_rules
from homeserver.core.push_rules import RuleChanges, rule_set
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.storage.database import Transaction
from homeserver.storage.notifications import keep_notifications, rooms_with_notifications
from homeserver.storage.push_rules import rule_changes_of

DEFAULT_RULES: Final = compile_rules(rule_set())


class PushClasses:
    """The compiled rules of users."""

    def __init__(self, budget: CacheBudget) -> None:
        self._rules: BoundedCache[UserID, CompiledRules] = BoundedCache("push rules", budget, _size)
        self.generation = 0  # moves whenever a user's rules change

    def of_users(self, tx: Transaction | None, user_ids: Collection[UserID]) -> dict[UserID, CompiledRules]:
        """The rules of each of the users. Without `tx`, those not at hand are left out."""
        found: dict[UserID, CompiledRules] = {}
        missing: list[UserID] = []
        for user_id in user_ids:
            rules = self._rules.get(user_id)
            if rules is None:
                missing.append(user_id)
            else:
                found[user_id] = rules
        if missing and tx is not None:
            changed = rule_changes_of(tx, missing)
            generation = self.generation
            for user_id in missing:
                changes = changed.get(user_id)
                found[user_id] = DEFAULT_RULES if changes is None else compile_rules(rule_set(changes))
            tx.after_commit(lambda: self._keep({user_id: found[user_id] for user_id in missing}, generation))
        return found

    def replace(self, user_id: UserID, changes: RuleChanges) -> None:
        """The user's rules changed; to be called after the commit."""
        self.generation += 1
        self._rules.put(user_id, compile_rules(rule_set(changes)))

    def _keep(self, rules: dict[UserID, CompiledRules], generation: int) -> None:
        if generation == self.generation:  # else they may have been read before the change
            for user_id, compiled in rules.items():
                self._rules.put(user_id, compiled)


def keep_counts(tx: Transaction, user_id: UserID, before: RuleChanges, after: RuleChanges) -> None:
    """Let events that were written under a user's old rules count for the user as they did.

    They count by class, and with other rules the user is of another class.
    """
    old, new = compile_rules(rule_set(before)), compile_rules(rule_set(after))
    if old == new:
        return
    moves: dict[tuple[bytes, bytes], list[RoomID]] = {}
    for room_id in rooms_with_notifications(tx, user_id):
        move = (old.in_room(room_id).class_key, new.in_room(room_id).class_key)
        moves.setdefault(move, []).append(room_id)
    for (class_before, class_after), room_ids in moves.items():
        if class_before != class_after:
            keep_notifications(tx, user_id, room_ids, before=class_before, after=class_after)


def _size(rules: CompiledRules) -> int:
    return 100 if rules is DEFAULT_RULES else 8_000
