"""Doing something to each of some."""

import json
from typing import Any

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.one_by_one import for_each
from homeserver.cli.output import Output


def lock(target: str) -> tuple[Any, str]:  # Any: JSON
    if target.startswith("x"):
        raise CommandFailed("no")
    return {"target": target, "locked": True}, "is locked"


def test_of_one_it_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for_each(Output(as_json=False), ["a\x1b"], lock)
    for_each(Output(as_json=True), ["a"], lock)
    with pytest.raises(CommandFailed, match="no"):
        for_each(Output(as_json=False), ["x"], lock)

    sentence, answer = capsys.readouterr().out.splitlines()
    assert sentence == "a\\u001b is locked."
    assert json.loads(answer) == {"target": "a", "locked": True}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_others_are_gone_through_although_one_is_refused(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    with pytest.raises(CommandFailed, match="refused 1 of 3 times"):
        for_each(Output(as_json=as_json), ["a", "x", "b"], lock)

    lines = capsys.readouterr().out.splitlines()
    if as_json:
        refused = {"target": "x", "reason": "no"}
        locked = [{"target": each, "locked": True} for each in "ab"]
        assert [json.loads(line) for line in lines] == [locked[0], refused, locked[1]]
    else:
        assert lines == ["a is locked.", "x: NOT done: no", "b is locked."]
