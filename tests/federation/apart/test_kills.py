"""Servers that are killed with work for each other: what was acknowledged comes to all, and once."""

import secrets
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.federation.apart.devices import names_of_devices
from tests.federation.apart.islands import Islands
from tests.federation.apart.links import Passage
from tests.federation.apart.stories import VERSIONS, Story, begin
from tests.federation.apart.witnesses import count_rows, until, witness
from tests.federation.scenes import agree, people, shared_room
from tests.federation.test_devices import upload_device_keys

pytestmark = pytest.mark.large

STORIES: Final = {"sample": 1, "whole": 10}
STAGED: Final = "SELECT COUNT(*) FROM staged_pdus"
UNDER_WAY: Final = "SELECT COUNT(*) FROM outboxes WHERE transaction_id IS NOT NULL"
STEPS: Final = 3
CHAPTERS: Final = 3
NOT_IN_A_SAMPLE: Final = (
    "test_what_nobody_knows_whether_it_arrived_arrives_once_after_the_sender_was_killed",
    "test_a_server_that_is_killed_with_a_full_outbox_delivers_it",
)
MOST_KILLS: Final = 20


async def test_events_that_came_and_were_not_judged_when_the_server_was_killed_are_judged_then(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        counting = await witness(bob, room_id)
        said: list[str] = []
        database = three.server(1).sqlite_file

        for number in range(MOST_KILLS):
            await three.cut([(0, 1)], Passage.REFUSED)
            said += [await alice.say(room_id, f"{number} {part}") for part in range(40)]
            await three.heal()
            await until(lambda: count_rows(database, STAGED) > 0)
            three.kill(1)
            left = count_rows(three.copy_of(1, tmp_path), STAGED)
            await three.peers[1].start()
            if left:
                break

        assert left, "the server was never killed with such events"
        await agree(room_id, alice, bob)
        await counting.look()
        assert [counting.told[event_id] for event_id in said] == [1] * len(said)


async def test_what_nobody_knows_whether_it_arrived_arrives_once_after_the_sender_was_killed(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        counting = await witness(bob, room_id)
        await agree(room_id, alice, bob)  # so there is a connection: none can be made over such a link
        await three.cut([(0, 1)], Passage.DEAF)

        event_id = await alice.say(room_id, "was it heard?")
        body = {"messages": {bob.user_id: {bob.user.device_id: {"text": "was it heard?"}}}}
        await alice.put("sendToDevice", "org.example.test", secrets.token_hex(8), body=body)
        await bob.sees(room_id, event_id)
        assert count_rows(three.server(0).sqlite_file, UNDER_WAY) == 1
        three.kill(0)
        await three.heal()
        await three.peers[0].start()

        await agree(room_id, alice, bob)
        await bob.until(lambda: bob.messages_to_device)
        await until(lambda: count_rows(three.server(0).sqlite_file, UNDER_WAY) == 0)
        await bob.look()
        await counting.look()
        assert counting.told[event_id] == 1
        assert [one["content"] for one in bob.messages_to_device] == [{"text": "was it heard?"}]


async def test_a_server_that_is_killed_with_a_full_outbox_delivers_it(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        carol = await three.peers[2].person("carol")
        room_id = await shared_room(alice, bob, carol)
        counting = [await witness(person, room_id) for person in (bob, carol)]
        await three.cut(three.between([0], [1]), Passage.SILENT)
        await three.cut(three.between([0], [2]), Passage.REFUSED)

        said = [await alice.say(room_id, f"unheard {number}") for number in range(120)]
        three.kill(0)
        await three.peers[0].start()
        said += [await alice.say(room_id, f"still unheard {number}") for number in range(5)]
        three.kill(0)
        await three.heal()
        await three.peers[0].start()

        await bob.hears(room_id, "still unheard 4")
        await carol.hears(room_id, "still unheard 4")
        await agree(room_id, bob, carol)
        for one in counting:
            await one.look()
            assert [one.told[event_id] for event_id in said] == [1] * len(said)


async def test_a_change_of_devices_that_nobody_was_told_of_when_the_server_was_killed_is_told_then(
    three: Islands,
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        await shared_room(alice, bob)
        phone = await alice.another_device()
        for device in (alice, phone):
            await upload_device_keys(device)
        await names_of_devices(alice, bob, (alice, None), (phone, None))

        await three.cut(three.between([0], [1]), Passage.REFUSED)
        await phone.post("logout")
        tablet = await alice.another_device()
        await upload_device_keys(tablet)
        three.kill(0)
        await three.peers[0].start()
        await three.heal()

        await names_of_devices(alice, bob, (alice, None), (tablet, None))


async def test_servers_that_are_killed_again_and_again_agree_in_the_end(
    three: Islands, chance: Random, story_number: int
) -> None:
    async with three.connected():
        story = await begin(three, chance, VERSIONS[story_number % len(VERSIONS)])

        for _ in range(CHAPTERS):
            number = chance.randrange(len(three.peers))
            print(await story.part(), "; then", number, "is killed")
            await story.go_on(STEPS)
            await kill(story, number)
            await story.islands.heal()
            await story.go_on(1)

        await story.end()


async def kill(story: Story, number: int) -> None:
    """Kill a server, and start it again while links are cut as they were."""
    story.islands.kill(number)
    await story.islands.peers[number].start()
