"""The outside world, for every test of what goes out."""

from collections.abc import Iterator

import pytest

from tests.outbound.https_servers import Outside
from tests.tls import CertificateAuthority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that servers have their certificates of."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def outside(authority: CertificateAuthority) -> Iterator[Outside]:
    """The outside world of one test."""
    made = Outside(authority)
    yield made
    made.close()
