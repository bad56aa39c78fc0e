"""Accounts, as matrix-js-sdk uses them: tokens, passwords, profiles, and their end."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.clients


def test_a_device_logs_another_in_by_a_token_that_is_good_once(play: Callable[..., None]) -> None:
    play("accounts", "login_by_token")


def test_a_token_is_renewed_and_the_old_one_is_not_good_any_more(play: Callable[..., None]) -> None:
    play("accounts", "refresh_tokens")


def test_a_new_password_logs_the_other_devices_out_and_their_clients_say_so(play: Callable[..., None]) -> None:
    play("accounts", "new_password")


def test_names_and_further_fields_of_a_profile_are_seen_by_others(play: Callable[..., None]) -> None:
    play("accounts", "profiles")


def test_presence_typing_and_receipts_come_and_go(play: Callable[..., None]) -> None:
    play("accounts", "presence_typing_receipts")


def test_a_closed_account_is_out_of_its_rooms_and_what_it_said_is_not_shown(play: Callable[..., None]) -> None:
    play("accounts", "deactivation")
