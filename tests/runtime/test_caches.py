"""Bounded caches."""

from threading import Thread

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.runtime.caches import ENTRY_BYTES, BoundedCache, CacheBudget

ROOMY = 100 * ENTRY_BYTES


def test_what_was_put_is_got_and_counted() -> None:
    budget = CacheBudget(ROOMY)
    cache: BoundedCache[str, bytes] = BoundedCache("events", budget, len)

    cache.put("a", b"value")
    found, missing = cache.get("a"), cache.get("b")

    assert (found, missing) == (b"value", None)
    (counts,) = budget.counts()
    assert (counts.name, counts.entries, counts.hits, counts.misses) == ("events", 1, 1, 1)
    assert counts.size_bytes == budget.used_bytes == ENTRY_BYTES + 5


def test_what_was_unused_longest_goes_first_whichever_cache_it_is_in() -> None:
    budget = CacheBudget(10 * (ENTRY_BYTES + 1))
    events: BoundedCache[int, bytes] = BoundedCache("events", budget, len)
    roots: BoundedCache[int, bytes] = BoundedCache("roots", budget, len)
    for key in range(5):
        events.put(key, b"x")
        roots.put(key, b"x")
    events.get(0)

    events.put(5, b"x")
    events.put(6, b"x")

    assert roots.get(0) is None  # the oldest
    assert events.get(1) is None  # the next: events 0 was used since
    assert events.get(0) is not None
    assert len(events) + len(roots) == 10


def test_what_is_used_again_and_again_stays_while_others_come_and_go() -> None:
    budget = CacheBudget(10 * (ENTRY_BYTES + 1))
    cache: BoundedCache[int, bytes] = BoundedCache("events", budget, len)
    cache.put(0, b"x")

    for key in range(1, 100):
        assert cache.get(0) == b"x"
        cache.put(key, b"x")

    assert len(cache) == 10


def test_room_is_made_when_everything_was_used() -> None:
    budget = CacheBudget(10 * (ENTRY_BYTES + 1))
    cache: BoundedCache[int, bytes] = BoundedCache("events", budget, len)
    for key in range(10):
        cache.put(key, b"x")
        cache.get(key)

    cache.put(10, b"x")

    assert (cache.get(0), cache.get(1), cache.get(10)) == (None, b"x", b"x")


def test_a_value_that_would_push_out_much_of_the_rest_is_not_kept() -> None:
    budget = CacheBudget(ROOMY)
    cache: BoundedCache[str, bytes] = BoundedCache("events", budget, len)
    cache.put("a", b"small")

    cache.put("b", bytes(ROOMY // 4))
    cache.put("a", bytes(ROOMY // 4))

    assert (cache.get("a"), cache.get("b"), budget.used_bytes) == (None, None, 0)


def test_a_cleared_cache_gives_its_memory_back() -> None:
    budget = CacheBudget(ROOMY)
    cache: BoundedCache[int, bytes] = BoundedCache("events", budget, len)
    for key in range(3):
        cache.put(key, b"x")

    cache.discard(0)
    cache.discard(0)
    cache.clear()

    assert (len(cache), budget.used_bytes) == (0, 0)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "get", "discard"]), st.integers(0, 1), st.integers(0, 8), st.integers(0, 4000)),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(0, 30 * ENTRY_BYTES), steps=steps)
def test_the_caches_never_hold_more_than_their_budget(limit: int, steps: list[tuple[str, int, int, int]]) -> None:
    budget = CacheBudget(limit)
    caches: list[BoundedCache[int, bytes]] = [BoundedCache(name, budget, len) for name in ("events", "roots")]

    for step, which, key, size in steps:
        cache = caches[which]
        if step == "put":
            cache.put(key, bytes(size))
        elif step == "get":
            cache.get(key)
        else:
            cache.discard(key)

        assert budget.used_bytes <= limit
        assert budget.used_bytes == sum(counts.size_bytes for counts in budget.counts())
        assert all(len(cache) == counts.entries for cache, counts in zip(caches, budget.counts(), strict=True))


def test_caches_used_from_several_threads_keep_their_books() -> None:
    budget = CacheBudget(20 * ENTRY_BYTES)
    cache: BoundedCache[int, bytes] = BoundedCache("events", budget, len)

    def use(first: int) -> None:
        for number in range(2000):
            cache.put((first + number) % 50, bytes(number % 30))
            cache.get(number % 50)

    threads = [Thread(target=use, args=(first,)) for first in (0, 7, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (counts,) = budget.counts()
    assert counts.size_bytes == budget.used_bytes <= budget.limit_bytes
    assert 0 < counts.hits + counts.misses <= 6000  # some may have been counted together
