"""Servers whose clocks are hours ahead or behind, and links on which everything takes long."""

from collections.abc import Iterator
from random import Random
from typing import Final

import pytest

from tests.federation.apart.islands import Islands, running
from tests.federation.apart.stories import VERSIONS, begin, tell
from tests.federation.people import Person
from tests.federation.scenes import agree, people, shared_room
from tests.federation.test_devices import upload_device_keys
from tests.tls import CertificateAuthority

pytestmark = pytest.mark.large

STORIES: Final = {"sample": 1, "whole": 5}
HOUR_MS: Final = 3_600_000
CHAPTERS: Final = 2
STEPS: Final = 3
NOT_IN_A_SAMPLE: Final = ("test_what_is_not_of_a_room_comes_to_a_server_with_another_time",)


@pytest.fixture(scope="module")
def three(authority: CertificateAuthority) -> Iterator[Islands]:
    """One clock is right, one five hours fast, and one seven hours slow."""
    with running(authority, (0, 5 * HOUR_MS, -7 * HOUR_MS)) as made:
        yield made


async def test_servers_that_do_not_agree_on_the_time_agree_on_a_room(
    three: Islands, chance: Random, story_number: int
) -> None:
    async with three.connected():
        story = await begin(three, chance, VERSIONS[story_number % len(VERSIONS)])
        for link in three.links.values():
            link.delay_s = chance.choice((0.0, 0.05, 0.2))

        await tell(story, CHAPTERS, STEPS)


@pytest.mark.parametrize(("host", "guest"), [(1, 2), (2, 1)], ids=["from the fast one", "from the slow one"])
async def test_what_is_not_of_a_room_comes_to_a_server_with_another_time(three: Islands, host: int, guest: int) -> None:
    async with three.connected():
        alice, bob = await people(three.peers[host], three.peers[guest])
        room_id = await shared_room(alice, bob)
        await bob.look()
        bob.changed_devices.clear()
        keys = await upload_device_keys(alice)

        await bob.until(lambda: alice.user_id in bob.changed_devices)
        three.peers[host].stop()
        await three.peers[host].start()
        await agree(room_id, alice, bob)
        assert await keys_of(alice, bob) == keys["keys"]


async def keys_of(owner: Person, asking: Person) -> object:
    """What somebody is told of the keys of the owner's device."""
    answer = await asking.post("keys", "query", body={"device_keys": {owner.user_id: []}})
    return answer["device_keys"][owner.user_id][owner.user.device_id]["keys"]
