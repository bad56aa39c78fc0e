"""Why somebody does something: what users say with a report, and administrators with what they do in rooms."""

from typing import Final

from homeserver.services.errors import InvalidParameter

LONGEST_REASON_BYTES: Final = 4_096


def check_reason(reason: str | None) -> None:
    """Raise InvalidParameter for a reason that is too long."""
    if reason is not None and len(reason.encode()) > LONGEST_REASON_BYTES:
        raise InvalidParameter(f"A reason may have {LONGEST_REASON_BYTES} bytes")
