"""Replaces a small file that must never be lost and never be half there, such as a key.

What stands in such files, their owners say.
"""

import os
from pathlib import Path


def replace_secret_file(path: Path, text: str) -> None:
    """Put `text` in place of what the file holds, on the disk before this returns; only its owner can read it.

    After a crash at any moment the file holds either all of the old text or all of the new. A symbolic link stays, and
    the file that it leads to is replaced. Raises OSError, and then the file is as it was.
    """
    target = path.resolve()
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)  # of a process that ended half-way
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """See to it that the file's new name survives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
