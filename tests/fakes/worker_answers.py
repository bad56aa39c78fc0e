"""What a process beside that of the tests answers: what it is, what it was given, or nothing. It imports little."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


def begin() -> Callable[[object], object]:
    """Called in the process, once."""
    return answer


def answer(question: object) -> object:
    """What the process does."""
    if isinstance(question, bytes):
        return question[::-1]
    what, _, path = str(question).partition(" ")
    if what == "die":
        os._exit(1)
    if what == "die-once" and not Path(path).exists():
        Path(path).touch()
        raise ValueError("the answer fails")
    if what == "modules":
        return sorted(sys.modules)
    if what == "files":
        return open_files()
    if what == "touch":
        Path(path).touch()
    if what == "print":
        print("printed")
    if what == "compute" or (what == "compute-at-first" and Path(path).exists()):
        with Path(path).open("wb") as pipe:
            if what == "compute-at-first":
                Path(path).unlink()
            pipe.write(b".")
        while True:
            pass
    return os.getpid()


def open_files() -> list[str]:
    """The names of all files that are open in this process."""
    files = []
    for number in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # that of the listing itself
    return files
