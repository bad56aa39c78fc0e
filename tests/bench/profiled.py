"""Runs the server with a profile of each of its threads, by CPU time: `python -m tests.bench.profiled FILE run -c …`.

The profiles are written into one file when the server stops. A profile about doubles what Python costs, and more so for
short functions: it shows where CPU goes, and not how much of it.
"""

import cProfile
import importlib
import pstats
import sys
import threading
import time
from types import FrameType
from typing import Any

from homeserver.cli.main import main

PROFILES: list[cProfile.Profile] = []


def profile_this_thread(frame: FrameType | None = None, event: str = "", arg: Any = None) -> None:
    """Profile the thread that calls this, from here on. Any: what sys.setprofile gives."""
    profile = cProfile.Profile(time.thread_time)
    PROFILES.append(profile)
    profile.enable()


def run(path: str, arguments: list[str]) -> int:
    """Run the server's command line, and leave the profile in `path`."""
    importlib.import_module("homeserver.cli.run")  # not to be in the profile
    threading.setprofile(profile_this_thread)
    profile_this_thread()
    try:
        return main(arguments)
    finally:
        threading.setprofile(None)
        PROFILES[0].disable()
        statistics = pstats.Stats(PROFILES[0])
        for profile in PROFILES[1:]:
            statistics.add(profile)
        statistics.dump_stats(path)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
