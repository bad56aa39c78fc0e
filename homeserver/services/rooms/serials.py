"""The serial of what lives in memory only, typing and presence: in a sync's token, it says what a client has seen."""


class Serials:
    """One counter for both, so that a token needs one number. It moves on the reactor thread; any may look at it.

    Whoever has a new serial writes under a lock what it stands for: a reader that knows the serial and then takes the
    lock misses nothing.
    """

    def __init__(self) -> None:
        self.newest = 0

    def advance(self) -> int:
        """A serial that is newer than all before."""
        self.newest += 1
        return self.newest
