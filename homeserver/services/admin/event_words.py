"""In which words administrators and other programs are told how an event was judged and in which form it is stored."""

from collections.abc import Mapping
from typing import Final

from homeserver.storage.events import Form, Verdict

VERDICTS: Final[Mapping[Verdict, str]] = {
    Verdict.ACCEPTED: "accepted",
    Verdict.SOFT_FAILED: "soft-failed",
    Verdict.REJECTED: "rejected",
}
FORMS: Final[Mapping[Form, str]] = {
    Form.FULL: "whole",
    Form.REDACTED: "redacted",
    Form.WRONG_HASH: "wrong hash",
    Form.EXPIRED: "expired",
}
