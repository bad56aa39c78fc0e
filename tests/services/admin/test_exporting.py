"""Everything that is exported is told in lines of JSON, and no secret is among it."""

import gzip
import json
from pathlib import Path
from typing import Any

from homeserver.runtime.archive_files import CompressedFile
from homeserver.services.accounts.requester import Requester
from homeserver.services.admin.backup_archive import Progress
from homeserver.services.admin.exporting import ExportPlan, write_export
from homeserver.storage.database import Transaction
from homeserver.storage.exports import ACCOUNTS, ALIASES, OUTLIERS, PLACED, PROFILE_FIELDS, ROOMS
from tests.databases import SyncDatabase, fresh_sqlite
from tests.growth.workload import Workload
from tests.services.accounts.people import PASSWORD, register
from tests.services.world import ALICE, BOB, PHONE, World, now


# Any: JSON, throughout.
def exported(world: World, folder: Path) -> tuple[list[dict[str, Any]], list[Progress]]:
    file = CompressedFile(folder / "export")
    snapshot = world.sync_database.backend.open_snapshot()
    told = list(write_export(snapshot, file, ExportPlan(file.path, "example.org", "1.2.3", 1_700_000_000_000)))
    snapshot.close()
    file.finish()
    file.keep()
    return [json.loads(line) for line in gzip.decompress(file.path.read_bytes()).splitlines()], told


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def explained(tx: Transaction, sql: str) -> list[tuple[Any, ...]]:
    return tx.all(f"EXPLAIN QUERY PLAN {sql}")


def test_accounts_are_told_with_their_profiles_and_without_secrets(world: World, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        register(world, name)
    now(world.profiles.set_field(Requester(ALICE, PHONE, 1), ALICE, "displayname", "Alice"))
    now(world.profiles.set_field(Requester(ALICE, PHONE, 1), ALICE, "m.tz", "Europe/Paris"))

    lines, _ = exported(world, tmp_path)

    alice, bob = of_kind(lines, "account")
    assert (alice["user_id"], alice["display_name"], alice["account_kind"]) == (ALICE, "Alice", "user")
    assert (bob["user_id"], bob["is_admin"], bob["is_deactivated"]) == (BOB, False, False)
    (field,) = of_kind(lines, "profile_field")
    assert field == {"kind": "profile_field", "user_id": ALICE, "name": "m.tz", "value": "Europe/Paris"}
    assert {name for line in lines for name in line if "password" in name or "token" in name} == set()
    assert PASSWORD not in json.dumps(lines)


def test_rooms_are_told_with_their_aliases_and_their_events_in_order(world: World, tmp_path: Path) -> None:
    register(world, "alice")
    room_id = world.create_room(ALICE, alias_localpart="room", name="Room", is_public=True)
    event_ids = [world.send(ALICE, room_id, f"message {number}") for number in range(3)]

    lines, _ = exported(world, tmp_path)

    (room,) = of_kind(lines, "room")
    (alias,) = of_kind(lines, "alias")
    events = of_kind(lines, "event")
    assert (room["room_id"], room["version"], room["is_published"]) == (room_id, "12", True)
    assert (alias["room_alias"], alias["room_id"], alias["creator"]) == ("#room:example.org", room_id, ALICE)
    assert events[0]["pdu"]["type"] == "m.room.create"
    assert [event["event_id"] for event in events[-3:]] == event_ids
    assert events[-1]["pdu"]["content"]["body"] == "message 2"
    assert {(event["verdict"], event["form"], event["is_outlier"]) for event in events} == {
        ("accepted", "whole", False)
    }
    assert all("signatures" in event["pdu"] for event in events)


def test_the_first_line_and_the_last_tell_of_the_others(world: World, tmp_path: Path) -> None:
    Workload(world).run()

    lines, told = exported(world, tmp_path)

    assert lines[0] == {
        "kind": "export",
        "version": 1,
        "server_name": "example.org",
        "made_ts": 1_700_000_000_000,
        "columba": "1.2.3",
    }
    assert lines[-1] == {"kind": "end", "lines": len(lines) - 1}
    assert told[-1] == Progress("exporting", len(lines) - 2, len(lines) - 2)


def test_nothing_is_sorted_that_would_have_to_be_kept_in_memory(tmp_path: Path) -> None:
    sqlite_db = SyncDatabase(fresh_sqlite(tmp_path / "homeserver.db"))
    for sql in (ACCOUNTS, PROFILE_FIELDS, ROOMS, ALIASES, OUTLIERS, PLACED):
        plan = sqlite_db.read(explained, sql)

        assert plan
        assert [row[3] for row in plan if "TEMP B-TREE" in row[3]] == []
    sqlite_db.close()
