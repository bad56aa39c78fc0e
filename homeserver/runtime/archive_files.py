"""Files that are either whole or not there: compressed, on the disk, and under their names only once they are finished.

An archive is such a file of many values, and tells by itself whether it is as it was written. It is a gzip stream.
Within it each value is MessagePack, after its length in four bytes, the highest first. The last value is an object with
the one member `end`: how many values there were before it (`values`), and the SHA-256 of all bytes of the stream up to
there (`sha256`, hexadecimal). What the values mean, their owners say.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from homeserver.runtime.secret_files import sync_folder

LEVEL: Final = 3  # of compression: more costs time, and saves little
GZIP: Final = 31  # zlib's number for a gzip stream
READ_BYTES: Final = 1 << 18
LARGEST_BYTES: Final = 1 << 30  # of one value
PART_SUFFIX: Final = ".part"  # of the name under which a file is written
LENGTH: Final = struct.Struct(">I")


class BadArchive(Exception):  # noqa: N818 - a fact about a file, told to the operator
    """The file is none, is cut short or was changed; `reason` is a sentence for the operator."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.reason = str(self)


class CompressedFile:
    """A gzip file that is written under another name than its own, which it gets in `keep`.

    Only its owner can read it. What a process that was killed has left under the other name is thrown away. Raises
    OSError.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise FileExistsError(f"{path} is there already")
        self.path = path
        self.part = path.with_name(path.name + PART_SUFFIX)
        self.part.unlink(missing_ok=True)
        self._file = os.fdopen(
            os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb"
        )
        self._compress = zlib.compressobj(LEVEL, wbits=GZIP)

    def write(self, piece: bytes) -> None:
        """Add to it."""
        self._file.write(self._compress.compress(piece))

    def finish(self) -> None:
        """See that all is on the disk; it is still under its other name."""
        self._file.write(self._compress.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def keep(self) -> None:
        """Give the finished file its name. Nothing that has it already is replaced."""
        give_name(self.part, self.path)

    def abandon(self) -> None:
        """Leave nothing of a file that was not kept."""
        self._file.close()
        self.part.unlink(missing_ok=True)


def give_name(part: Path, path: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    """Call a file by another name, on the disk before this returns. Raises OSError, also where something is called so.

    `link` gives it a second name, as os.link does.
    """
    try:
        link(part, path)  # unlike a renaming it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # some file systems know a file by one name only
        if path.exists():
            raise FileExistsError(f"{path} is there already") from None
        part.rename(path)
    else:
        part.unlink()
    sync_folder(path.parent)


class ArchiveWriter:
    """Writes an archive into a file."""

    def __init__(self, file: CompressedFile) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._values = 0

    def write(self, value: Any) -> None:
        """Add a value: of what MessagePack has. Any: as it says."""
        self._add(value)
        self._values += 1

    def end(self) -> None:
        """Write what the archive ends with."""
        self._add({"end": {"values": self._values, "sha256": self._digest.hexdigest()}})

    def _add(self, value: Any) -> None:  # Any: see write
        encoded = msgspec.msgpack.encode(value)
        if len(encoded) > LARGEST_BYTES:
            raise OSError(f"a value of {len(encoded)} bytes is too large for an archive")
        for piece in (LENGTH.pack(len(encoded)), encoded):
            self._digest.update(piece)
            self._file.write(piece)


def read_archive(path: Path) -> Iterator[Any]:
    """The values of an archive, one after another. Raises OSError, BadArchive: that at its end at the latest.

    So what is done with the values counts only when there are no more. Any: see ArchiveWriter.write.
    """
    digest = hashlib.sha256()
    count = 0
    with path.open("rb") as file:
        stream = _Stream(path, file)
        while True:
            head = stream.take(LENGTH.size)
            (length,) = LENGTH.unpack(head)
            if length > LARGEST_BYTES:
                raise BadArchive(path, "is damaged: a value in it is too large")
            encoded = stream.take(length)
            try:
                value = msgspec.msgpack.decode(encoded)
            except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
                raise BadArchive(path, "is damaged: a value in it cannot be read") from wrong
            if isinstance(value, dict) and value.keys() == {"end"}:
                if value["end"] != {"values": count, "sha256": digest.hexdigest()}:
                    raise BadArchive(path, "is damaged: its checksum is wrong")
                stream.expect_end()
                return
            digest.update(head)
            digest.update(encoded)
            count += 1
            yield value


class _Stream:
    """The bytes of a gzip stream, as many as are wanted at a time."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._decompress = zlib.decompressobj(wbits=GZIP)
        self._ready = bytearray()

    def take(self, count: int) -> bytes:
        """The next bytes. Raises BadArchive where there are not so many."""
        while len(self._ready) < count:
            if not self._read_on():
                raise BadArchive(self._path, "is cut short")
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def expect_end(self) -> None:
        """Raises BadArchive unless nothing follows."""
        while self._read_on():
            pass
        if self._ready or self._decompress.unused_data or not self._decompress.eof or self._file.read(1):
            raise BadArchive(self._path, "is damaged: its end is not where it should be")

    def _read_on(self) -> bool:
        if self._decompress.eof:
            return False
        piece = self._decompress.unconsumed_tail or self._file.read(READ_BYTES)
        if not piece:
            return False
        try:
            self._ready += self._decompress.decompress(piece, READ_BYTES)
        except zlib.error as wrong:
            raise BadArchive(self._path, f"is no archive, or is damaged: {wrong}") from wrong
        return True
