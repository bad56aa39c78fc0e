"""Who comes, who is sent away, and where a room moves, as matrix-js-sdk shows it."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("sliding", [False, True])
def test_of_two_who_knock_one_is_let_in(play: Callable[..., None], sliding: bool) -> None:
    play("membership", "knocks", sliding=sliding)


def test_who_is_in_the_space_comes_into_its_room(play: Callable[..., None]) -> None:
    play("membership", "restricted")


@pytest.mark.parametrize("sliding", [False, True])
def test_who_is_kicked_or_banned_is_told_why_and_hears_no_more(play: Callable[..., None], sliding: bool) -> None:
    play("membership", "kicks_and_bans", sliding=sliding)


def test_nothing_comes_from_who_is_blocked_or_ignored_and_what_is_forgotten_stays_away(
    play: Callable[..., None],
) -> None:
    play("membership", "blocked_and_ignored")


def test_events_rooms_and_people_are_reported_as_far_as_they_are_seen(play: Callable[..., None]) -> None:
    play("membership", "reports")


@pytest.mark.parametrize("sliding", [False, True])
def test_people_follow_a_room_into_its_new_version(play: Callable[..., None], sliding: bool) -> None:
    play("membership", "upgrade", sliding=sliding)


@pytest.mark.parametrize("sliding", [False, True])
def test_state_that_is_not_of_matrix_is_shown_and_kept_from_who_may_not_set_it(
    play: Callable[..., None], sliding: bool
) -> None:
    play("membership", "state_of_others", sliding=sliding)
