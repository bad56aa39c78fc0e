"""Base64 without padding, as keys, hashes and signatures are written. Spec: appendices/#unpadded-base64"""

import binascii
from base64 import b64decode, urlsafe_b64encode


def encode_base64(value: bytes) -> str:
    """Standard alphabet, no padding."""
    return binascii.b2a_base64(value, newline=False).rstrip(b"=").decode("ascii")


def encode_base64_urlsafe(value: bytes) -> str:
    """URL-safe alphabet, no padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode_base64(text: str) -> bytes | None:
    """The bytes of `text` in the standard alphabet, padded or not; None if it is something else."""
    digits = text.rstrip("=")
    try:
        return b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return None


def decode_base64_urlsafe(text: str) -> bytes | None:
    """The bytes of `text` in the URL-safe alphabet, unpadded; None if it is something else."""
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
