"""Servers that cannot reach each other while people on all of them go on; once they can, all agree and nothing is lost.

What a server has is read in its tables, what it tells counted by a device, and each room verified as an administrator
does it. `--large-seed` tells the same stories again, as far as the order in which servers work allows.
"""

from random import Random
from typing import Final

import pytest

from tests.federation.apart.islands import Islands
from tests.federation.apart.stories import VERSIONS, begin, tell

pytestmark = pytest.mark.large

STORIES: Final = {"sample": 1, "whole": 15}
CHAPTERS: Final = 3
STEPS: Final = 4


async def test_servers_that_were_parted_again_and_again_agree_in_the_end(
    three: Islands, chance: Random, story_number: int
) -> None:
    version = VERSIONS[story_number % len(VERSIONS)]
    async with three.connected():
        story = await begin(three, chance, version)

        await tell(story, CHAPTERS, STEPS)
