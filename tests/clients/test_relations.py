"""What relates to what, as matrix-js-sdk shows it: edits, reactions, threads, polls."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("sliding", [False, True])
def test_edits_and_reactions_are_the_same_for_who_sees_them_come_and_who_comes_later(
    play: Callable[..., None], sliding: bool
) -> None:
    play("relations", "edits_and_reactions", sliding=sliding)


def test_threads_are_listed_read_page_by_page_and_counted_each_by_itself(play: Callable[..., None]) -> None:
    play("relations", "threads", sliding=False)


def test_who_is_spoken_of_in_a_thread_follows_it_until_they_say_otherwise(play: Callable[..., None]) -> None:
    play("relations", "thread_subscriptions")


def test_a_poll_ends_with_the_newest_vote_of_each(play: Callable[..., None]) -> None:
    play("relations", "polls")
