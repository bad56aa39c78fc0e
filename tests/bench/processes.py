"""What the kernel says of a process and of those that it started: CPU time and memory."""

import os
import time
from pathlib import Path
from typing import Final

TICKS_HZ: Final = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED: Final = 2  # of the kernel's clocks for a process, the one that counts every thread's time


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process with all its threads, its children that ended, and those that live."""
    # What clock_getcpuclockid(3) gives for a process: exact to the nanosecond, where /proc has hundredths of a second.
    own = time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
    # After the name, which is in parentheses and may hold spaces: cutime and cstime are 13 and 14.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(int(ticks) for ticks in fields[13:15]) / TICKS_HZ
    return own + ended + sum(cpu_s(child) for child in children(pid))


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
