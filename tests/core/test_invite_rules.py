"""Whose invites a user wants."""

from typing import Any

import pytest

from homeserver.core.identifiers import UserID
from homeserver.core.invite_rules import MOST_GLOBS, Answer, InviteRules

ALICE = UserID("@alice:good.example")


def answer(filtering: Any, permission: Any = None, inviter: UserID = ALICE) -> Answer:
    return InviteRules(permission, filtering).answer(inviter)


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (None, Answer.ALLOW),
        ({}, Answer.ALLOW),
        ({"default_action": "allow"}, Answer.ALLOW),
        ({"default_action": ["block"]}, Answer.ALLOW),
        ({"default_action": "block"}, Answer.BLOCK),
    ],
)
def test_who_blocks_by_default_wants_no_invites(permission: Any, expected: Answer) -> None:
    assert answer(None, permission) is expected
    assert answer({"allowed_users": ["*"]}, permission) is expected


@pytest.mark.parametrize(
    ("filtering", "expected"),
    [
        ({}, Answer.ALLOW),
        ({"blocked_servers": ["*"]}, Answer.BLOCK),
        ({"ignored_servers": ["*"], "blocked_servers": ["*"]}, Answer.IGNORE),
        ({"allowed_servers": ["good.example"], "ignored_servers": ["*"], "blocked_servers": ["*"]}, Answer.ALLOW),
        ({"allowed_servers": ["GOOD.example"], "blocked_servers": ["*"]}, Answer.ALLOW),
        ({"allowed_servers": ["g??d.*"], "blocked_servers": ["*"]}, Answer.ALLOW),
        ({"allowed_servers": ["good"], "blocked_servers": ["*"]}, Answer.BLOCK),
        ({"allowed_servers": ["*"], "blocked_users": ["@alice:*"]}, Answer.BLOCK),
        ({"allowed_users": ["@alice:good.example"], "blocked_users": ["*"]}, Answer.ALLOW),
        ({"ignored_users": ["@a*"], "blocked_users": ["@alice:good.example"]}, Answer.IGNORE),
        ({"blocked_users": ["@Alice:good.example"]}, Answer.ALLOW),
        ({"blocked_users": ["alice"]}, Answer.ALLOW),
    ],
)
def test_what_is_said_of_users_counts_before_what_is_said_of_servers(filtering: Any, expected: Answer) -> None:
    assert answer(filtering) is expected


@pytest.mark.parametrize(
    "filtering",
    [
        {"blocked_users": None},
        {"blocked_users": "*"},
        {"blocked_users": {"*": True}},
        {"blocked_users": [1, None, ["*"], {}, ""]},
        {"blocked_users": ["*" * 300]},
        {"blocked": ["*"]},
    ],
)
def test_what_makes_no_sense_says_nothing(filtering: Any) -> None:
    assert answer(filtering) is Answer.ALLOW


def test_only_so_many_globs_are_tried_but_all_names() -> None:
    globs = [f"@{number}*" for number in range(MOST_GLOBS)]

    assert answer({"blocked_users": [*globs, "*"]}) is Answer.ALLOW
    assert answer({"blocked_users": [*globs[:-1], "*"]}) is Answer.BLOCK
    assert answer({"blocked_users": [*globs, "*", str(ALICE)]}) is Answer.BLOCK


def test_who_is_ignored_or_blocked_is_not_shown() -> None:
    assert [InviteRules(None, {f"{one.value}_users": ["*"]}).hides(ALICE) for one in Answer] == [False, True, True]
