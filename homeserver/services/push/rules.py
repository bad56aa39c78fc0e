"""Reading and editing a user's push rules. Spec: client-server-api/#push-rules

What may be changed how is in core/push_rules.py; which class of users the rules put somebody into, in
services/events/push_classes.py.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from homeserver.core.errors import UnknownPushRule
from homeserver.core.identifiers import UserID
from homeserver.core.push_rules import (
    Rule,
    RuleChanges,
    RuleSet,
    delete_rule,
    put_rule,
    rule_kind,
    rule_set,
    set_actions,
    set_enabled,
)
from homeserver.services.events.news import AccountDataWritten, News
from homeserver.services.events.push_classes import PushClasses, keep_counts
from homeserver.storage.database import Database, Transaction
from homeserver.storage.push_rules import find_rule_changes, find_versioned_changes, swap_rule_changes

PUSH_RULES: Final = "m.push_rules"  # as account data, which clients see them as

Edit = Callable[[RuleChanges], RuleChanges]


class PushRules:
    """Edits push rules. The methods raise BadPushRule and UnknownPushRule."""

    def __init__(self, database: Database, classes: PushClasses, news: News) -> None:
        self._database = database
        self._classes = classes
        self._news = news

    async def all_rules(self, user_id: UserID) -> RuleSet:
        """Every rule of the user, the default ones too."""
        return rule_set(await self._database.read(find_rule_changes, user_id))

    async def rules_of_kind(self, user_id: UserID, kind: str) -> Sequence[Rule]:
        """The rules of one kind, the most important first."""
        wanted = rule_kind(kind)
        return tuple((await self.all_rules(user_id)).of_kind(wanted))

    async def rule(self, user_id: UserID, kind: str, rule_id: str) -> Rule:
        """One rule."""
        wanted = rule_kind(kind)
        found = (await self.all_rules(user_id)).find(wanted, rule_id)
        if found is None:
            raise UnknownPushRule("there is no such push rule")
        return found

    async def put(
        self,
        user_id: UserID,
        kind: str,
        rule_id: str,
        body: Mapping[str, Any],  # Any: JSON, checked in core
        *,
        before: str | None,
        after: str | None,
    ) -> None:
        """Add a rule of the user's own, or change it."""
        edit = partial(put_rule, kind=rule_kind(kind), rule_id=rule_id, body=body, before=before, after=after)
        await self._database.write(self.edit, user_id, edit)

    async def delete(self, user_id: UserID, kind: str, rule_id: str) -> None:
        """Delete a rule of the user's own."""
        await self._database.write(self.edit, user_id, partial(delete_rule, kind=rule_kind(kind), rule_id=rule_id))

    async def set_enabled(self, user_id: UserID, kind: str, rule_id: str, *, enabled: bool) -> None:
        """Enable or disable a rule, a default one too."""
        edit = partial(set_enabled, kind=rule_kind(kind), rule_id=rule_id, enabled=enabled)
        await self._database.write(self.edit, user_id, edit)

    async def set_actions(self, user_id: UserID, kind: str, rule_id: str, actions: object) -> None:
        """Give a rule other actions, a default one too."""
        edit = partial(set_actions, kind=rule_kind(kind), rule_id=rule_id, actions=actions)
        await self._database.write(self.edit, user_id, edit)

    def edit(self, tx: Transaction, user_id: UserID, edit: Edit) -> None:
        """Change the user's rules within a write."""
        before, seen = find_versioned_changes(tx, user_id)
        changes = edit(before)
        if changes != before:
            keep_counts(tx, user_id, before, changes)
            tx.at_position(("push_rules",), partial(self._store, user_id=user_id, changes=changes, seen=seen))

    def _store(self, tx: Transaction, position: int, *, user_id: UserID, changes: RuleChanges, seen: int) -> None:
        swap_rule_changes(tx, user_id, changes, seen=seen, log_position=position)
        tx.after_commit(lambda: self._tell(position, user_id, changes))

    def _tell(self, position: int, user_id: UserID, changes: RuleChanges) -> None:
        self._classes.replace(user_id, changes)
        self._news.publish(AccountDataWritten(position, user_id, None, PUSH_RULES), (user_id,))
