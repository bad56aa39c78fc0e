"""The composition root: builds the whole server by hand, floor by floor, and starts and stops it."""
