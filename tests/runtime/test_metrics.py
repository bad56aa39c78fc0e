"""Figures for Prometheus."""

from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics


def lines(metrics: Metrics) -> set[str]:
    return set(metrics.render().decode().splitlines())


def test_requests_are_counted_by_endpoint_and_status() -> None:
    metrics = Metrics()

    metrics.observe_request("/sync", 200, cpu_s=0.003, wall_s=0.2)
    metrics.observe_request("/sync", 200, cpu_s=0.001, wall_s=40.0)
    metrics.observe_request("/sync", 401, cpu_s=0.0001, wall_s=0.001)

    rendered = lines(metrics)
    assert 'columba_http_requests_total{endpoint="/sync",status="200"} 2.0' in rendered
    assert 'columba_http_requests_total{endpoint="/sync",status="401"} 1.0' in rendered
    assert 'columba_http_request_cpu_seconds_bucket{endpoint="/sync",le="0.001"} 2.0' in rendered
    assert 'columba_http_request_cpu_seconds_bucket{endpoint="/sync",le="0.005"} 3.0' in rendered
    assert 'columba_http_request_seconds_bucket{endpoint="/sync",le="30.0"} 2.0' in rendered
    assert 'columba_http_request_seconds_count{endpoint="/sync"} 3.0' in rendered


def test_what_others_count_is_read_when_it_is_asked_for() -> None:
    metrics = Metrics()
    transactions = {"write": 1, "read": 5}
    metrics.database(lambda: transactions)
    metrics.gauge("columba_users", "Accounts.", ["kind"], lambda: {("guest",): 3})
    before = lines(metrics)

    transactions["write"] = 2

    assert 'columba_database_transactions_total{kind="write"} 1.0' in before
    assert {'columba_database_transactions_total{kind="write"} 2.0', 'columba_users{kind="guest"} 3.0'} <= lines(
        metrics
    )


def test_caches_and_loops_are_exported() -> None:
    metrics, clock = Metrics(), ManualClock()
    budget, loops = CacheBudget(100_000), Loops(clock)
    metrics.caches(budget)
    metrics.loops(loops)

    async def work() -> None:
        clock.advance(2)

    BoundedCache[str, bytes]("events", budget, len).get("missing")
    loops.run_once("sweep", work)

    assert {
        "columba_cache_limit_bytes 100000.0",
        'columba_cache_lookups_total{cache="events",result="miss"} 1.0',
        'columba_loop_runs_total{loop="sweep"} 1.0',
        'columba_loop_busy_seconds_total{loop="sweep"} 2.0',
    } <= lines(metrics)
