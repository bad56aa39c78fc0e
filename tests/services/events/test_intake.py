"""Servers that hold the same events hold the same states, in whatever order the events came to them."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.events.intake import Outcome
from tests.forked_rooms import ForkedRoom, forked_rooms, grow_room
from tests.poured_rooms import PouredRoom, check_against_history, fresh_server
from tests.services.world import World


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_room_poured_in_order_is_what_its_history_says(version: str, world: World) -> None:
    room = grow_room(Random(7), ROOM_VERSIONS[version])
    poured = PouredRoom(world, room)

    poured.pour_in_parts(room.events, Random(1))

    check_against_history(poured)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_leads_to_the_same_states(room: ForkedRoom, random: Random) -> None:
    create, *others = room.events
    with TemporaryDirectory() as folder:
        roots: list[dict[str, bytes | None]] = []
        for name in ("in order", "shuffled", "backwards"):
            world = fresh_server(Path(folder), name)
            try:
                poured = PouredRoom(world, room)
                order = list(others)
                if name == "shuffled":
                    random.shuffle(order)
                elif name == "backwards":
                    order.reverse()
                poured.pour_in_parts([create, *order], random)
                assert Outcome.WAITING not in poured.outcomes.values()
                check_against_history(poured)
                stored = poured.stored(room.history.events)
                roots.append({event_id: stored[event_id].root_before for event_id in sorted(stored)})
            finally:
                world.close()
        assert roots[0] == roots[1] == roots[2]
