"""Figures about the running server, for Prometheus.

Counting is cheap because nothing is formatted or locked until somebody asks: requests are counted in plain lists on
the reactor thread, and what others count anyway (caches, loops, the database) is read from them by `render`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.loops import Loops
from homeserver.runtime.tls_groups import TlsGroups

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

CPU_BOUNDS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
WALL_BOUNDS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)

# Values by the values of their labels, in the order of the label names; the key is () where there are no labels.
Values = Mapping[tuple[str, ...], float]


class _Histogram:
    """How many observations fell between the bounds, not yet summed up."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        names = [*map(str, self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(self._counts), strict=True)), self._sum)


class _EndpointFigures:
    """The requests to one endpoint so far."""

    __slots__ = ("by_status", "cpu", "wall")

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.cpu = _Histogram(CPU_BOUNDS_S)
        self.wall = _Histogram(WALL_BOUNDS_S)


class Metrics:
    """The figures of this process. One per process, made by the assembly."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _EndpointFigures] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_Collector(self._requests))

    def observe_request(self, endpoint: str, status: int, *, cpu_s: float, wall_s: float) -> None:
        """Count one answered request. `endpoint` is the declared path or another name out of a bounded set."""
        figures = self._endpoints.get(endpoint)
        if figures is None:
            figures = self._endpoints[endpoint] = _EndpointFigures()
        figures.by_status[status] = figures.by_status.get(status, 0) + 1
        figures.cpu.observe(cpu_s)
        figures.wall.observe(wall_s)

    def counter(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Values]) -> None:
        """Export a number that only grows ("columba_…", without "_total"); `read` is called for each `render`."""

        def collect() -> Iterator[Metric]:
            family = CounterMetricFamily(name, text, labels=labels)
            for values, number in read().items():
                family.add_metric(values, number)
            yield family

        self._registry.register(_Collector(collect))

    def gauge(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Values]) -> None:
        """Export a number that goes up and down; `read` is called for each `render`."""

        def collect() -> Iterator[Metric]:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, number in read().items():
                family.add_metric(values, number)
            yield family

        self._registry.register(_Collector(collect))

    def database(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Export the database's transactions: `read` gives how many so far by kind ("write", "read")."""
        self.counter(
            "columba_database_transactions",
            "Transactions of the database.",
            ["kind"],
            lambda: {(kind,): number for kind, number in read().items()},
        )

    def caches(self, budget: CacheBudget) -> None:
        """Export what the caches hold, and how they serve."""
        self.gauge("columba_cache_limit_bytes", "Budget of all caches.", [], lambda: {(): budget.limit_bytes})
        self.gauge(
            "columba_cache_bytes",
            "Size of a cache.",
            ["cache"],
            lambda: {(c.name,): c.size_bytes for c in budget.counts()},
        )
        self.gauge(
            "columba_cache_entries",
            "Entries of a cache.",
            ["cache"],
            lambda: {(c.name,): c.entries for c in budget.counts()},
        )
        self.counter(
            "columba_cache_lookups",
            "Lookups in a cache.",
            ["cache", "result"],
            lambda: {
                (cache.name, result): number
                for cache in budget.counts()
                for result, number in (("hit", cache.hits), ("miss", cache.misses))
            },
        )
        self.counter(
            "columba_cache_evictions",
            "Entries that had to make room.",
            ["cache"],
            lambda: {(c.name,): c.evictions for c in budget.counts()},
        )

    def loops(self, loops: Loops) -> None:
        """Export the runs, failures and time of the background work."""
        self.counter(
            "columba_loop_runs",
            "Runs of background work.",
            ["loop"],
            lambda: {(name,): counts.runs for name, counts in loops.counts.items()},
        )
        self.counter(
            "columba_loop_failures",
            "Runs of background work that failed.",
            ["loop"],
            lambda: {(name,): counts.failures for name, counts in loops.counts.items()},
        )
        self.counter(
            "columba_loop_busy_seconds",
            "Time for which background work ran or waited.",
            ["loop"],
            lambda: {(name,): counts.busy_s for name, counts in loops.counts.items()},
        )

    def tls(self, groups: TlsGroups) -> None:
        """Export by which groups the keys of TLS connections were exchanged."""
        self.counter(
            "columba_tls_handshakes",
            "TLS connections.",
            ["direction", "group"],
            lambda: {(direction, group): number for (direction, group), number in groups.counts.items()},
        )

    def render(self) -> bytes:
        """Everything in Prometheus' text format: `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("columba_http_requests", "Answered requests.", labels=["endpoint", "status"])
        cpu = HistogramMetricFamily("columba_http_request_cpu_seconds", "CPU time of a request.", labels=["endpoint"])
        wall = HistogramMetricFamily("columba_http_request_seconds", "Duration of a request.", labels=["endpoint"])
        for endpoint, figures in self._endpoints.items():
            for status, number in figures.by_status.items():
                requests.add_metric([endpoint, str(status)], number)
            figures.cpu.add_to(cpu, [endpoint])
            figures.wall.add_to(wall, [endpoint])
        yield from (requests, cpu, wall)


class _Collector:
    """What Prometheus' registry asks for figures."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return ()
