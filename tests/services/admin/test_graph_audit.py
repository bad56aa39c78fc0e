"""What is wrong with a room's graph is named: with edges, gaps, what waits, heads and what stands on them."""

import orjson
import pytest

from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.events.intake import Outcome
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import find_head
from tests.forked_rooms import ALICE, BOB
from tests.scenes import Scene
from tests.services.admin.damageable_room import DamageableRoom, KeysOfAll, TakenScene
from tests.services.admin.damaged import fault_of_damaged
from tests.services.world import World

LAST = "SELECT event_id FROM events WHERE place = (SELECT MAX(place) FROM events)"
TOPIC = "SELECT MIN(event_nid) FROM events WHERE type = 'm.room.topic' AND verdict = 0"

DAMAGES: dict[str, tuple[str, str]] = {
    "an event that does not know what is built on it": (
        "which it names, does not know of it",
        f"DELETE FROM event_edges WHERE kind = 0 AND source_nid = ({TOPIC})",
    ),
    "an auth event that does not know what it authorises": (
        "which it names, does not know of it",
        f"DELETE FROM event_edges WHERE kind = 1 AND source_nid = ({TOPIC})",
    ),
    "an edge that leads the wrong way": (
        "does not name",
        "INSERT INTO event_edges (room_id, target_nid, kind, source_nid)"
        f" SELECT room_id, source_nid, kind, target_nid FROM event_edges WHERE kind = 0 AND source_nid = ({TOPIC})",
    ),
    "an edge of a kind that there is not": (
        "does not name",
        "INSERT INTO event_edges (room_id, target_nid, kind, source_nid)"
        f" SELECT room_id, target_nid, 7, source_nid FROM event_edges WHERE kind = 0 AND source_nid = ({TOPIC})",
    ),
    "an edge from nowhere": (
        "it leads from or to an event that is not here",
        "INSERT INTO event_edges (room_id, target_nid, kind, source_nid)"
        f" SELECT room_id, event_nid, 0, 12345 FROM events WHERE event_nid = ({TOPIC})",
    ),
    "an edge to nowhere": (
        "it leads from or to an event that is not here",
        "INSERT INTO event_edges (room_id, target_nid, kind, source_nid)"
        f" SELECT room_id, 12345, 0, event_nid FROM events WHERE event_nid = ({TOPIC})",
    ),
    "a gap that is not noted": (
        "is not here, and not noted as missing",
        "DELETE FROM event_gaps WHERE event_id IN (SELECT event_id FROM events)",
    ),
    "a gap that there is not": (
        "it is said to lack $nothing, which it does not",
        f"INSERT INTO event_gaps (room_id, missing_id, event_id)"
        f" SELECT room_id, '$nothing', event_id FROM events WHERE event_id = ({LAST})",
    ),
    "an event that waits for nothing": (
        "and that is not noted",
        "DELETE FROM event_gaps WHERE event_id IN (SELECT event_id FROM waiting_events)",
    ),
    "an event that waits for what it does not name": (
        "it is said to lack $nothing, which it does not",
        "INSERT INTO event_gaps (room_id, missing_id, event_id)"
        " SELECT room_id, '$nothing', event_id FROM waiting_events",
    ),
    "an event that waits in a form in which none does": (
        "it waits in form 1",
        "UPDATE waiting_events SET form = 1",
    ),
    "an event that waits with another size": ("with a size of", "UPDATE waiting_events SET size = size + 1"),
    "what waits is none": (
        "its bytes are not an event",
        "UPDATE waiting_events SET pdu = CAST('{}' AS BYTES), size = 2",
    ),
    "an event that waits although it was judged": (
        "it waits, and was judged",
        "INSERT INTO waiting_events (room_id, event_id, pdu, form, received_ms, size)"
        f" SELECT room_id, event_id, pdu, 0, 1, LENGTH(pdu) FROM events WHERE event_id = ({LAST})",
    ),
    "what stands on a head is not noted": ("and that is not noted", "DELETE FROM shadowed_heads"),
    "what stands on another head": (
        "it is said to stand on the head $nothing, and does not",
        "UPDATE shadowed_heads SET head_id = '$nothing'",
    ),
    "something that is not here stands on a head": (
        "$nothing is said to stand on the head",
        "INSERT INTO shadowed_heads (room_id, event_id, head_id)"
        " SELECT DISTINCT room_id, '$nothing', head_id FROM shadowed_heads",
    ),
    "something that was accepted stands on a head": (
        "and is none of those that may",
        "INSERT INTO shadowed_heads (room_id, event_id, head_id)"
        f" SELECT DISTINCT room_id, ({LAST}), head_id FROM shadowed_heads",
    ),
    "a redaction that came early is not noted": (
        "and nothing is noted to do so when it comes",
        "DELETE FROM early_redactions",
    ),
    "a redaction that came early is none": (
        "there is no such redaction",
        "INSERT INTO early_redactions (room_id, target_id, redaction_id)"
        f" SELECT room_id, '$nothing', event_id FROM events WHERE event_id = ({LAST})",
    ),
    "a redaction that came early is of something else": (
        "it redacts something else",
        "INSERT INTO early_redactions (room_id, target_id, redaction_id)"
        " SELECT room_id, '$nothing', redaction_id FROM early_redactions",
    ),
    "a redaction is said to have come early": (
        "what it redacts has come",
        "INSERT INTO early_redactions (room_id, target_id, redaction_id)"
        " SELECT room_id, event_id, redacted_by FROM events WHERE redacted_by IS NOT NULL",
    ),
    "what was news is said to be none": (
        "it was no news, and nothing was built on it before it came",
        f"UPDATE events SET log_position = NULL WHERE event_nid = ({TOPIC})",
    ),
    "news in another order": (
        "and stands after that of",
        f"UPDATE events SET log_position = 1 WHERE event_nid = ({TOPIC})",
    ),
    "news from the future": (
        "and there is none beyond",
        f"UPDATE events SET log_position = 1000000 WHERE event_id = ({LAST})",
    ),
}


@pytest.fixture
def room(world: World) -> DamageableRoom:
    return DamageableRoom(world, ROOM_VERSIONS["10"])


@pytest.fixture(scope="module")
def shared_room(shared_world: World) -> DamageableRoom:
    """A sound room for the tests that leave it as they find it."""
    made = DamageableRoom(shared_world, ROOM_VERSIONS["10"])
    assert made.taken.fault() is None
    return made


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_damaged_is_named(shared_room: DamageableRoom, name: str) -> None:
    expected, sql = DAMAGES[name]

    found = fault_of_damaged(shared_room.world, shared_room.room_id, KeysOfAll(), sql)

    assert expected in found


def test_the_heads_are_those_on_which_nothing_is_built(room: DamageableRoom) -> None:
    head = room.world.sync_database.read(find_head, room.room_id)
    assert head is not None
    event_ids = room.world.sync_database.read(accepted_news)

    def found(*heads: EventID) -> str:
        room.world.sync_database.write(set_heads, heads)
        return str(room.taken.fault())

    assert len(head.heads) == 3
    for left in head.heads:
        told = found(*(other for other in head.heads if other != left))
        assert f"nothing is built on {left}" in told or f"is said to stand on the head {left}, and does not" in told
    assert f"{event_ids[0]}, which is said to be a head" in found(*head.heads, event_ids[0])
    assert found(*reversed(head.heads)) == "None"


def run(tx: Transaction, sql: str) -> int:
    """Damage the database; how many rows were hit."""
    return tx.run(sql)


def accepted_news(tx: Transaction) -> list[EventID]:
    """What might be heads."""
    rows = tx.all("SELECT event_id FROM events WHERE verdict = 0 AND log_position IS NOT NULL ORDER BY log_position")
    return [EventID(row[0]) for row in rows]


def set_heads(tx: Transaction, heads: tuple[EventID, ...]) -> None:
    tx.run("UPDATE rooms SET heads = :heads", heads=orjson.dumps(heads))


@pytest.mark.parametrize("version", ["1", "12"])
def test_a_refused_event_that_closes_a_gap_leaves_the_head_under_it(world: World, version: str) -> None:
    scene = Scene(ROOM_VERSIONS[version])
    taken = TakenScene(world, scene)
    joined = scene.member(BOB, "join", after=[scene.last])
    ban = scene.member(BOB, "ban", sender=ALICE, after=[joined])
    closing = scene.say(BOB, after=[joined])
    above = scene.say(ALICE, after=[closing])
    taken.take(scene.create, scene.joined, scene.levels, scene.join_rules, joined)
    taken.outliers(ban)
    assert taken.at_gap(above, scene.after(ban).values()) is Outcome.ACCEPTED

    assert taken.take(closing) == [Outcome.SOFT_FAILED]

    head = world.sync_database.read(find_head, taken.room_id)
    assert head is not None
    assert set(head.heads) == {joined.event_id, above.event_id}
    assert taken.fault() is None
