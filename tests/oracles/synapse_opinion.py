"""Asks Synapse's code about rooms: starts synapse_oracle.py in Synapse's own environment and speaks with it.

Questions are JSON objects with a key `ask`:
`ids` -> the events whose ID or room Synapse reckons otherwise; `allows` (event, state) -> bool;
`auth_events` (event) -> bool; `selection` (event) -> pairs of type and state key;
`resolve` (states, by_the_text) -> the events of the resolved state; `cost` (states, times) -> CPU seconds;
`peak` (states) -> bytes of memory.
States are lists of event IDs.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion

ORACLE: Final = Path(__file__).with_name("synapse_oracle.py")


class SynapseOpinion:
    """A running oracle; a context manager that ends it."""

    def __init__(self, python: Path) -> None:
        """`python` is the interpreter of an environment with Synapse."""
        self._process = subprocess.Popen(
            [python, "-E", "-P", ORACLE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    # Any: JSON, both ways.
    def ask(
        self,
        room_id: RoomID,
        version: RoomVersion,
        events: Iterable[Event],
        rejected: Iterable[EventID],
        questions: Sequence[Mapping[str, Any]],
    ) -> list[Any]:
        """The answers to some questions about a room."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        room = {
            "version": version.name,
            "room_id": room_id,
            "pdus": {event.event_id: event.pdu for event in events},
            "rejected": sorted(rejected),
            "questions": questions,
        }
        self._process.stdin.write(json.dumps(room) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the oracle ended; what it says of that is on standard error"
        answers: list[Any] = json.loads(line)
        return answers
