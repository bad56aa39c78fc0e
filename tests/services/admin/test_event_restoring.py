"""Whatever event of a room is lost: it is put back so that an audit finds no fault, or nothing is done."""

import contextlib
from collections import Counter
from random import Random

import pytest

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_audit import Unsound
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.admin.audit_reading import Pause
from homeserver.services.admin.event_restoring import EventRestoring
from homeserver.services.admin.lost_events import LostEvents
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending
from homeserver.services.events.receipt import Received
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from tests.conftest import LargeRun
from tests.forked_rooms import TWO
from tests.services.admin.damageable_room import DamageableRoom, KeysOfAll
from tests.services.admin.damaged import Undone
from tests.services.world import SERVER, World


class Losses:
    """What became of the events of a room that were lost, each in its turn; all is undone."""

    def __init__(self, world: World, room: DamageableRoom) -> None:
        self.world = world
        self.room = room
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def lose(self, event: Event) -> None:
        """Lose it, and have it put back."""

        def run(tx: Transaction) -> None:
            row = tx.one("SELECT verdict, place, root_before FROM events WHERE event_id = :id", id=event.event_id)
            if row is not None and tx.run("DELETE FROM events WHERE event_id = :id", id=event.event_id):
                self.counts[self._restored(tx, event, tuple(row))] += 1
            raise Undone

        with contextlib.suppress(Undone):
            self.world.sync_database.write(run)

    def _restored(self, tx: Transaction, event: Event, before: tuple[object, ...]) -> str:
        search = LostEvents(self.room.room_id, KeysOfAll())
        while search.go_on(tx):
            pass
        if event.event_id not in search.found.event_ids:
            return "not missed"
        restoring = EventRestoring(self.room.room_id, KeysOfAll(), search.found)
        received = Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)
        try:
            while True:
                with contextlib.suppress(Pause):
                    restoring.restore(tx, received, TWO)
                    break
        except Unsound as unsound:
            return f"refused: {unsound.reason}"
        mending, point = RoomMending(self.room.room_id, KeysOfAll(), SERVER), BEGIN
        following: Point | None = point
        while following is not None:
            following = mending.slice(tx, following, 0).following
        audit = RoomAudit(self.room.room_id, KeysOfAll(), SERVER)
        while audit.go_on(tx):
            pass
        after = tx.one("SELECT verdict, place, root_before FROM events WHERE event_id = :id", id=event.event_id)
        if audit.fault is not None:
            self.wrong.append(f"{event.type} of {event.sender}, {before}: {audit.fault}")
            return "not sound"
        return "as it was" if after is not None and tuple(after) == before else "sound"


def test_an_event_that_was_lost_is_put_back_soundly_or_not_at_all(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["11"])
    losses = Losses(world, room)

    for event in Random(1).sample(list(room.scene.history.events.values()), 8):
        losses.lose(event)

    assert losses.wrong == []
    assert losses.counts["as it was"] > 4


@pytest.mark.large
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_every_event_that_was_lost_is_put_back_soundly_or_not_at_all(
    world: World, version: str, large_run: LargeRun
) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    losses = Losses(world, room)
    events = list(room.scene.history.events.values())

    for event in events if large_run.whole else Random(large_run.seed).sample(events, 8):
        losses.lose(event)

    assert losses.wrong == []
    assert losses.counts["as it was"] > (30 if large_run.whole else 2)
