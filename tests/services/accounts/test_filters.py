"""Filters: one's own, checked, and one ID for one definition."""

import orjson
import pytest

from homeserver.core.errors import BadJson
from homeserver.services.errors import Forbidden, NotFound, TooLarge
from tests.services.world import ALICE, BOB, World, now

DEFINITION = {"room": {"timeline": {"limit": 10}, "org.example": 0.5}, "event_fields": ["type"]}


def test_a_filter_is_returned_as_it_was_uploaded(world: World) -> None:
    filter_id = now(world.filters.upload(ALICE, ALICE, DEFINITION))

    assert orjson.loads(now(world.filters.find(ALICE, ALICE, filter_id))) == DEFINITION
    assert not filter_id.startswith("{")


def test_the_same_definition_has_the_same_id_in_any_order(world: World) -> None:
    backwards = dict(reversed(DEFINITION.items()))

    first = now(world.filters.upload(ALICE, ALICE, DEFINITION))
    again = now(world.filters.upload(ALICE, ALICE, backwards))
    other = now(world.filters.upload(ALICE, ALICE, {}))

    assert first == again != other


def test_filters_of_others_are_out_of_reach(world: World) -> None:
    filter_id = now(world.filters.upload(ALICE, ALICE, DEFINITION))

    with pytest.raises(Forbidden):
        now(world.filters.find(BOB, ALICE, filter_id))
    with pytest.raises(Forbidden):
        now(world.filters.upload(BOB, ALICE, {}))
    with pytest.raises(NotFound):
        now(world.filters.find(BOB, BOB, filter_id))


def test_a_filter_that_cannot_be_is_not_kept(world: World) -> None:
    with pytest.raises(BadJson):
        now(world.filters.upload(ALICE, ALICE, {"room": {"timeline": {"limit": "ten"}}}))
    with pytest.raises(TooLarge):
        now(world.filters.upload(ALICE, ALICE, {"org.example": "x" * 70_000}))
