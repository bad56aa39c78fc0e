"""How long a reason may be."""

import pytest

from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.reasons import LONGEST_REASON_BYTES, check_reason


def test_a_reason_is_bounded_in_bytes() -> None:
    longest = "é" * (LONGEST_REASON_BYTES // 2)

    check_reason(None)
    check_reason(longest)
    with pytest.raises(InvalidParameter):
        check_reason(f"{longest}x")
