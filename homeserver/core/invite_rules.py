"""Whose invites a user wants, by what the user's account data says of it.

Blocking all of them is in the specification: client-server-api/#invite-permission. Choosing by user and server is the
proposal MSC4155: globs, those for users before those for servers, and in each what is allowed before what is ignored
before what is blocked. Where it is looked at: services/rooms/invite_permission.py.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from homeserver.core.globs import Glob
from homeserver.core.identifiers import UserID, server_name_of_user

LONGEST_PATTERN: Final = 255  # no user ID is longer
MOST_GLOBS: Final = 1_000  # of a list; plain names are bounded by the size of account data alone


class Answer(Enum):
    """What becomes of an invite."""

    ALLOW = "allowed"
    IGNORE = "ignored"  # it is as any other, but the user is not shown it
    BLOCK = "blocked"  # it is refused


_ORDER: Final = tuple(Answer)


class InviteRules:
    """What one user says of invites. What is not understood in it says nothing."""

    def __init__(self, permission: Mapping[str, Any] | None, filtering: Mapping[str, Any] | None) -> None:
        """`permission` and `filtering` are the contents of the two kinds of account data. Any: JSON of the client's."""
        self._blocks_all = permission is not None and permission.get("default_action") == "block"
        self._filtering = filtering or {}

    def answer(self, inviter: UserID) -> Answer:
        """What is to become of an invite by `inviter`."""
        if self._blocks_all:
            return Answer.BLOCK
        for kind, name in (("users", str(inviter)), ("servers", server_name_of_user(inviter).lower())):
            for answer in _ORDER:
                listed = self._filtering.get(f"{answer.value}_{kind}")
                if isinstance(listed, list) and _is_listed(name, listed, ignore_case=kind == "servers"):
                    return answer
        return Answer.ALLOW

    def hides(self, inviter: UserID) -> bool:
        """Whether the user is not shown invites of `inviter`, also of the time when they were allowed."""
        return self.answer(inviter) is not Answer.ALLOW


def _is_listed(name: str, patterns: Sequence[object], *, ignore_case: bool) -> bool:
    if name in patterns:
        return True
    globs = 0
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
            continue
        if "*" not in pattern and "?" not in pattern:
            if ignore_case and pattern.lower() == name:
                return True
            continue
        globs += 1
        if globs > MOST_GLOBS:
            return False
        if Glob(pattern, ignore_case=ignore_case).matches(name):
            return True
    return False
