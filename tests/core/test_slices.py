from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.slices import slices


@given(st.lists(st.integers()), st.integers(1, 20))
def test_slices_are_the_whole_in_as_few_parts_as_can_be(items: list[int], size: int) -> None:
    parts = list(slices(items, size))

    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(0 < len(part) <= size for part in parts)
