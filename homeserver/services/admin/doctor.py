"""What is wrong with the server, or soon will be, and what to do about it: for administrators.

What is looked at is in own_machine.py and own_address.py. Nothing is changed by looking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Level(Enum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at, how it is, and what is to be done; nothing, where it is well."""

    name: str
    level: Level
    told: str
    advice: str | None = None


class Examination(Protocol):
    """Looks at some things."""

    async def findings(self) -> Sequence[Finding]:
        """What was found, good or bad."""


class Doctor:
    """Looks at everything."""

    def __init__(self, examinations: Sequence[Examination]) -> None:
        self._examinations = examinations

    async def findings(self) -> list[Finding]:
        """All that was found, one examination after the other."""
        found: list[Finding] = []
        for examination in self._examinations:
            found += await examination.findings()
        return found


def well(name: str, told: str) -> Finding:
    """Something that is as it should be."""
    return Finding(name, Level.OK, told)
