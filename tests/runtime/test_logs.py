"""Logs."""

import io
import json
from contextvars import copy_context
from typing import Any

import pytest
import structlog
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.runtime.logs import TwistedObserver, configure, get_logger, hide_secrets, request_id


class Stream(io.BytesIO):
    """Where the log goes in a test."""

    def entries(self) -> list[dict[str, Any]]:  # Any: JSON
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream() -> Any:
    """The stream of a JSON log at level info, for loggers made in the test."""
    stream, before = Stream(), structlog.get_config()
    configure("info", "json", stream)
    yield stream
    structlog.configure(**before)


def test_an_entry_is_one_line_of_json_with_level_module_and_time(stream: Stream) -> None:
    get_logger("homeserver.services.x").info("event stored", room_id="!a", count=2)

    (entry,) = stream.entries()
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "event stored", "level": "info", "module": "services.x", "room_id": "!a", "count": 2}


def test_a_level_that_is_off_writes_nothing(stream: Stream) -> None:
    get_logger("x").debug("detail")

    assert stream.entries() == []


def test_the_id_of_the_request_is_in_its_entries_and_in_no_other(stream: Stream) -> None:
    log = get_logger("x")
    go_on: Deferred[None] = Deferred()

    async def answer(name: str) -> None:
        request_id.set(name)
        await go_on
        log.info("answered", name=name)

    for name in ("r1", "r2"):
        copy_context().run(Deferred.fromCoroutine, answer(name))
    log.info("outside")
    go_on.callback(None)

    assert [(entry.get("name"), entry.get("request_id")) for entry in stream.entries()] == [
        (None, None),
        ("r1", "r1"),
        ("r2", "r2"),
    ]


def test_an_exception_is_written_with_its_trace(stream: Stream) -> None:
    try:
        raise ValueError("broken: password=hunter2")
    except ValueError:
        get_logger("x").exception("failed")

    (entry,) = stream.entries()
    assert "ValueError: broken" in entry["exception"]
    assert "hunter2" not in entry["exception"]


def test_what_json_cannot_carry_is_still_logged(stream: Stream) -> None:
    get_logger("x").info("odd", text="\ud800", number=1 << 70, thing=object)

    (entry,) = stream.entries()
    assert entry["number"] == 1 << 70


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": "s3cret"},
        {"Password": "s3cret"},
        {"body": {"auth": {"password": "s3cret"}}},
        {"tokens": [{"refresh_token": "s3cret"}]},
        {"uri": "/sync?since=1&access_token=s3cret&timeout=0"},
        {"uri": "/callback?code=s3cret"},
        {"header": "Authorization: Bearer s3cret"},
        {"text": 'said {"access_token": "s3cret"}'},
        {"database": "postgresql://columba:s3cret@localhost/columba"},
    ],
)
def test_a_secret_is_hidden(fields: dict[str, Any]) -> None:
    hidden = hide_secrets(None, "info", fields)

    assert "s3cret" not in repr(hidden)
    assert "[hidden]" in repr(hidden)


def test_what_is_no_secret_stays(stream: Stream) -> None:
    fields = {"errcode": "M_UNKNOWN", "since": "s1_2", "uri": "/rooms/!a:example.org/messages?from=t1", "none": None}

    assert hide_secrets(None, "info", dict(fields)) == fields


def test_problems_that_twisted_reports_are_in_the_log(stream: Stream) -> None:
    twisted_log = Logger(namespace="twisted.web", observer=TwistedObserver())

    twisted_log.info("a connection was made")
    twisted_log.error("it broke: {why}", why="rust")
    try:
        raise ValueError("at the edge")
    except ValueError:
        twisted_log.failure("it failed")

    broken, failed = stream.entries()
    assert (broken["level"], broken["text"], broken["source"]) == ("error", "it broke: rust", "twisted.web")
    assert "ValueError: at the edge" in failed["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_nobody_writes_entries_of_their_own_or_moves_the_cursor(form: str) -> None:
    stream, before = io.BytesIO(), structlog.get_config()
    configure("info", form, stream)
    hostile = "@a\r\n2026-01-01T00:00:00Z [error] forged\x1b[2J\x9b\u2028:example.org"

    get_logger("x").info("left", user_id=hostile, rooms=[hostile])
    try:
        raise ValueError("\x1b[2J\x08")
    except ValueError:
        get_logger("x").exception("failed")
    structlog.configure(**before)

    written = stream.getvalue().decode()
    first, rest = written.split("\n", 1)
    assert "left" in first
    assert first.count("forged") == 2
    assert "failed" in rest.split("\n")[0]
    assert not any(control in written for control in "\r\x1b\x08")
