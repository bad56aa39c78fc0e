"""Passwords: hashed in threads, few at a time."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.services.accounts.passwords import AT_ONCE, MOST_WAITING, Passwords
from homeserver.services.errors import InvalidParameter, LimitExceeded, WeakPassword
from tests.services.world import call_now, now


@pytest.fixture
def passwords() -> Passwords:
    """Passwords that cost little."""
    return Passwords(call_now, time_cost=1, memory_kib=8)


def test_a_password_is_recognised_and_another_is_not(passwords: Passwords) -> None:
    password_hash = now(passwords.hash_new("wonderland"))

    assert now(passwords.is_correct(password_hash, "wonderland"))
    assert not now(passwords.is_correct(password_hash, "Wonderland"))


@pytest.mark.parametrize("password", ["p\u00e4ssw\u00f6rd", "\U0001f511" * 128, "with\0nul", " ", "x" * 512])
def test_any_text_can_be_a_password(passwords: Passwords, password: str) -> None:
    password_hash = now(passwords.hash_new(password))

    assert now(passwords.is_correct(password_hash, password))
    assert not now(passwords.is_correct(password_hash, password + "x"))


def test_the_same_password_has_another_hash_each_time(passwords: Passwords) -> None:
    assert now(passwords.hash_new("wonderland")) != now(passwords.hash_new("wonderland"))


def test_bad_passwords_are_refused(passwords: Passwords) -> None:
    with pytest.raises(WeakPassword):
        now(passwords.hash_new(""))
    with pytest.raises(InvalidParameter):
        now(passwords.hash_new("x" * 513))


@pytest.mark.parametrize("password_hash", [None, "", "not a hash", "$argon2id$broken"])
def test_what_is_no_hash_is_nobodys_password(passwords: Passwords, password_hash: str | None) -> None:
    for password in ("", "wonderland", "x" * 10_000):
        assert not now(passwords.is_correct(password_hash, password))


def test_hashes_with_other_parameters_are_outdated_and_still_count(passwords: Passwords) -> None:
    older = now(Passwords(call_now, time_cost=2, memory_kib=16).hash_new("wonderland"))

    assert passwords.is_outdated(older)
    assert now(passwords.is_correct(older, "wonderland"))
    assert not passwords.is_outdated(now(passwords.hash_new("wonderland")))


class Threads:
    """Threads that work when they are told to."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []

    def call(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.begun.append(lambda: done.callback(function(*arguments)))
        return done


def test_few_are_hashed_at_a_time_some_wait_and_the_rest_are_sent_away() -> None:
    threads = Threads()
    passwords = Passwords(threads.call, time_cost=1, memory_kib=8)
    results: list[Any] = []
    for _ in range(AT_ONCE + MOST_WAITING):
        Deferred.fromCoroutine(passwords.hash_new("wonderland")).addCallback(results.append)
    assert len(threads.begun) == AT_ONCE

    with pytest.raises(LimitExceeded):
        now(passwords.hash_new("wonderland"))

    while threads.begun:
        threads.begun.pop(0)()
        assert len(threads.begun) <= AT_ONCE
    assert len(results) == AT_ONCE + MOST_WAITING
