"""What is much, taken a part at a time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, `size` at a time; the last time fewer may be left."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
