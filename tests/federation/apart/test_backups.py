"""A server that was put back to an old backup, among servers that remember what it said since."""

import secrets
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from homeserver.storage.events import Verdict
from tests.federation.apart.backups import back_up, back_up_online, restore, restore_elsewhere
from tests.federation.apart.devices import names_of_devices
from tests.federation.apart.islands import Islands
from tests.federation.apart.links import Passage
from tests.federation.apart.stories import begin
from tests.federation.apart.witnesses import count_rows, until, witness
from tests.federation.people import Person
from tests.federation.scenes import agree, people, shared_room
from tests.federation.test_devices import upload_device_keys

pytestmark = pytest.mark.large

STORIES: Final = {"sample": 1, "whole": 5}
STEPS: Final = 2
VERSIONS: Final = ("11", "12", "6", "10", "1")
RESTORED: Final = 0
LOG_POSITION: Final = "SELECT value FROM log_position"
STREAM_ID: Final = "SELECT stream_id FROM remote_device_lists WHERE user_id = ?"
IS_KEPT: Final = "SELECT COUNT(*) FROM remote_device_lists WHERE user_id = ? AND NOT is_stale"
NOT_IN_A_SAMPLE: Final = (  # of the last three, tests/services/sync/test_lost_time.py has the everyday part
    "test_what_waited_for_others_when_the_backup_was_made_comes_to_them_once",
    "test_a_device_of_after_the_restore_is_seen_by_others_who_saw_devices_that_are_forgotten",
    "test_a_client_that_saw_more_than_is_there_begins_anew_however_much_has_come_since",
    "test_devices_of_others_that_are_forgotten_are_learned_again_once_a_client_comes_back",
    "test_one_time_keys_that_were_claimed_since_are_not_given_again_to_a_client_that_comes_back",
)


async def test_a_restored_server_learns_again_what_it_and_others_said_since(
    three: Islands, chance: Random, story_number: int, tmp_path: Path
) -> None:
    async with three.connected():
        story = await begin(three, chance, VERSIONS[story_number])
        await story.go_on(STEPS)
        backup = await back_up(three, RESTORED, tmp_path / "backup")
        await story.go_on(STEPS)
        await story.settle()
        forgotten = set(story.acknowledged)
        others = [story.verdicts(number) for number in range(len(three.peers)) if number != RESTORED]

        await restore(three, RESTORED, backup)
        forgotten -= story.verdicts(RESTORED).keys()
        # Upon what all others soft-failed nobody builds, so nobody tells of it again.
        for lost in [lost for lost in forgotten if not any(verdicts[lost] is Verdict.ACCEPTED for verdicts in others)]:
            forgotten.discard(lost)
            del story.acknowledged[lost]
        story.witnesses[RESTORED] = await witness(story.keepers[RESTORED], story.room_id, begins_late=True)
        await story.go_on(STEPS)
        await story.end()

        assert forgotten
        assert forgotten <= story.verdicts(RESTORED).keys()


async def test_what_waited_for_others_when_the_backup_was_made_comes_to_them_once(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        counting = await witness(bob, room_id)
        await three.cut(three.between([0], [1]), Passage.REFUSED)
        waiting = await alice.say(room_id, "it waits in the backup")
        await send_to_device(alice, bob, "it waits, too")
        backup = await back_up(three, 0, tmp_path / "backup")
        await three.heal()
        await bob.hears(room_id, "it waits in the backup")
        await send_to_device(alice, bob, "sent after the backup")
        await bob.until(lambda: len(bob.messages_to_device) == 2)

        await restore(three, 0, backup)
        await send_to_device(alice, bob, "sent when it was restored")
        last = await alice.say(room_id, "and now?")

        await bob.hears(room_id, "and now?")
        await bob.until(lambda: len(bob.messages_to_device) >= 3)
        await bob.look()
        await counting.look()
        assert [one["content"]["text"] for one in bob.messages_to_device] == [
            "it waits, too",
            "sent after the backup",
            "sent when it was restored",
        ]
        assert counting.told[waiting] == 1
        assert counting.told[last] == 1


async def test_a_server_that_is_moved_to_an_empty_computer_catches_up_with_others_and_they_with_it(
    three: Islands,
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        counting = await witness(bob, room_id)
        await three.cut(three.between([0], [1]), Passage.REFUSED)
        waiting = [await alice.say(room_id, f"waits in the backup, {number}") for number in range(3)]
        await send_to_device(alice, bob, "waits, too")
        backup = await back_up_online(three, 0)
        waiting_for_long = await alice.say(room_id, "is not in the backup")

        await restore_elsewhere(three, 0, backup)
        await three.heal()
        told = await bob.say(room_id, "what have you been saying?")

        await alice.hears(room_id, "what have you been saying?")
        newest = await alice.say(room_id, "all of this")
        await bob.hears(room_id, "all of this")
        await bob.until(lambda: len(bob.messages_to_device) == 1)
        await counting.look()
        assert [counting.told[event_id] for event_id in (*waiting, told, newest)] == [1] * 5
        assert counting.told[waiting_for_long] == 0  # nobody had heard it, and it is gone
        assert bob.messages_to_device[0]["content"]["text"] == "waits, too"
        await agree(room_id, alice, bob)


async def test_a_device_of_after_the_restore_is_seen_by_others_who_saw_devices_that_are_forgotten(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        tablet = await alice.another_device()
        for device in (alice, tablet):
            await upload_device_keys(device)
        await names_of_devices(alice, bob, (alice, None), (tablet, None))
        backup = await back_up(three, 0, tmp_path / "backup")
        forgotten = await alice.another_device()
        await upload_device_keys(forgotten)
        await names_of_devices(alice, bob, (alice, None), (tablet, None), (forgotten, None))

        await restore(three, 0, backup)
        phone = await alice.another_device()
        await upload_device_keys(phone)

        await names_of_devices(alice, bob, (alice, None), (tablet, None), (phone, None))
        await agree(room_id, alice, bob)


async def test_a_device_that_goes_after_the_restore_is_gone_for_others_who_know_of_changes_that_are_forgotten(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        await shared_room(alice, bob)
        tablet = await alice.another_device()
        for device in (alice, tablet):
            await upload_device_keys(device)
        await names_of_devices(alice, bob, (alice, None), (tablet, None))
        await until(lambda: count_rows(three.server(1).sqlite_file, IS_KEPT, alice.user_id) == 1)
        backup = await back_up(three, 0, tmp_path / "backup")
        await alice.put("devices", tablet.user.device_id, body={"display_name": "forgotten"})
        await names_of_devices(alice, bob, (alice, None), (tablet, "forgotten"))
        known = count_rows(three.server(1).sqlite_file, STREAM_ID, alice.user_id)

        await restore(three, 0, backup)
        # Whatever would be the change after the last one that the other server knows.
        while count_rows(three.server(0).sqlite_file, LOG_POSITION) < known - 1:
            await alice.put("user", alice.user_id, "account_data", "org.example", body={})
        await tablet.post("logout")

        await names_of_devices(alice, bob, (alice, None))


async def test_a_client_that_saw_more_than_is_there_begins_anew_however_much_has_come_since(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        room_id = await shared_room(alice, bob)
        sleeper = await alice.another_device()
        backup = await back_up(three, 0, tmp_path / "backup")
        secret = await alice.create_room(name="nobody else knows of it")
        for number in range(5):
            await alice.say(secret, f"forgotten {number}")
        await sleeper.look()

        await restore(three, 0, backup)
        said = [await alice.say(room_id, f"said anew {number}") for number in range(40)]
        sleeper.rooms.clear()
        await sleeper.look()

        assert sleeper.rooms.keys() == {room_id}
        assert set(said) <= sleeper.rooms[room_id].events.keys()
        told = {key: event["event_id"] for key, event in sleeper.rooms[room_id].state.items()}
        assert told == await alice.current_state(room_id)


async def test_one_time_keys_that_were_claimed_since_are_not_given_again_to_a_client_that_comes_back(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        await upload_device_keys(alice)
        await upload_one_time_keys(alice, "A", "B")
        backup = await back_up(three, 0, tmp_path / "backup")
        used = await claim(bob, alice)
        await alice.look()

        await restore(three, 0, backup)
        await alice.look()
        await upload_one_time_keys(alice, "C")

        assert used == "signed_curve25519:A"
        assert await claim(bob, alice) == "signed_curve25519:C"


async def test_devices_of_others_that_are_forgotten_are_learned_again_once_a_client_comes_back(
    three: Islands, tmp_path: Path
) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        await shared_room(alice, bob)
        await upload_device_keys(bob)
        await names_of_devices(bob, alice, (bob, None))
        await until(lambda: count_rows(three.server(0).sqlite_file, IS_KEPT, bob.user_id) == 1)
        backup = await back_up(three, 0, tmp_path / "backup")
        tablet = await bob.another_device()
        await upload_device_keys(tablet)
        await names_of_devices(bob, alice, (bob, None), (tablet, None))
        await alice.look()

        await restore(three, 0, backup)
        await alice.look()

        await names_of_devices(bob, alice, (bob, None), (tablet, None))


async def send_to_device(sender: Person, recipient: Person, text: str) -> None:
    body = {"messages": {recipient.user_id: {recipient.user.device_id: {"text": text}}}}
    await sender.put("sendToDevice", "org.example.test", secrets.token_hex(8), body=body)


async def upload_one_time_keys(person: Person, *names: str) -> None:
    keys = {f"signed_curve25519:{name}": {"key": name * 43, "signatures": {}} for name in names}
    await person.post("keys", "upload", body={"one_time_keys": keys})


async def claim(person: Person, owner: Person) -> str:
    """The name of the key that somebody is given."""
    body = {"one_time_keys": {owner.user_id: {owner.user.device_id: "signed_curve25519"}}}
    answer: Any = await person.post("keys", "claim", body=body)
    (name,) = answer["one_time_keys"][owner.user_id][owner.user.device_id]
    return str(name)
