"""`python -m tests.bench`: measures Columba, and Synapse beside it, and prints a table.

Each round starts every server on empty data, alone, in an order that turns round by round; the table has the medians of
all rounds. What is compared are ratios within one run: another day's machine is another machine.
"""

import argparse
import asyncio
import os
import platform
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.bench.attack import AttackCounts, attacked
from tests.bench.contestants import Contestant, columba, peer
from tests.bench.encrypted import keys
from tests.bench.federated import FederatedCounts, federated
from tests.bench.flood import FloodCounts, flood
from tests.bench.measures import MEASURES, Arena, Counts, Measure
from tests.bench.report import Results
from tests.bench.resolution import Resolvers, resolution, state_storage
from tests.bench.syncing import SYNCING
from tests.federation.peers import COLUMBA, SYNAPSE
from tests.server import REPOSITORY
from tests.synapse import SynapseMissing, synapse_python

CACHE: Final = REPOSITORY / ".cache"
RESOLUTION: Final = "resolution"  # a measure of the resolvers, not of the servers
FLOOD: Final = "flood"  # a measure of Columba beside itself
FEDERATION: Final = "federation"  # a measure of servers with TLS, beside others that are made by hand
ATTACK: Final = "attack"  # a measure of Columba, beside a server that means harm
APART: Final = (RESOLUTION, FLOOD, FEDERATION, ATTACK)
CLIENTS: Final = "clients"  # what many rooms, members and devices cost: measured once, because it is long prepared
CLIENT_MEASURES: Final[tuple[Measure, ...]] = (*SYNCING, keys)
CONDITIONS: Final = (
    "SQLite, loopback, no TLS, a process each; the load comes from a third. Rate limits off, log of warnings, "
    "room version 12, syncs with set_presence=offline; all other settings as they come."
)


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    unknown = [name for name in options.only if name not in _names()]
    if unknown:
        print(f"There is no measure {', '.join(unknown)}; there are {', '.join(_names())}.", file=sys.stderr)
        return 2
    measures = [one for one in MEASURES if not options.only or one.__name__ in options.only]
    of_clients = [one for one in CLIENT_MEASURES if not options.only or {one.__name__, CLIENTS} & set(options.only)]
    counts = Counts(rooms=options.rooms, members=options.members).scaled(options.scale)
    if options.profile:
        return _profile([*measures, *of_clients], counts, options.profile)
    makers: list[Callable[[], Contestant]] = [columba]
    python: Path | None = None
    if options.peer == "synapse":
        try:
            python = options.peer_python or synapse_python()
            makers.append(peer(python))
        except SynapseMissing as missing:
            print(f"{missing}\nColumba is measured alone.", file=sys.stderr)
    results = Results()
    for number in range(options.rounds if measures else 0):
        for make in makers if number % 2 == 0 else makers[::-1]:
            asyncio.run(_round(make(), measures, counts, results, f"round {number + 1} of {options.rounds}"))
    for make in makers if of_clients else ():
        asyncio.run(_round(make(), of_clients, counts, results, CLIENTS))
    if not options.only or RESOLUTION in options.only:
        _measure_resolution(Resolvers(python), results)
    if not options.only or FLOOD in options.only:
        _tell(FLOOD)
        for figures in asyncio.run(flood(columba(), options.rounds, FloodCounts())):
            results.add("Columba", figures)
        _tell("")
    if not options.only or FEDERATION in options.only:
        kinds = [COLUMBA] if python is None else [COLUMBA, SYNAPSE]
        for name, figures in federated(kinds, options.rounds, FederatedCounts(), _tell):
            results.add(name, figures)
        _tell("")
    if not options.only or ATTACK in options.only:
        for figures in attacked(options.rounds, AttackCounts(), _tell):
            results.add("Columba", figures)
        _tell("")
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(f"\n{CONDITIONS}\nMedians of {options.rounds}, resolution and clients once; {machine}.\n")
    print(results.table())
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        conditions = {
            "text": CONDITIONS,
            "rounds": options.rounds,
            "scale": options.scale,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": platform.platform(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        }
        options.json.write_text(results.to_json(conditions))
        print(f"\nAlso in {options.json}.")
    return 0


async def _round(
    contestant: Contestant, measures: Sequence[Measure], counts: Counts, results: Results, title: str
) -> None:
    try:
        await contestant.start()
        arena = Arena(contestant, counts)
        for measure in measures:
            _tell(f"{title}: {contestant.name}, {measure.__name__}")
            results.add(contestant.name, await measure(arena))
    finally:
        _tell("")
        contestant.close()


def _measure_resolution(resolvers: Resolvers, results: Results) -> None:
    """Measure it once: its rooms are large, and it waits for nothing."""
    _tell(RESOLUTION)
    for name, figures in resolution(resolvers):
        results.add(name, figures)
    results.add("Columba", state_storage())
    _tell("")


def _tell(line: str) -> None:
    """Say what is going on in one line that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _profile(measures: Sequence[Measure], counts: Counts, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    contestant = columba(("-m", "tests.bench.profiled", str(path.resolve())))
    asyncio.run(_round(contestant, measures, counts, Results(), "profile"))
    statistics = pstats.Stats(str(path))
    statistics.sort_stats("tottime").print_stats(25)
    print(f"The whole profile is in {path}: python -m pstats {path}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="MEASURE", help=f"of {', '.join(_names())}")
    parser.add_argument("--peer", choices=("synapse", "none"), default="synapse", help="what to measure beside Columba")
    parser.add_argument("--peer-python", type=Path, metavar="FILE", help="an interpreter that has Synapse already")
    parser.add_argument("--rounds", type=int, default=3, help="how often; 3 unless given")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many operations")
    parser.add_argument("--rooms", type=int, default=20, help="rooms of an initial sync")
    parser.add_argument("--members", type=int, default=50, help="members of the room of deliveries")
    parser.add_argument(
        "--json", type=Path, nargs="?", const=CACHE / "bench.json", metavar="FILE", help="write all figures, too"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        nargs="?",
        const=CACHE / "columba.prof",
        metavar="FILE",
        help="profile Columba instead, and print the functions with the most CPU time",
    )
    return parser.parse_args()


def _names() -> list[str]:
    return [*(measure.__name__ for measure in (*MEASURES, *CLIENT_MEASURES)), CLIENTS, *APART]


if __name__ == "__main__":
    sys.exit(main())
