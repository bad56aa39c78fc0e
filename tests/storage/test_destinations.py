"""Servers that do not answer, and rules about servers."""

from homeserver.core.identifiers import ServerName
from homeserver.storage.destinations import (
    FailingDestination,
    ServerRule,
    delete_server_rule,
    failing_destinations,
    forget_failing,
    server_rules,
    store_failing,
    store_server_rule,
)
from tests.databases import SyncDatabase

A, B, C = (ServerName(f"{name}.example") for name in "abc")


def test_failing_servers_come_in_the_order_in_which_they_are_asked_again(db: SyncDatabase) -> None:
    db.write(store_failing, [FailingDestination(A, 1, 30, 1, 2), FailingDestination(B, 1, 20, 2, 3)])
    db.write(store_failing, [FailingDestination(A, 1, 10, 2, 4), FailingDestination(C, 5, 15, 1, None)])
    db.write(forget_failing, [B, ServerName("none.example")])
    db.write(forget_failing, [])

    assert db.read(failing_destinations) == [FailingDestination(A, 1, 10, 2, 4), FailingDestination(C, 5, 15, 1, None)]


def test_a_rule_takes_the_place_of_one_with_the_same_pattern(db: SyncDatabase) -> None:
    db.write(store_server_rule, ServerRule("b*", is_blocked=True, written_ms=1))
    db.write(store_server_rule, ServerRule("a*", is_blocked=False, written_ms=2))
    db.write(store_server_rule, ServerRule("b*", is_blocked=False, written_ms=3))

    rules = [ServerRule("a*", is_blocked=False, written_ms=2), ServerRule("b*", is_blocked=False, written_ms=3)]
    assert db.read(server_rules) == rules
    assert db.write(delete_server_rule, "a*")
    assert not db.write(delete_server_rule, "a*")
    assert db.read(server_rules) == rules[1:]
