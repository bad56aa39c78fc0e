"""Programs of others that tests run, each in a virtual environment of its own below .cache/, made at first use."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.server import REPOSITORY

CACHE: Final = REPOSITORY / ".cache"
QUIETLY: Final = ("--quiet", "--disable-pip-version-check")


class NotInstalled(Exception):  # noqa: N818 - a fact about this machine
    """A program could not be installed; why is in the message."""


def environment_with(name: str, requirement: str) -> Path:
    """The folder of programs of a virtual environment in which a requirement is installed. Raises NotInstalled."""
    folder = CACHE / f"{name}-venv"
    finished = folder / f"installed {requirement}".replace("/", "_")
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes, and one of them makes it for all
        if not finished.exists():
            _install(folder, requirement)
            finished.touch()
    return folder / "bin"


def _install(folder: Path, requirement: str) -> None:
    print(f"Installing {requirement} into {folder.relative_to(REPOSITORY)}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", *QUIETLY, requirement], check=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise NotInstalled(f"{requirement} could not be installed: {problem}") from problem
