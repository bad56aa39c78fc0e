"""Encryption between devices, as matrix-js-sdk does it with Rust crypto."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("sliding", [False, True])
def test_a_second_device_is_verified_by_the_first_and_reads_what_was_before_it(
    play: Callable[..., None], sliding: bool
) -> None:
    play("encryption", "second_device", sliding=sliding)


def test_a_device_that_lies_on_the_server_takes_the_keys_while_all_others_are_away(play: Callable[..., None]) -> None:
    play("encryption", "dehydrated_device")


def test_keys_are_held_back_from_who_is_not_trusted_and_handed_on_by_who_is(play: Callable[..., None]) -> None:
    play("encryption", "withheld_and_handed_on")


def test_a_device_that_goes_gets_no_more_keys(play: Callable[..., None]) -> None:
    play("encryption", "devices_that_go")
