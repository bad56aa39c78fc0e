"""Rate limits: a token bucket as a pure function. Whose buckets there are is in services and http."""

import math
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

_ROUNDING: Final = 1e-6  # of a token: what waiting exactly `retry_after_ms` may lack


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket holds `burst` tokens, and `per_second` of them flow in again."""

    per_second: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and self.burst > 0):
            raise ValueError("a rate limit lets something pass")


class Bucket(NamedTuple):
    """What was left at some time. A bucket that nobody has drawn from is full, and need not exist."""

    tokens: float
    at_ms: int


def take(limit: RateLimit, bucket: Bucket | None, now_ms: int, cost: float = 1.0) -> tuple[Bucket, int | None]:
    """Draw `cost` tokens: the bucket afterwards, and None, or else how many milliseconds to wait (nothing is drawn).

    What costs more than the burst needs a full bucket. A clock that went backwards refills nothing.
    """
    tokens = _tokens(limit, bucket, now_ms)
    cost = min(cost, limit.burst)
    if tokens + _ROUNDING >= cost:
        return Bucket(max(0.0, tokens - cost), now_ms), None
    return Bucket(tokens, now_ms), math.ceil((cost - tokens) / limit.per_second * 1000)


def spend(limit: RateLimit, bucket: Bucket | None, now_ms: int, cost: float = 1.0) -> Bucket:
    """The bucket after `cost` tokens were used, whether they were there or not: it owes the rest, up to a burst."""
    return Bucket(max(-limit.burst, _tokens(limit, bucket, now_ms) - cost), now_ms)


def give_back(limit: RateLimit, bucket: Bucket, now_ms: int, cost: float = 1.0) -> Bucket:
    """The bucket after `cost` tokens were put back that were drawn in vain."""
    return Bucket(min(limit.burst, _tokens(limit, bucket, now_ms) + cost), now_ms)


def is_full(limit: RateLimit, bucket: Bucket, now_ms: int) -> bool:
    """Can the bucket be forgotten?"""
    return _tokens(limit, bucket, now_ms) >= limit.burst


def _tokens(limit: RateLimit, bucket: Bucket | None, now_ms: int) -> float:
    if bucket is None:
        return limit.burst
    elapsed_ms = max(0, now_ms - bucket.at_ms)
    return min(limit.burst, bucket.tokens + elapsed_ms * limit.per_second / 1000)


def network_of(address: str) -> str:
    """Whom an address stands for: itself, or for IPv6 the /64 that one household has."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
