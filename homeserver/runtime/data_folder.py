"""The data folder: open to its owner only, and used by one process at a time.

What lies in it, its writers say: the database in storage/, the media in services/media/.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

LOCK_FILE: Final = "lock"


class DataFolderProblem(Exception):  # noqa: N818 - a fact about a folder, told to the operator
    """The folder cannot be used; `reason` is a sentence for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DataFolderLocked(DataFolderProblem):
    """Another process uses the folder; `holder` says which, as far as it told."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"the data folder {path} is in use by {holder}")
        self.holder = holder


class DataFolder:
    """A data folder that this process holds, from `hold` until `release`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def hold(cls, path: Path, what_for: str) -> "DataFolder":
        """Make the folder if need be, close it to others, and take its lock. Raises DataFolderProblem.

        `what_for` is shown to whoever finds the folder locked ("homeserver run").
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _close_to_others(path)
            # Not O_EXCL: the file stays for good, and the kernel drops the lock with the process, however it ends.
            lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise DataFolderProblem(f"the data folder {path} cannot be used: {problem.strerror}") from problem
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(lock)
            if isinstance(problem, BlockingIOError):
                raise DataFolderLocked(path, find_holder(path) or "another process") from problem
            raise DataFolderProblem(f"the data folder {path} cannot be locked: {problem.strerror}") from problem
        os.ftruncate(lock, 0)
        os.write(lock, f"{what_for} (process {os.getpid()})\n".encode())
        return cls(path, lock)

    def release(self) -> None:
        """Let others use the folder. Nothing happens the second time."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def find_holder(path: Path) -> str | None:
    """Who holds the data folder `path` ("homeserver run (process 123)"), or None when nobody does."""
    try:
        with (path / LOCK_FILE).open("r", encoding="utf-8", errors="replace") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read(200).strip() or "another process"
            return None
    except OSError:
        return None


def find_exposure(path: Path) -> str | None:
    """Why the file or folder `path` is not the owner's alone, as a sentence, or None when it is."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user (uid {status.st_uid})"
    if status.st_mode & 0o077:
        return f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _close_to_others(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
