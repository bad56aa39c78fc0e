"""All that is looked at comes together."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.services.admin.doctor import Doctor, Finding, Level, well
from tests.services.world import now


@dataclass
class Found:
    """An examination that finds these things."""

    found: Sequence[Finding]

    async def findings(self) -> Sequence[Finding]:
        return self.found


def test_the_findings_of_all_examinations_are_told_in_their_order() -> None:
    first, second = well("disk", "there is room"), Finding("clock", Level.ERROR, "late", "set it")

    found = now(Doctor((Found([first]), Found([]), Found([second]))).findings())

    assert found == [first, second]
    assert first.advice is None
