"""Calls, as matrix-js-sdk makes them: who is in them, delayed events, keys."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


def test_clients_are_told_of_the_servers_that_carry_calls(play: Callable[..., None]) -> None:
    play("calls", "servers_for_calls")


def test_who_vanishes_from_a_call_is_out_of_it_and_who_comes_back_is_in_it_again(play: Callable[..., None]) -> None:
    play("calls", "who_is_in_a_call")


def test_delayed_events_are_sent_put_off_and_taken_back(play: Callable[..., None]) -> None:
    play("calls", "delayed_events")


def test_those_in_a_call_have_each_others_keys(play: Callable[..., None]) -> None:
    play("calls", "keys_of_a_call")
