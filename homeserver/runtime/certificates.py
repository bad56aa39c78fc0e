"""How long certificates are good for, read from their files. Those of other servers are seen in outbound/."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from OpenSSL.crypto import FILETYPE_PEM, Error, load_certificate


class NoCertificate(Exception):  # noqa: N818 - a fact about a file, told to the operator
    """The file holds no certificate that can be read; the reason is a sentence."""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when, and until when."""

    since: datetime
    until: datetime


def validity_of(path: Path) -> Validity:
    """How long the first certificate of a PEM file is good for. Raises NoCertificate."""
    try:
        certificate = load_certificate(FILETYPE_PEM, path.read_bytes()).to_cryptography()
        return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (OSError, Error, ValueError) as problem:
        raise NoCertificate(f"{path} cannot be read: {problem or 'it is no certificate'}") from problem
