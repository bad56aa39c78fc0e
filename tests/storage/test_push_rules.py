"""What users changed of their push rules."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.core.push_rules import NO_CHANGES, RuleKind, put_rule, set_enabled
from homeserver.storage.database import Conflict
from homeserver.storage.push_rules import (
    find_rule_changes,
    find_versioned_changes,
    have_rules_changed,
    rule_changes_of,
    swap_rule_changes,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
CHANGES = set_enabled(
    put_rule(NO_CHANGES, RuleKind.CONTENT, "cake", {"pattern": "cake", "actions": ["notify"]}),
    RuleKind.OVERRIDE,
    ".m.rule.master",
    enabled=True,
)


def test_changes_are_read_back_and_whoever_changed_nothing_has_none(db: SyncDatabase) -> None:
    db.write(swap_rule_changes, ALICE, CHANGES, seen=0, log_position=3)

    assert db.read(find_rule_changes, ALICE) == CHANGES
    assert db.read(find_versioned_changes, ALICE) == (CHANGES, 3)
    assert db.read(find_versioned_changes, BOB) == (NO_CHANGES, 0)
    assert db.read(rule_changes_of, [ALICE, BOB]) == {ALICE: CHANGES}


def test_changes_are_put_only_over_what_was_seen(db: SyncDatabase) -> None:
    db.write(swap_rule_changes, ALICE, CHANGES, seen=0, log_position=3)

    with pytest.raises(Conflict):
        db.write(swap_rule_changes, ALICE, NO_CHANGES, seen=0, log_position=4)
    db.write(swap_rule_changes, ALICE, NO_CHANGES, seen=3, log_position=5)

    assert db.read(find_versioned_changes, ALICE) == (NO_CHANGES, 5)
    assert db.read(have_rules_changed, ALICE, after=4, upto=5)
    assert not db.read(have_rules_changed, ALICE, after=5, upto=6)
    assert not db.read(have_rules_changed, ALICE, after=2, upto=4)
