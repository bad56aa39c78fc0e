"""`homeserver admin server status`."""

import json
from typing import Any

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.server import server
from tests.cli.commands import Offline, typed_at
from tests.cli.test_federation import ScriptedDoor

PATH = "/_columba/admin/v1/status"
STATUS: dict[str, Any] = {  # Any: JSON
    "about": {"server_name": "example.org", "version": "0.1", "python": "3.11.2"},
    "process": {
        "uptime_s": 190_000.0,
        "cpu_s": 31.4,
        "memory_bytes": 100 << 20,
        "most_memory_bytes": 120 << 20,
        "open_files": 30,
        "open_files_limit": 1024,
    },
    "connections": 4,
    "requests_in_flight": 2,
    "database": {
        "kind": "sqlite",
        "size": {"size_bytes": 3 << 30, "unused_bytes": 5 << 20},
        "families": [
            {"family": "events", "size_bytes": 2 << 30, "is_estimate": True},
            {"family": "filters", "size_bytes": 4096, "is_estimate": False},
        ],
        "transactions": {"read": 1, "write": 2, "commit": 1},
    },
    "streams": {"log": 12, "federation": 11, "still_to_index": 0},
    "queues": {"jobs": 0, "events_to_judge": 10_000, "delayed_events": 3},
    "most_counted": 10_000,
    "loops": {"sweep": {"runs": 3, "failures": 1, "busy_s": 0.1}, "jobs": {"runs": 3, "failures": 0, "busy_s": 0.1}},
    "caches": [
        {"name": "events", "entries": 7, "size_bytes": 2048, "hits": 3, "misses": 1, "evictions": 0},
        {"name": "unused", "entries": 0, "size_bytes": 0, "hits": 0, "misses": 0, "evictions": 0},
    ],
    "cache_limit_bytes": 64 << 20,
    "largest_rooms": [
        {"room_id": "!a:b", "name": "Bad\u001b[2J", "joined_members": 2, "events": 99, "size_bytes": 99_000}
    ],
    "slowest_rooms": [{"name": "!a:b", "requests": 12, "cpu_s": 0.5, "wall_s": 2.5}],
}


def test_the_status_is_told_in_lines_of_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(ScriptedDoor(**{PATH: (200, STATUS)}), server, "status")

    assert capsys.readouterr().out.splitlines() == [
        "server: example.org, Columba 0.1 on Python 3.11.2",
        "process: up 2 d 4 h, 31 s of computing, 100.0 MiB of memory (120.0 MiB at most), 30 files of 1024 open",
        "connections: 4, 2 requests being answered",
        "database: sqlite, 3.0 GiB, 5.0 MiB of it unused",
        "database: events: ~2.0 GiB",
        "log: at 12, looked through for other servers up to 11",
        "events to judge: 10000 or more waiting",
        "delayed events: 3 waiting",
        "background: sweep: 1 of 3 runs failed",
        "caches: 2.0 KiB of 64.0 MiB",
        "cache: events: 2.0 KiB, 7 entries, 75 % of 4 lookups found",
        "large room: !a:b (Bad\\u001b[2J): ~99 events, ~96.7 KiB, 2 members",
        "slow room: !a:b: 2.5 s in 12 requests, 0.5 s of computing",
    ]


def test_scripts_are_given_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(ScriptedDoor(**{PATH: (200, STATUS)}), server, "status", "--json")

    assert json.loads(capsys.readouterr().out) == STATUS


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_of_a_server_that_does_not_run_it_is_said_so(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(CommandFailed, match="the server does not run"):
        typed_at(Offline(ScriptedDoor(**{PATH: (200, STATUS)})), server, "status", *words)

    assert "example.org" in capsys.readouterr().out
