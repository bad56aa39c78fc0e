"""What is noted of unread counts is what events, receipts and push rules make of them; what is not is found."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.rooms.receipts import Marker
from tests.services.admin.damaged import audit_of_damaged, fault_of_damaged
from tests.services.admin.damages import BLIND, OF_READERS, Damage, damages_of, sampled
from tests.services.admin.own_keys import OwnKeys
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

# Any: JSON, throughout.


def say(world: World, room_id: RoomID, body: str, **content: Any) -> EventID:
    """Alice says something, to somebody or in a thread."""
    text = {"msgtype": "m.text", "body": body, **content}
    return now(world.sending.send_message(ALICE, room_id, "m.room.message", text, None))


class ReadRoom:
    """A room of three who read and are read, one of whom has changed the rules; as an audit finds it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.room_id = world.create_room(ALICE, preset="public_chat")
        world.join(BOB, self.room_id)
        self.first = say(world, self.room_id, "between the two of us")
        world.join(CAROL, self.room_id)
        self.before_rules = say(world, self.room_id, "Carol?", **{"m.mentions": {"user_ids": [CAROL]}})
        quiet: dict[str, Any] = {"actions": [], "conditions": []}
        now(world.push_rules.put(CAROL, "override", "quiet", quiet, before=None, after=None))
        self.mention = say(world, self.room_id, "Bob!", **{"m.mentions": {"user_ids": [BOB]}})
        thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": self.first}}
        self.threaded = say(world, self.room_id, "in a thread", **thread)
        gone = say(world, self.room_id, "to be gone")
        now(world.sending.redact(ALICE, self.room_id, gone, {}, None))
        world.send(BOB, self.room_id, "so says Bob")
        self.plain = say(world, self.room_id, "last")
        for thread_id in (None, "main", self.first):
            event_id = self.threaded if thread_id == self.first else self.first
            now(world.receipts.mark(BOB, self.room_id, [Marker("m.read", event_id, thread_id)]))
        now(world.receipts.mark(CAROL, self.room_id, [Marker("m.read.private", self.plain)]))

    def place(self, event_id: EventID) -> int:
        """The place of an event."""
        row = self.world.sync_database.read(
            lambda tx: tx.one("SELECT place FROM events WHERE event_id = :id", id=event_id)
        )
        assert row is not None
        return int(row[0])

    def fault(self, sql: str = "UPDATE rooms SET last_place = last_place") -> str:
        """What an audit finds after a statement, which is undone."""
        return fault_of_damaged(self.world, self.room_id, OwnKeys(SERVER, self.world.key), sql)


@pytest.fixture(scope="module")
def room(shared_world: World) -> ReadRoom:
    return ReadRoom(shared_world)


def test_what_readers_have_not_read_is_sound_whatever_rules_they_have(room: ReadRoom) -> None:
    assert room.fault() == "None"


def test_a_message_that_counts_for_nobody_any_more_is_found(room: ReadRoom) -> None:
    found = room.fault(f"DELETE FROM class_notifications WHERE place = {room.place(room.plain)}")

    assert found == f"{room.plain}: for {BOB} it does not count, and by the push rules it counts"


def test_a_mention_that_does_not_highlight_is_found(room: ReadRoom) -> None:
    found = room.fault(f"DELETE FROM personal_notifications WHERE place = {room.place(room.mention)}")

    assert found == f"{room.mention}: for {BOB} it counts, and by the push rules it counts and highlights"


def test_what_counts_for_one_who_was_not_meant_is_found(room: ReadRoom) -> None:
    found = room.fault(
        "INSERT INTO personal_notifications (room_id, user_id, place, thread_id, notify, highlight, written_ms)"
        f" SELECT room_id, '{CAROL}', place, thread_id, notify, highlight, written_ms FROM class_notifications"
        f" WHERE place = {room.place(room.plain)}"
    )

    assert found == f"{room.plain}: for {CAROL} it counts, and by the push rules it does not count"


def test_rules_of_another_time_are_not_judged_by(room: ReadRoom) -> None:
    sql = f"DELETE FROM personal_notifications WHERE user_id = '{CAROL}' AND place = {room.place(room.before_rules)}"

    assert room.fault(sql) == "None"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE class_notifications SET thread_id = '' WHERE thread_id <> ''", "it counts in thread ''"),
        ("UPDATE class_notifications SET sender = '@carol:example.org'", "it counts as sent by @carol:example.org"),
        ("UPDATE class_notifications SET place = place + 1", "and by the push rules it counts"),
        ("UPDATE personal_notifications SET user_id = '@alice:example.org'", "what it does for its sender"),
        ("DELETE FROM sent_places", "and that is not noted"),
        ("UPDATE sent_places SET place = place - 1", "is said to have sent nothing so late in its thread"),
        ("UPDATE sent_places SET place = place + 1", "where there is none like it"),
        ("UPDATE receipts SET place = place + 1", "and that event at"),
        ("UPDATE receipts SET event_id = '$nothing'", "and that event at None"),
        ("UPDATE memberships SET joined_place = joined_place + 1", "it came to be join at place"),
        ("UPDATE memberships SET joined_place = NULL", "it came to be join at place"),
    ],
)
def test_what_does_not_fit_the_events_is_found(room: ReadRoom, sql: str, reason: str) -> None:
    assert reason in room.fault(sql)


def test_what_counts_where_there_is_no_event_is_found(room: ReadRoom) -> None:
    for table, columns, values in (
        ("class_notifications", "class_key, sender", "class_key, sender"),
        ("personal_notifications", "user_id", f"'{BOB}'"),
    ):
        found = room.fault(
            f"INSERT INTO {table} (room_id, place, thread_id, notify, highlight, written_ms, {columns})"
            f" SELECT room_id, 9999999, thread_id, notify, highlight, written_ms, {values}"
            f" FROM class_notifications WHERE place = {room.place(room.plain)}"
        )

        assert "stands at place 9999999, where there is no event" in found


def test_no_damage_to_what_is_unread_passes_unnoticed(room: ReadRoom) -> None:
    world, keys = room.world, OwnKeys(SERVER, room.world.key)
    random = Random(1)
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random, OF_READERS)))
    assert {damage.table for damage in damages} == set(OF_READERS)

    unnoticed: list[Damage] = []
    for damage in sampled(damages, random):
        audit = audit_of_damaged(world, room.room_id, keys, damage.apply)
        if audit is not None and audit.fault is None and not is_of_other_rules(room)(damage):
            unnoticed.append(damage)

    assert [str(damage) for damage in unnoticed if not any(blind.excuses(damage) for blind in BLIND)] == []


def is_of_other_rules(room: ReadRoom) -> Callable[[Damage], bool]:
    """Whether it cannot be judged: what an event did for Carol under the rules that she has changed since."""
    places = {room.place(room.first), room.place(room.before_rules)}
    return lambda damage: damage.row.get("user_id") == CAROL and damage.row["place"] in places
