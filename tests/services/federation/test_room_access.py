"""Which servers may ask about a room: of all others none can tell whether there is such a room, whatever they ask."""

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.creation import Draft
from homeserver.storage.database import Transaction
from tests.services.federation.others import (
    FAR,
    FAY,
    invite,
    join_remotely,
    leave_remotely,
    remote_event,
    take,
)
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, now

NOWHERE: Final = RoomID("!nowhere:example.org")
NO_ID: Final = EventID("$" + "A" * 43)
Asking = Callable[[Serving, RoomID, EventID], Coroutine[Any, Any, object]]  # Any: what a coroutine waits for

OF_ROOMS: Final[dict[str, Asking]] = {
    "backfill": lambda serving, room_id, event_id: serving.events.before(FAR, room_id, [event_id], 10),
    "missing": lambda serving, room_id, event_id: serving.events.missing(
        FAR, room_id, earliest=[], latest=[event_id], limit=10, min_depth=0
    ),
    "state": lambda serving, room_id, event_id: serving.states.state(FAR, room_id, event_id),
    "state_ids": lambda serving, room_id, event_id: serving.states.state_ids(FAR, room_id, event_id),
    "event_auth": lambda serving, room_id, event_id: serving.states.auth_chain(FAR, room_id, event_id),
    "timestamp": lambda serving, room_id, _: serving.timestamps.closest(FAR, room_id, 0, backwards=False),
}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def stay_away(serving: Serving, room_id: RoomID) -> None:
    """Fay has nothing to do with the room."""


def be_invited(serving: Serving, room_id: RoomID) -> None:
    invite(serving.world, ALICE, room_id, FAY)


def knock(serving: Serving, room_id: RoomID) -> None:
    serving.set_state(room_id, "m.room.join_rules", {"join_rule": "knock"})
    take(serving.world, remote_event(serving.world, FAY, room_id, "m.room.member", {"membership": "knock"}, FAY))


def leave(serving: Serving, room_id: RoomID) -> None:
    join_remotely(serving.world, FAY, room_id)
    leave_remotely(serving.world, FAY, room_id)


def be_banned(serving: Serving, room_id: RoomID) -> None:
    join_remotely(serving.world, FAY, room_id)
    ban = Draft("m.room.member", ALICE, {"membership": "ban"}, state_key=FAY)

    def add(tx: Transaction) -> None:
        write = serving.world.writer.open(tx, room_id)
        assert write is not None
        serving.world.event_creation.add(write, ban)
        write.finish()

    now(serving.world.event_creation.write(add))


def be_in_a_closed_room(serving: Serving, room_id: RoomID) -> None:
    """The administrators of this server take no part in it any more."""
    join_remotely(serving.world, FAY, room_id)
    serving.world.sync_database.write(
        lambda tx: tx.run("UPDATE rooms SET is_blocked = :yes WHERE room_id = :room_id", yes=True, room_id=room_id)
    )


def be_in_a_room_that_was_left_here(serving: Serving, room_id: RoomID) -> None:
    join_remotely(serving.world, FAY, room_id)
    now(serving.world.membership.leave(ALICE, room_id, None))


OUTSIDE: Final = (
    stay_away,
    be_invited,
    knock,
    leave,
    be_banned,
    be_in_a_closed_room,
    be_in_a_room_that_was_left_here,
)


@pytest.mark.parametrize("stand", OUTSIDE, ids=lambda stand: stand.__name__)
def test_a_room_that_the_server_is_outside_of_looks_like_one_that_there_is_not(
    serving: Serving, stand: Callable[[Serving, RoomID], None]
) -> None:
    room_id = serving.room("world_readable")
    event_id = serving.world.send(ALICE, room_id)
    stand(serving, room_id)

    for asking in OF_ROOMS.values():
        refusals = []
        for asked, about in ((room_id, event_id), (NOWHERE, event_id), (room_id, NO_ID)):
            with pytest.raises(Forbidden) as refused:
                now(asking(serving, asked, about))
            refusals.append(refused.value.reason)
        assert len(set(refusals)) == 1

    reasons = []
    for about in (event_id, NO_ID):
        with pytest.raises(NotFound) as unknown:
            now(serving.events.event(FAR, about))
        reasons.append(unknown.value.reason)
    assert len(set(reasons)) == 1


def test_an_event_of_a_room_from_which_one_is_asked_counts_as_not_there_in_another(serving: Serving) -> None:
    room_id, other = serving.room(), serving.room()
    for each in (room_id, other):
        join_remotely(serving.world, FAY, each)
    here, elsewhere = serving.world.send(ALICE, room_id), serving.world.send(ALICE, other)
    rejected = remote_event(serving.world, FAY, room_id, "m.room.power_levels", {"users": {FAY: 100}}, "")
    with pytest.raises(AssertionError):
        take(serving.world, rejected)  # it is kept, and given to nobody

    for name in ("state", "state_ids", "event_auth"):
        reasons = []
        for about in (elsewhere, rejected.event.event_id, NO_ID):
            with pytest.raises(NotFound) as refused:
                now(OF_ROOMS[name](serving, room_id, about))
            reasons.append(refused.value.reason)
        assert len(set(reasons)) == 1
        assert now(OF_ROOMS[name](serving, room_id, here)) is not None
