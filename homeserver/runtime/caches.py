"""Bounded caches that share one budget in bytes.

Cache only what never changes (events by their ID, whatever follows from a state root): then nothing is ever to be
invalidated, and a cache can be read from the reactor and from the writer thread alike.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# What an entry costs beside its value: the key, the slot in the table, the entry itself. Measured, rounded up.
ENTRY_BYTES: Final = 320


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What one cache holds and how it has served so far.

    Uses are counted without a lock: two threads at once may count one of theirs together.
    """

    name: str
    entries: int
    size_bytes: int
    hits: int
    misses: int
    evictions: int


class _Entry(Generic[V]):
    """A cached value. `placed_at` grows with every entry that is placed last in any cache of the budget."""

    __slots__ = ("placed_at", "size_bytes", "value", "was_used")

    def __init__(self, value: V, size_bytes: int, placed_at: int) -> None:
        self.value = value
        self.size_bytes = size_bytes
        self.placed_at = placed_at
        self.was_used = False  # since it was placed


class CacheBudget:
    """The memory that all caches share. When it is full, what was unused longest goes, whichever cache it is in.

    Using an entry only marks it, for that is done for every event that is shown. Room is made by going through the
    entries from the oldest: one that was used is placed last, unmarked; one that was not, goes (a second chance).
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes: Final = limit_bytes
        self._lock = Lock()
        self._placed = 0
        self._used_bytes = 0
        # Any: the caches have different types of keys and values, which the budget never looks at.
        self._caches: list[BoundedCache[Any, Any]] = []

    @property
    def used_bytes(self) -> int:
        """What all caches hold together: never more than the limit."""
        return self._used_bytes

    def counts(self) -> list[CacheCounts]:
        """The counts of every cache, in the order in which they were made."""
        with self._lock:
            return [cache._counts() for cache in self._caches]

    def _make_room(self, wanted_bytes: int) -> None:
        while self._used_bytes + wanted_bytes > self.limit_bytes:
            oldest = min((cache for cache in self._caches if cache._entries), key=_oldest_place)
            oldest._evict_oldest_or_spare_it()

    def _next_place(self) -> int:
        self._placed += 1
        return self._placed


class BoundedCache(Generic[K, V]):
    """A cache of values that never change, under a budget shared with the other caches.

    `size_of(value)` says how many bytes a value keeps in memory; a guess will do. A value larger than an eighth of
    the budget is not kept. Used from any thread.
    """

    def __init__(self, name: str, budget: CacheBudget, size_of: Callable[[V], int]) -> None:
        self._name = name
        self._budget = budget
        self._size_of = size_of
        self._lock = budget._lock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0
        self._evictions = 0
        with self._lock:
            budget._caches.append(self)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of `key`, or None when it is not here."""
        entry = self._entries.get(key)
        if entry is None:
            self._misses += 1
            return None
        self._hits += 1
        entry.was_used = True
        return entry.value

    def put(self, key: K, value: V) -> None:
        """Keep `value`, and let go of what was unused longest when that needs room."""
        size_bytes = self._size_of(value) + ENTRY_BYTES
        with self._lock:
            self._remove(key)
            if size_bytes * 8 > self._budget.limit_bytes:
                return
            self._budget._make_room(size_bytes)
            self._entries[key] = _Entry(value, size_bytes, self._budget._next_place())
            self._resize(size_bytes)

    def discard(self, key: K) -> None:
        """Forget `key`, if it is here."""
        with self._lock:
            self._remove(key)

    def discard_where(self, is_wanted: Callable[[V], bool]) -> None:
        """Forget the entries whose values are such: every one is looked at."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if is_wanted(entry.value)]:
                self._remove(key)

    def discard_keys(self, is_wanted: Callable[[K], bool]) -> None:
        """Forget the entries whose keys are such: every one is looked at."""
        with self._lock:
            for key in [key for key in self._entries if is_wanted(key)]:
                self._remove(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._resize(-self._size_bytes)
            self._entries.clear()

    def _remove(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._resize(-entry.size_bytes)

    def _evict_oldest_or_spare_it(self) -> None:
        key, entry = next(iter(self._entries.items()))
        if entry.was_used:
            entry.was_used = False
            entry.placed_at = self._budget._next_place()
            self._entries.move_to_end(key)
            return
        del self._entries[key]
        self._resize(-entry.size_bytes)
        self._evictions += 1

    def _resize(self, by_bytes: int) -> None:
        self._size_bytes += by_bytes
        self._budget._used_bytes += by_bytes

    def _counts(self) -> CacheCounts:
        return CacheCounts(self._name, len(self._entries), self._size_bytes, self._hits, self._misses, self._evictions)


def _oldest_place(cache: BoundedCache[Any, Any]) -> int:  # Any: as in CacheBudget
    return next(iter(cache._entries.values())).placed_at
