"""What stands outside of a database, in memory: as ContinuityFiles."""


class FakeOutside:
    """As two files in a data folder."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.copies = 0
        self.position = 0

    def mark(self) -> str | None:
        return None if self.text is None else f"{self.text} {self.copies}"

    def make_mark(self, text: str) -> str:
        self.text, self.copies = text, self.copies + 1
        return f"{text} {self.copies}"

    def reached(self) -> int:
        return self.position

    def note_reached(self, position: int) -> None:
        self.position = position

    def copy(self) -> None:
        """Put a copy in the place of the file that cannot be copied."""
        self.copies += 1
