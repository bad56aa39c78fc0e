"""How the server is: what it is, what it takes up, what waits, and what costs most. For administrators.

Nothing here reads more than a bounded part of the database, however large that is; what is estimated is called so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.slices import slices
from homeserver.runtime.caches import CacheBudget, CacheCounts
from homeserver.runtime.loops import LoopCounts
from homeserver.runtime.own_figures import Cost, OwnFigures, ProcessFigures
from homeserver.storage.database import Database
from homeserver.storage.database_sizes import (
    DatabaseSize,
    Tree,
    TreeSize,
    database_size,
    stored_trees,
    tree_sizes,
)
from homeserver.storage.large_rooms import LargeRoom, largest_rooms
from homeserver.storage.schema import tables_by_family
from homeserver.storage.waiting_work import MOST_COUNTED, LogReaders, log_readers, queue_lengths

TREES_AT_ONCE: Final = 10  # each in one read, so that nobody waits long for a reader
ROOMS_TOLD: Final = 10
OTHERS: Final = "others"  # what belongs to no table of ours


@dataclass(frozen=True, slots=True)
class About:
    """What runs here."""

    server_name: str
    version: str
    python: str


@dataclass(frozen=True, slots=True)
class FamilySize:
    """What the tables of a family take up together, with their indexes."""

    family: str
    size_bytes: int
    is_estimate: bool


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The database. `transactions` since the start of the server."""

    kind: str
    size: DatabaseSize
    families: Sequence[FamilySize]  # the largest first
    transactions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """All of it."""

    about: About
    process: ProcessFigures
    connections: int
    requests_in_flight: int
    database: DatabaseStatus
    streams: LogReaders
    queues: Mapping[str, int]
    most_counted: int  # in a queue: it stands for as much or more
    loops: Mapping[str, LoopCounts]
    caches: Sequence[CacheCounts]
    cache_limit_bytes: int
    largest_rooms: Sequence[LargeRoom]  # estimates
    slowest_rooms: Sequence[Cost]  # those on which requests spent most time since the start


class ServerStatus:
    """Looks at the server."""

    def __init__(self, database: Database, budget: CacheBudget, figures: OwnFigures, about: About) -> None:
        self._database = database
        self._budget = budget
        self._figures = figures
        self._about = about

    async def status(self) -> Status:
        """How the server is now."""
        connections, in_flight = self._figures.count_traffic()
        return Status(
            about=self._about,
            process=self._figures.process(),
            connections=connections,
            requests_in_flight=in_flight,
            database=await self._database_status(),
            streams=await self._database.read(log_readers),
            queues=await self._database.read(queue_lengths),
            most_counted=MOST_COUNTED,
            loops=dict(self._figures.loops.counts),
            caches=self._budget.counts(),
            cache_limit_bytes=self._budget.limit_bytes,
            largest_rooms=await self.largest_rooms(),
            slowest_rooms=self._figures.room_costs.most_costly(ROOMS_TOLD),
        )

    async def largest_rooms(self) -> Sequence[LargeRoom]:
        """Those that take up most, the largest first."""
        return await self._database.read(largest_rooms, limit=ROOMS_TOLD)

    async def _database_status(self) -> DatabaseStatus:
        trees = await self._database.read(stored_trees)
        sizes: dict[str, TreeSize] = {}
        for some in slices(trees, TREES_AT_ONCE):
            sizes |= await self._database.read(tree_sizes, [tree.name for tree in some])
        counts = self._database.counts
        return DatabaseStatus(
            kind=self._database.dialect.name,
            size=await self._database.read(database_size),
            families=_by_family(trees, sizes),
            transactions={"read": counts.reads, "write": counts.writes, "commit": counts.batches},
        )


def _by_family(trees: Sequence[Tree], sizes: Mapping[str, TreeSize]) -> list[FamilySize]:
    families = {table.name: family for family, tables in tables_by_family().items() for table in tables}
    found: dict[str, FamilySize] = {}
    for tree in trees:
        size = sizes.get(tree.name)
        if size is None:  # dropped at this moment
            continue
        family = _family_of(tree.table, families)
        known = found.get(family, FamilySize(family, 0, is_estimate=False))
        found[family] = FamilySize(
            family, known.size_bytes + size.size_bytes, is_estimate=known.is_estimate or size.is_estimate
        )
    return sorted(found.values(), key=lambda one: (-one.size_bytes, one.family))


def _family_of(table: str, families: Mapping[str, str]) -> str:
    """Whose a table is. What SQLite keeps a virtual table in is called like it, with something behind."""
    while table not in families and "_" in table:
        table = table.rpartition("_")[0]
    return families.get(table, OTHERS)
