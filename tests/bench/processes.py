"""What the kernel says of a process and of those that it started: CPU time and memory."""

import os
from pathlib import Path
from typing import Final

TICKS_HZ: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process with all its threads, its children that ended, and those that live."""
    # After the name, which is in parentheses and may hold spaces: utime, stime, cutime and cstime are 11 to 14.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in fields[11:15]) / TICKS_HZ
    return own + sum(cpu_s(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """The living processes that a process started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """The resident memory of a process in MiB; with VmHWM, the most that it ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise KeyError(field)
