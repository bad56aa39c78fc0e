"""What was acknowledged is still there after the power failed; the databases say that they wait for the disk."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.storage.database import DatabaseUnavailable, OutcomeUnknown, Transaction
from homeserver.storage.migrations.runner import REVISIONS
from homeserver.storage.postgresql import open_postgresql
from homeserver.storage.sqlite import open_sqlite
from tests.databases import SyncDatabase
from tests.postgres import Postgres, start_postgres
from tests.power_loss import Disk, Watcher

ADD = "INSERT INTO counters (name, value) VALUES (:name, :value)"
FOUNDATION = REVISIONS[:1]
NAMES = "SELECT value FROM counters ORDER BY value"


def add(tx: Transaction, value: int) -> None:
    tx.run(ADD, name=f"row {value} {'x' * (value * 37 % 900)}", value=value)
    tx.at_position(("counters",), lambda *_: None)


def values(tx: Transaction) -> list[int]:
    return [int(row[0]) for row in tx.all(NAMES)]


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


class PowerLosses(Watcher):
    """At every sync, keeps what the disk may hold if the power fails just then, and what had been acknowledged."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.acknowledged = 0
        self.losses: list[tuple[Path, int]] = []

    def before_sync(self, disk: Disk) -> None:
        folder = self.folder / f"loss-{len(self.losses)}"
        disk.after_power_loss(folder, self.chance)
        self.losses.append((folder, self.acknowledged))


@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_writes_survive_a_power_loss_at_any_moment(tmp_path: Path, disk: Disk, seed: int) -> None:
    chance = random.Random(seed)
    backend = open_sqlite(tmp_path / "homeserver.db", vfs=disk.name, revisions=FOUNDATION, checkpoint_pages=12)
    database = SyncDatabase(backend)
    losses = PowerLosses(tmp_path, chance)
    disk.watchers.append(losses)

    for value in range(1, 30):
        database.write(add, value)
        losses.acknowledged = value
        losses.before_sync(disk)
    database.close()

    assert len(losses.losses) > 60
    for folder, acknowledged in losses.losses:
        survivor = SyncDatabase(open_sqlite(folder / "homeserver.db", revisions=FOUNDATION))
        found = survivor.read(values)
        position = survivor.read(lambda tx: tx.log_position)
        survivor.close()
        assert found == list(range(1, position + 1))
        assert acknowledged <= position <= acknowledged + 1


def test_after_a_failed_sync_nothing_is_written_any_more(tmp_path: Path, disk: Disk) -> None:
    database = SyncDatabase(open_sqlite(tmp_path / "homeserver.db", vfs=disk.name))
    database.write(add, 1)

    disk.fails_to_sync = True
    with pytest.raises(OutcomeUnknown):
        database.write(add, 2)
    disk.fails_to_sync = False

    assert len(database.fatal) >= 1
    with pytest.raises(DatabaseUnavailable):
        database.write(add, 3)
    database.close()


def test_sqlite_says_that_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    durability = open_sqlite(tmp_path / "homeserver.db").durability()

    assert durability.settings == {"journal_mode": "wal", "synchronous": "2", "wal_autocheckpoint": "0"}
    assert durability.survives_power_loss


def test_postgresql_says_that_a_commit_waits_for_the_disk() -> None:
    server = start_postgres()
    backend = open_postgresql(server.url_of_empty_database(), revisions=FOUNDATION)

    durability = backend.durability()
    server.stop()

    assert durability.settings["fsync"] == "on"
    assert durability.settings["synchronous_commit"] == "on"
    assert durability.survives_power_loss


def test_postgresql_that_does_not_wait_for_the_disk_is_found_out(postgres: Postgres) -> None:
    durability = open_postgresql(postgres.url_of_empty_database(), revisions=FOUNDATION).durability()

    assert durability.settings["fsync"] == "off"
    assert not durability.survives_power_loss
