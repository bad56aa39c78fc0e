"""Asking for one step after the other."""

from collections.abc import Mapping
from typing import Any

from homeserver.cli.steps import steps


def test_each_step_begins_where_the_one_before_ended() -> None:
    asked: list[Mapping[str, str]] = []

    def ask_for(begin: Mapping[str, str]) -> Any:  # Any: JSON
        asked.append(begin)
        return {"next": {1: "a", 2: "b"}.get(len(asked)), "done": len(asked)}

    assert [step["done"] for step in steps(ask_for)] == [1, 2, 3]
    assert asked == [{}, {"from": "a"}, {"from": "b"}]
