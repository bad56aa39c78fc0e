"""What is unread and what counts, as matrix-js-sdk shows it."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("sliding", [False, True])
def test_what_is_unread_is_counted_as_the_clients_own_push_rules_say(play: Callable[..., None], sliding: bool) -> None:
    play("counting", "unread_and_highlights", sliding=sliding)


def test_the_list_of_notifications_goes_back_page_by_page_and_says_what_was_read(play: Callable[..., None]) -> None:
    play("counting", "notifications")


def test_push_rules_have_an_order_and_those_of_the_server_stay(play: Callable[..., None]) -> None:
    play("counting", "push_rules")
