"""Push rules, as what each user changed of the default ones."""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.core.push_rules import NO_CHANGES, RuleChanges, dump_changes, load_changes
from homeserver.storage.database import Conflict, Transaction
from homeserver.storage.tables import Owner, Retention, Table

FIND = "SELECT changes FROM push_rules WHERE user_id = :user_id"


def find_rule_changes(tx: Transaction, user_id: UserID) -> RuleChanges:
    """What the user changed of the default rules."""
    row = tx.one(FIND, user_id=user_id)
    return NO_CHANGES if row is None else load_changes(bytes(row[0]))


FIND_VERSIONED = "SELECT changes, log_position FROM push_rules WHERE user_id = :user_id"


def find_versioned_changes(tx: Transaction, user_id: UserID) -> tuple[RuleChanges, int]:
    """What the user changed of the default rules, and at which log position last: 0 for never."""
    row = tx.one(FIND_VERSIONED, user_id=user_id)
    return (NO_CHANGES, 0) if row is None else (load_changes(bytes(row[0])), row[1])


OF_USERS = "SELECT user_id, changes FROM push_rules WHERE user_id IN :user_ids[text]"


def rule_changes_of(tx: Transaction, user_ids: Sequence[str]) -> dict[UserID, RuleChanges]:
    """What each of the users changed of the default rules; those who changed nothing are left out."""
    return {UserID(row[0]): load_changes(bytes(row[1])) for row in tx.all(OF_USERS, user_ids=list(user_ids))}


SWAP = """
    INSERT INTO push_rules (user_id, log_position, changes) VALUES (:user_id, :log_position, :changes)
    ON CONFLICT (user_id) DO UPDATE SET log_position = excluded.log_position, changes = excluded.changes
     WHERE push_rules.log_position = :seen"""


def swap_rule_changes(tx: Transaction, user_id: UserID, changes: RuleChanges, *, seen: int, log_position: int) -> None:
    """Keep what the user changed, if nothing was changed since log position `seen`. Raises Conflict."""
    stored = dump_changes(changes)
    if not tx.run(SWAP, user_id=user_id, log_position=log_position, changes=stored, seen=seen):
        raise Conflict(user_id)


CHANGED_SINCE = """
    SELECT 1 FROM push_rules WHERE user_id = :user_id AND log_position > :after AND log_position <= :upto"""


def have_rules_changed(tx: Transaction, user_id: UserID, *, after: int, upto: int) -> bool:
    """Whether the user's rules changed in (after, upto]."""
    return tx.one(CHANGED_SINCE, user_id=user_id, after=after, upto=upto) is not None


TABLES: Final[tuple[Table, ...]] = (
    Table("push_rules", owners={Owner.USER: "user_id"}, retention=Retention.bounded("at most one row per user")),
)
