"""Two small files by which a server finds that its database, or its whole data folder, was put back to a backup.

One is made once, and known by what no copy of it has: its inode, and when that was changed last. In the other stands
how far the log of changes has come, now and then: a database that is not there yet is older. A snapshot of a whole file
system that is put back is not found so; whoever does that can delete the first file.
"""

from pathlib import Path
from typing import Final

MARK_FILE: Final = "continuity"
REACHED_FILE: Final = "continuity.reached"


class ContinuityFiles:
    """The files in one data folder."""

    def __init__(self, folder: Path) -> None:
        self._mark = folder / MARK_FILE
        self._reached = folder / REACHED_FILE

    def mark(self) -> str | None:
        """What tells the first file from every other file, and every copy of it; None without one."""
        try:
            return self._read_mark()
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def make_mark(self, text: str) -> str:
        """Put another file in the place of the first, with this in it; what tells it from others."""
        _replace(self._mark, text)
        return self._read_mark()

    def reached(self) -> int:
        """How far the log is known to have come; 0 when that cannot be read."""
        try:
            text = self._reached.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdigit() and len(text) < 19 else 0

    def note_reached(self, position: int) -> None:
        """Note how far the log has come: of what is on the disk alone."""
        _replace(self._reached, str(position))

    def _read_mark(self) -> str:
        status = self._mark.stat()
        return f"{self._mark.read_text('ascii').strip()} {status.st_ino} {status.st_ctime_ns}"


def _replace(path: Path, text: str) -> None:
    """Without waiting for the disk: what a power cut takes makes the folder look put back, at worst."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(f"{text}\n", "ascii")
    fresh.replace(path)
