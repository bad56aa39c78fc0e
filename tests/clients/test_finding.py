"""Finding words, people, rooms and times, as matrix-js-sdk shows it."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


def test_words_of_several_scripts_are_found_by_who_may_read_them(play: Callable[..., None]) -> None:
    play("finding", "search")


def test_people_are_found_once_they_can_be_met_and_share_rooms(play: Callable[..., None]) -> None:
    play("finding", "people")


def test_public_rooms_are_told_page_by_page_and_by_their_words_and_types(play: Callable[..., None]) -> None:
    play("finding", "rooms")


def test_a_space_is_walked_page_by_page_as_far_as_the_walker_may_see(play: Callable[..., None]) -> None:
    play("finding", "spaces")


def test_an_event_is_found_by_its_time_and_read_on_from_in_both_directions(play: Callable[..., None]) -> None:
    play("finding", "times")
