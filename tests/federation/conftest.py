"""Two servers that know each other, for all tests of this folder, and tests that are coroutines."""

import asyncio
import inspect
import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.federation.peers import COLUMBA, HOSTS, KINDS, SYNAPSE, Peer
from tests.synapse import SynapseMissing
from tests.tls import CertificateAuthority

WHOLE_TEST_S: Final = 300.0
# `FEDERATION_SIDES=synapse,synapse` tells a fault of a test from one of Columba.
SIDES: Final = tuple(os.environ.get("FEDERATION_SIDES", f"{COLUMBA},{SYNAPSE}").split(","))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}

    async def bounded() -> None:
        async with asyncio.timeout(WHOLE_TEST_S):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded())
    return True


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Return the authority that all servers trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="package")
def both(authority: CertificateAuthority) -> Iterator[tuple[Peer, Peer]]:
    """Start two servers: Columba, then Synapse, whose start costs more than most tests."""
    peers: list[Peer] = []
    try:
        for kind, host in zip(SIDES, HOSTS, strict=True):
            peers.append(KINDS[kind](authority, host))
            asyncio.run(peers[-1].start())
        first, second = peers
        yield first, second
    except SynapseMissing as missing:
        pytest.skip(f"NOT TRIED: {missing}")
    finally:
        for peer in peers:
            peer.close()


@pytest.fixture
def sides(both: tuple[Peer, Peer]) -> tuple[Peer, Peer]:
    """Return the two, which run whatever the test before has done with them."""
    for peer in both:
        asyncio.run(peer.recover())
    return both


@pytest.fixture(params=["from the first", "from the second"])
def ordered(request: pytest.FixtureRequest, sides: tuple[Peer, Peer]) -> tuple[Peer, Peer]:
    """Take the two in one order and in the other: who begins makes a difference."""
    return sides if request.param == "from the first" else (sides[1], sides[0])


@pytest.fixture
def host(ordered: tuple[Peer, Peer]) -> Peer:
    """Return the server of whoever makes the room."""
    return ordered[0]


@pytest.fixture
def guest(ordered: tuple[Peer, Peer]) -> Peer:
    """Return the server of whoever comes to it."""
    return ordered[1]
