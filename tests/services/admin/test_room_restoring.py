"""Events that were lost or damaged here are given back by other servers: the very same ones, each in its place."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.redaction import redact
from homeserver.storage.database import Transaction
from tests.forked_rooms import ALICE, BOB, ONE, TWO
from tests.growth.rows import COLUMNS
from tests.services.admin.test_room_repair import Repairing
from tests.services.world import World

# Any: JSON, and whatever stands in columns.

MESSAGE, TOPIC, MEMBER, TOLD, THREADED, REDACTION, LAST = (
    "message",
    "topic",
    "member",
    "told",
    "threaded",
    "redaction",
    "last",
)


class Losing(Repairing):
    """The room with a few events of each kind, of which some are lost."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        filling, scene = self.filling, self.filling.scene
        self.first = filling.scene.last
        said: dict[str, Event] = {}
        said[MESSAGE] = scene.say(BOB, "hello", after=[self.first])
        said[TOPIC] = scene.send(ALICE, "m.room.topic", {"topic": "this"}, after=[said[MESSAGE]])
        name = {"membership": "join", "displayname": "Robert"}
        said[MEMBER] = scene.send(BOB, "m.room.member", name, BOB, after=[said[TOPIC]])
        said[TOLD] = scene.say(BOB, "to be gone", after=[said[MEMBER]])
        thread = {"body": "answer", "m.relates_to": {"rel_type": "m.thread", "event_id": said[MESSAGE].event_id}}
        said[THREADED] = scene.send(ALICE, "m.room.message", thread, None, after=[said[TOLD]])
        said[REDACTION] = scene.redact(BOB, said[TOLD], after=[said[THREADED]])
        said[LAST] = scene.last = scene.say(ALICE, "the last", after=[said[REDACTION]])
        for event in said.values():
            filling.take(event)
        self.said = said

    def row(self, event: Event) -> Mapping[str, Any] | None:
        """What is stored of an event."""

        def read(tx: Transaction) -> Mapping[str, Any] | None:
            columns = [row[0] for row in tx.all(COLUMNS[tx.dialect.name], table_name="events")]
            row = tx.one(f"SELECT {', '.join(columns)} FROM events WHERE event_id = :id", id=event.event_id)
            return None if row is None else dict(zip(columns, map(_plain, row), strict=True))

        return self.world.sync_database.read(read)

    def lose(self, *events: Event) -> None:
        """Their rows are gone."""
        for event in events:
            self.damage("DELETE FROM events WHERE event_id = :id", event)

    def damage(self, sql: str, event: Event, **values: Any) -> None:
        """Something else is stored of an event."""
        self.world.sync_database.write(lambda tx: tx.run(sql, id=event.event_id, **values))
        self.world.states.events.forget([event.event_id], [])

    def lie(self, answer: Callable[[EventID], Any], *servers: Any) -> None:
        """Have servers answer something when they are asked for an event."""
        for server in servers:
            self.filling.holder(server).lies["event"] = answer


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.fixture
def losing(world: World) -> Losing:
    return Losing(world)


@pytest.mark.parametrize("kind", [MESSAGE, TOPIC, MEMBER, TOLD, THREADED, REDACTION, LAST])
def test_an_event_that_was_lost_is_put_back_as_it_was(losing: Losing, kind: str) -> None:
    event = losing.said[kind]
    before = losing.row(event)
    losing.lose(event)

    outcome = losing.run()

    assert outcome["fault"] is not None
    assert (outcome["not"], outcome["remaining_fault"]) == ([], None)
    assert losing.row(event) == before
    assert outcome["done"] == [f"{event.event_id} is lost, and was put back as {ONE} gave it"]


@pytest.mark.parametrize("kinds", [(TOPIC, MEMBER, TOLD, THREADED), (TOLD, THREADED, REDACTION, LAST)])
def test_events_that_were_lost_one_after_the_other_are_put_back_in_turn(losing: Losing, kinds: tuple[str, ...]) -> None:
    events = [losing.said[kind] for kind in kinds]
    before = [losing.row(event) for event in events]
    losing.lose(*events)

    outcome = losing.run()

    assert (outcome["not"], outcome["remaining_fault"]) == ([], None)
    after = [losing.row(event) for event in events]
    told = ("pdu", "place", "form", "verdict", "root_before", "root_after", "redacted_by", "thread_id")
    assert [[row and row[one] for one in told] for row in after] == [
        [row and row[one] for one in told] for row in before
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pdu", b"{}"),
        ("pdu", b"\x00\xff"),
        ("type", "m.room.other"),
        ("sender", "@mallory:one.example"),
        ("origin_server_ts", 7),
    ],
)
def test_a_row_that_was_damaged_is_put_right(losing: Losing, column: str, value: Any) -> None:
    event = losing.said[TOPIC]
    before = losing.row(event)
    losing.damage(f"UPDATE events SET {column} = :value WHERE event_id = :id", event, value=value)

    outcome = losing.run()

    assert outcome["fault"] is not None
    assert (outcome["not"], outcome["remaining_fault"]) == ([], None)
    assert losing.row(event) == before
    assert ("event" in losing.filling.source.operations) == (column == "pdu")


def test_what_is_stored_with_another_signature_or_another_content_is_fetched_again(losing: Losing) -> None:
    event, redacted = losing.said[MESSAGE], losing.said[TOLD]
    before = losing.row(event), losing.row(redacted)
    unsigned = {**event.pdu, "signatures": {"one.example": {"ed25519:1": "A" * 86}}}
    losing.damage("UPDATE events SET pdu = :pdu WHERE event_id = :id", event, pdu=orjson.dumps(unsigned))
    losing.damage("UPDATE events SET pdu = :pdu WHERE event_id = :id", redacted, pdu=orjson.dumps(redacted.pdu))

    outcome = losing.run()

    assert (outcome["not"], outcome["remaining_fault"]) == ([], None)
    assert (losing.row(event), losing.row(redacted)) == before


def test_servers_that_lie_are_passed_over(losing: Losing) -> None:
    event, other = losing.said[MESSAGE], losing.said[LAST]
    before = losing.row(event)
    losing.lose(event)
    losing.lie(lambda _: dict(other.pdu), ONE)

    outcome = losing.run()

    assert losing.row(event) == before
    assert outcome["remaining_fault"] is None
    assert f"{event.event_id} is lost, and was put back as {TWO} gave it" in outcome["done"]


@pytest.mark.parametrize("is_dry", [False, True])
def test_lies_alone_change_nothing_and_are_told(losing: Losing, is_dry: bool) -> None:
    event, other = losing.said[MESSAGE], losing.said[LAST]
    losing.lose(event)
    losing.lie(lambda _: dict(other.pdu), ONE)
    losing.lie(lambda _: {**event.pdu, "signatures": {"one.example": {"ed25519:1": "A" * 86}}}, TWO)
    head = losing.filling.head

    outcome = losing.run(dry_run=is_dry)

    assert losing.row(event) is None
    assert (losing.filling.head.heads, losing.filling.head.current_root) == (head.heads, head.current_root)
    assert outcome["remaining_fault"] is not None
    [told] = [sentence for sentence in outcome["not"] if "no server gave it" in sentence]
    assert told.startswith(f"{event.event_id} is lost, and no server gave it: {ONE}: it answered another event; {TWO}:")


def test_a_redacted_copy_is_taken_where_nobody_has_more_and_that_is_told(losing: Losing) -> None:
    event = losing.said[MESSAGE]
    losing.lose(event)
    losing.lie(lambda _: redact(event.pdu, event.version), ONE, TWO)

    outcome = losing.run()

    assert outcome["remaining_fault"] is None
    row = losing.row(event)
    assert row is not None
    assert orjson.loads(row["pdu"])["content"] == {}
    assert any(sentence.endswith(f"{ONE} gave it: redacted, for nobody has more of it") for sentence in outcome["done"])


def test_a_redacted_copy_is_not_taken_where_another_server_has_the_whole(losing: Losing) -> None:
    event = losing.said[MESSAGE]
    before = losing.row(event)
    losing.lose(event)
    losing.lie(lambda _: redact(event.pdu, event.version), ONE)

    losing.run()

    assert losing.row(event) == before


def test_a_dry_run_says_what_would_be_put_back_and_changes_nothing(losing: Losing) -> None:
    lost, damaged = losing.said[MESSAGE], losing.said[TOPIC]
    losing.lose(lost)
    losing.damage("UPDATE events SET type = :value WHERE event_id = :id", damaged, value="m.room.other")

    outcome = losing.run(dry_run=True)

    assert losing.row(lost) is None
    assert (losing.row(damaged) or {})["type"] == "m.room.other"
    assert f"{lost.event_id} is lost, and would be put back as {ONE} gave it" in outcome["done"]
    assert any("would be put back by its own bytes" in sentence for sentence in outcome["done"])
    assert outcome["remaining_fault"] == outcome["fault"]
