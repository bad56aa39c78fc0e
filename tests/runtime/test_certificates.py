"""How long certificates are good for."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeserver.runtime.certificates import NoCertificate, Validity, validity_of
from tests.tls import CertificateAuthority


def test_a_certificate_says_how_long_it_is_good_for(tmp_path: Path) -> None:
    since, until = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)
    issued = CertificateAuthority(tmp_path).issue("example.org", since=since, until=until)

    assert validity_of(issued.certificate) == Validity(since, until)


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(content)

    for wrong in (path, tmp_path / "not there"):
        with pytest.raises(NoCertificate, match="cannot be read"):
            validity_of(wrong)
