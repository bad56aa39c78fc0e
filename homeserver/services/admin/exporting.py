"""All accounts and rooms in a form that other programs read: a line for each thing, in a file that gzip reads.

Each line is a JSON object, whose `kind` says what it is of: `export` (the first line: whose export it is, and of when),
`account`, `profile_field`, `room`, `alias`, `event`, and `end` (the last one, with how many lines there are before it).
The other members are described in docs/operating.md. Events are told as PDUs, as other servers would be sent them:
first those that are known without having a place in their room, then each room's in the order in which they are shown.
There are no passwords, tokens or devices.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from homeserver.runtime.archive_files import CompressedFile
from homeserver.services.admin.backup_archive import Progress
from homeserver.services.admin.event_words import FORMS, VERDICTS
from homeserver.storage.events import Form, Verdict
from homeserver.storage.exports import (
    ExportedEvent,
    accounts,
    aliases,
    count_exported,
    events,
    profile_fields,
    rooms,
)
from homeserver.storage.whole_tables import Snapshot

VERSION: Final = 1
STAGE: Final = "exporting"
LINES_PER_STEP: Final = 500


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """An export to be made: into which file, and what is to stand in its first line."""

    path: Path
    server_name: str
    columba: str  # the version of the program
    made_ms: int


def write_export(snapshot: Snapshot, file: CompressedFile, plan: ExportPlan) -> Iterator[Progress]:
    """Write what a snapshot has. Raises OSError, SnapshotLost."""
    of = count_exported(snapshot)
    first = {"server_name": plan.server_name, "made_ts": plan.made_ms, "columba": plan.columba}
    file.write(_line({"kind": "export", "version": VERSION, **first}))
    lines = 0
    for line in _lines(snapshot):
        file.write(line)
        lines += 1
        if lines % LINES_PER_STEP == 0:
            yield Progress(STAGE, lines, of)
    file.write(_line({"kind": "end", "lines": lines + 1}))
    yield Progress(STAGE, lines, of)


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    for account in accounts(snapshot):
        yield _line({"kind": "account", **asdict(account)})
    for field in profile_fields(snapshot):
        yield _line(
            {
                "kind": "profile_field",
                "user_id": field.user_id,
                "name": field.name,
                "value": orjson.Fragment(field.value),
            }
        )
    for room in rooms(snapshot):
        yield _line({"kind": "room", **asdict(room)})
    for alias in aliases(snapshot):
        yield _line({"kind": "alias", **asdict(alias)})
    for event in events(snapshot):
        yield _line(_event(event))


def _event(event: ExportedEvent) -> Mapping[str, object]:
    return {
        "kind": "event",
        "room_id": event.room_id,
        "event_id": event.event_id,
        "verdict": VERDICTS[Verdict(event.verdict)],
        "form": FORMS[Form(event.form)],
        "is_outlier": event.is_outlier,
        "pdu": orjson.Fragment(event.pdu),
    }


def _line(thing: Mapping[str, object]) -> bytes:
    return orjson.dumps(thing, option=orjson.OPT_APPEND_NEWLINE)
