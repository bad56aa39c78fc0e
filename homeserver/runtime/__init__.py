"""Mechanics that know Twisted but not Matrix: clock, locks, wake-ups, loops, caches, logs, metrics, randomness."""
