"""A disk whose power can fail: what SQLite wrote and did not sync may be gone, whole or by sectors."""

import random
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512


@dataclass(slots=True)
class FileOnDisk:
    """What is surely on the disk of one file, and what was written since its last sync."""

    kept: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes] | int] = field(default_factory=list)  # (offset, data), or a new size

    def sync(self) -> None:
        """Let everything that waits reach the disk."""
        for change in self.waiting:
            apply(self.kept, change)
        self.waiting.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        """What may be found afterwards: of what waited, any sectors in any order."""
        found = bytearray(self.kept)
        for change in self.waiting:
            if isinstance(change, int):
                if chance.random() < 0.5:
                    apply(found, change)
                continue
            offset, data = change
            for start in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    apply(found, (offset + start, data[start : start + SECTOR]))
        return bytes(found)


def apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    """Make one change to the content of a file."""
    if isinstance(change, int):
        del content[change:]
        return
    offset, data = change
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """An apsw VFS over the real file system that remembers what was synced. It registers itself when it is made."""

    def __init__(self, name: str = "power-loss") -> None:
        self.name = name
        self.files: dict[str, FileOnDisk] = {}
        self.fails_to_sync = False
        self.watchers: list[Watcher] = []
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "DiskFile":  # noqa: N802 - SQLite's name
        """Open a file whose writes are remembered."""
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        """Delete a file, at once and for good."""
        self.files.pop(filename, None)
        super().xDelete(filename, syncdir)

    def after_power_loss(self, folder: Path, chance: random.Random) -> None:
        """Write into `folder` the files as they may be found if the power failed now."""
        folder.mkdir()
        for name, file in self.files.items():
            (folder / Path(name).name).write_bytes(file.after_power_loss(chance))


class Watcher:
    """Is told before each sync, while what it would sync is still at risk."""

    def before_sync(self, disk: Disk) -> None:
        """Look at the disk."""


class DiskFile(apsw.VFSFile):
    """One open file of a Disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)
        if self.path is not None and self.path not in disk.files:
            disk.files[self.path] = FileOnDisk(bytearray(Path(self.path).read_bytes()))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write, and remember."""
        super().xWrite(data, offset)
        self._remember((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        """Shorten the file, and remember."""
        super().xTruncate(newsize)
        self._remember(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Let what waits reach the disk, unless it fails to."""
        for watcher in self.disk.watchers:
            watcher.before_sync(self.disk)
        if self.disk.fails_to_sync:
            raise apsw.IOError("the disk does not answer")
        if self.path is not None:
            self.disk.files[self.path].sync()

    def _remember(self, change: tuple[int, bytes] | int) -> None:
        if self.path is not None:
            self.disk.files[self.path].waiting.append(change)
