"""`sytest-compat/run CHECKOUT [FILE ...]`: runs SyTest against Columba; TAP on the standard output.

A file with a listed test that failed is run once more, alone and with twice the patience: on a busy machine the ten
seconds of SyTest are sometimes too few. Only what fails twice counts, and makes the exit code 1; what failed once is
told.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.server import REPOSITORY, environment
from tests.sytest.verdicts import Case, lacking, passed, read, write

PLUGIN: Final = REPOSITORY / "sytest-compat"
PASSING: Final = PLUGIN / "passing.txt"
# SyTest takes the first two of its range for two servers. Below those that other tests choose from.
PORTS: Final = range(10_000, 12_000, 2)


def main() -> int:
    """Run what the command line asks for; the exit code."""
    options = _options()
    if not (options.checkout / "run-tests.pl").is_file():
        print(f"{options.checkout} is no checkout of SyTest", file=sys.stderr)
        return 2
    listed = read(PASSING.read_text(encoding="utf-8"))
    files = sorted({test.file for test in listed}) if options.listed else options.files
    found = _run(options.checkout, files)
    expected = {test for test in listed if not files or test.file in files}
    at_first = lacking(expected, found)
    again: dict[Case, bool] = {}
    for file in sorted({test.file for test in at_first}):
        again |= _run(options.checkout, [file], patience=2, prefix="# again: ")
    failed = lacking(at_first, again)
    for test in at_first:
        how = "FAILED TWICE" if test in failed else "failed, but not when run again"
        print(f"{how}: {test.file}: {test.name}", file=sys.stderr)
    new = {test for test, is_passed in found.items() if is_passed} - listed
    if options.add:
        PASSING.write_text(write(listed | new), encoding="utf-8")
    what = "now listed" if options.add else "not listed yet"
    print(f"{sum(found.values())} of {len(found)} passed; {len(new)} of them {what}.", file=sys.stderr)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sytest-compat/run", description=__doc__)
    parser.add_argument("checkout", type=Path, help="where SyTest is checked out")
    parser.add_argument("files", nargs="*", metavar="FILE", help="tests/….pl in there; all when none is named")
    parser.add_argument("--listed", action="store_true", help="run the files with listed tests")
    parser.add_argument("--add", action="store_true", help=f"add what passes to {PASSING.name}")
    return parser.parse_args()


def _run(checkout: Path, files: Sequence[str], *, patience: int = 1, prefix: str = "") -> dict[Case, bool]:
    """Run SyTest once and pass on what it says; see `passed`. Its folder is kept when a test did not pass."""
    folder = Path(tempfile.mkdtemp(prefix="sytest-"))
    (folder / "plugins").mkdir()
    (folder / "plugins" / "columba").symlink_to(PLUGIN)
    wanted = {**environment(), "SYTEST_PLUGINS": str(folder / "plugins"), "TIMEOUT_FACTOR": str(patience * _patience())}
    if "PERL5LIB" in os.environ:
        wanted["PERL5LIB"] = os.environ["PERL5LIB"]
    first = _two_ports()
    options = {
        "-I": "Columba",
        "--python": sys.executable,
        "-O": "tap-with-files",
        "--room-version": "10",
        "--work-directory": str(folder),
        "--bind-host": "127.0.0.1",
        "-p": f"{first}:{first + 2}",
    }
    command = ["perl", "run-tests.pl", "--all", *(word for pair in options.items() for word in pair), *files]
    lines = []
    with subprocess.Popen(
        command, cwd=checkout, env=wanted, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                print(f"{prefix}{lines[-1]}", flush=True)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # the servers, too, which SyTest would leave running
            raise
    found = passed(lines)
    if found and all(found.values()):
        shutil.rmtree(folder)
    else:
        print(f"Logs and configurations of this run: {folder}", file=sys.stderr)
    return found


def _patience() -> int:
    """How many times the ten seconds whoever runs this grants, by SyTest's own variable."""
    return int(os.environ.get("TIMEOUT_FACTOR", "1"))


def _two_ports() -> int:
    """The first of two ports, one after the other, that nobody listens on."""
    while True:
        first = secrets.choice(PORTS)
        try:
            for number in (first, first + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return first


if __name__ == "__main__":
    sys.exit(main())
