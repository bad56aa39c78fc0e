"""Servers that were away, or could not ask: what they missed comes without anybody's doing once they are back."""

from typing import Final

import pytest

from tests.federation.apart.devices import names_of_devices
from tests.federation.apart.islands import Islands
from tests.federation.apart.links import CUTS, Passage
from tests.federation.apart.witnesses import count_rows, until
from tests.federation.scenes import agree, people, shared_room
from tests.federation.test_devices import upload_device_keys

pytestmark = pytest.mark.large

WAITING: Final = "SELECT COUNT(*) FROM waiting_events WHERE room_id = ?"
NOT_IN_A_SAMPLE: Final = (
    "test_a_change_of_devices_is_learned_when_the_link_is_whole_again",
    "test_events_that_could_not_be_asked_for_come_when_they_can_be",
)


async def test_a_change_of_devices_is_learned_after_an_outage(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        await shared_room(alice, bob)
        phone = await alice.another_device()
        for device in (alice, phone):
            await upload_device_keys(device)
        await names_of_devices(alice, bob, (alice, None), (phone, None))

        three.peers[1].stop()
        await phone.post("logout")
        tablet = await alice.another_device()
        await upload_device_keys(tablet)
        await three.peers[1].start()

        await names_of_devices(alice, bob, (alice, None), (tablet, None))


@pytest.mark.parametrize("passage", CUTS, ids=lambda passage: passage.value)
async def test_a_change_of_devices_is_learned_when_the_link_is_whole_again(three: Islands, passage: Passage) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        phone = await alice.another_device()
        for device in (alice, phone):
            await upload_device_keys(device)
        await names_of_devices(alice, bob, (alice, None), (phone, None))

        await three.cut(three.between([0], [1]), passage)
        await phone.post("logout")
        await alice.put("devices", alice.user.device_id, body={"display_name": "renamed"})
        await three.heal()

        await names_of_devices(alice, bob, (alice, "renamed"))
        await agree(room_id, alice, bob)


async def test_events_that_could_not_be_asked_for_come_when_they_can_be(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        carol = await three.peers[2].person("carol")
        room_id = await shared_room(alice, bob, carol)

        await three.cut([(0, 1), (1, 0), (1, 2)], Passage.REFUSED)
        await alice.say(room_id, "bob does not hear it")
        await carol.hears(room_id, "bob does not hear it")
        await carol.say(room_id, "and this is built on it")
        await until(lambda: count_rows(three.server(1).sqlite_file, WAITING, room_id) > 0)
        await three.links[1, 2].become(Passage.OPEN)

        await bob.hears(room_id, "and this is built on it")
        await bob.hears(room_id, "bob does not hear it")
