"""What holds for every test: what comes first, no skips, no judging by time, the size and seed of the large runs."""

import gc
import os
import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A busy machine is slow, and that is no bug.
settings.register_profile("columba", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# What `make test` tries of each property; `make test-all` tries it with as many examples as Hypothesis likes.
settings.register_profile("everyday", settings.get_profile("columba"), max_examples=30)
settings.load_profile("columba")
MANY = settings().max_examples

LONG_FIRST = {
    f"tests/{folder}": place
    for place, folder in enumerate(
        ("federation", "clients", "durability", "api", "docs", "hostile", "cli", "bench", "convergence", "services")
    )
}
# What differs between databases is in storage, whose tests have both every day: what is built on it is tried on the
# other one by `make test-all`.
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.other_database)]
FEW = 8  # examples are the least
NO_SKIPS = os.environ.get("COLUMBA_NO_SKIPS") == "1"


def examples(count: int) -> int:
    """How many examples there are of a property whose examples cost much: `count`, and every day a part of them."""
    return min(count, max(FEW, count * settings().max_examples // MANY))


@dataclass(frozen=True, slots=True)
class LargeRun:
    """How much of a large run is wanted: `whole` counts, or a sample drawn with `seed`."""

    whole: bool
    seed: int


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that `make test-all` and `make soak` use."""
    parser.addoption("--large", choices=("sample", "whole"), default="sample", help="how much of a large run")
    parser.addoption("--large-seed", type=int, default=None, help="repeat a large run with the seed it printed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once, before any worker starts, and how the log tells of exceptions."""
    # With the variables of every frame, as structlog would have it here, each costs a second.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    if hasattr(config, "workerinput"):
        config.option.large_seed = config.workerinput["large_seed"]
    elif config.option.large_seed is None:
        config.option.large_seed = random.randrange(2**32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # Any: a worker of pytest-xdist, which has no types
    """Give each worker the one seed: options that were not typed do not reach it."""
    node.workerinput["large_seed"] = node.config.option.large_seed


def pytest_report_header(config: pytest.Config) -> str:
    """Print what repeats this run."""
    return f"large runs: --large={config.option.large} --large-seed={config.option.large_seed}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Look for no garbage among thousands of tests while they are found, nor later: they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take long, so that at the end no process waits long for another."""
    items.sort(key=lambda item: LONG_FIRST.get("/".join(item.nodeid.split("/")[:2]), len(LONG_FIRST)))


@pytest.fixture(scope="session")
def large_run(pytestconfig: pytest.Config) -> LargeRun:
    """Return the size and the seed that a test marked `large` goes by."""
    return LargeRun(whole=pytestconfig.option.large == "whole", seed=pytestconfig.option.large_seed)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped where COLUMBA_NO_SKIPS=1 allows no skip: {report.longrepr}"


# The hooks pass on whatever the other plugins return, which pytest does not type.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Turn a skipped test into a failed one where nothing may be missing."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Turn a skipped file into a failed one where nothing may be missing."""
    report = yield
    _refuse_skip(report)
    return report
