"""Every command that the pages show as shell works, typed in the order of the page.

A page is a story: what its first block makes, the next one uses. A server goes on in the background until another one
is made or the page ends. Port 8008 stands for a free one, folders below / for temporary ones.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.settings.template import render
from tests.docs.pages import PAGES, ROOT, blocks_of
from tests.server import LAST_LINE_OF_GREETING, Port, environment, nursery

PATIENCE_S = 60.0
PASSWORD = "correct horse battery staple"
PLACES = ("/srv/columba", "/var/lib/columba")
# What a page takes for granted because another page tells it.
BEFORE = {
    "docs/moderation.md": [
        "homeserver init /var/lib/columba --server-name example.org",
        "homeserver run -c /var/lib/columba/homeserver.yaml",
    ]
}
# A copy of a process that has imported all: what a new interpreter does is tried in tests/cli.
PROGRAM = """#!{python} -SE
import sys
sys.path.insert(0, {root!r})
from tests.nursery import ask_for
sys.exit(ask_for({door}, sys.argv[1:]))
"""
# As the Makefile's own; a test below holds it to that.
MAKE = """#!/bin/sh
[ "$*" = run ] && exec .venv/bin/homeserver run
exec {make} -n -C {root} "$@"
"""


class Story:
    """A folder in which a page's commands are typed one after another."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.server: subprocess.Popen[bytes] | None = None
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        self._add_program(
            programs / "homeserver", PROGRAM.format(python=sys.executable, root=str(ROOT), door=nursery().door)
        )
        self._add_program(programs / "make", MAKE.format(make=shutil.which("make"), root=ROOT))
        self._environment = {**environment(), "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)}
        # What `run` makes on its first use, but for the port.
        first = folder / "columba-data" / "homeserver.yaml"
        first.parent.mkdir()
        name, url = f"localhost:{port}", f"http://localhost:{port}/"
        first.write_text(render(name, public_base_url=url, data_dir=".", has_open_registration=True))
        self._use_free_port(first)

    def type(self, command: str) -> None:
        """Run a command. A server is left to run."""
        for place in PLACES:
            command = command.replace(place, str(self.folder / Path(place).name))
        words = command.split()
        if words == ["make", "run"] or words[1:2] == ["run"]:
            self._start(command)
            return
        if words[1:2] == ["init"]:
            self.stop()
        self._run(command)
        if words[1:2] == ["init"]:
            self._use_free_port(Path(words[2]) / "homeserver.yaml")

    def stop(self) -> None:
        """Stop the server that runs, if one does; it must end well."""
        server, self.server = self.server, None
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=PATIENCE_S)
            assert server.returncode == 0

    def close(self) -> None:
        """Leave nothing behind."""
        if self.server is not None:
            self.server.kill()
            self.server.communicate()

    def _start(self, command: str) -> None:
        self.stop()
        self.server = subprocess.Popen(
            ["/bin/bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=[nursery().door],
            start_new_session=True,
        )
        assert self.server.stdout is not None
        greeting = b""
        until = time.monotonic() + PATIENCE_S
        while not greeting.endswith(LAST_LINE_OF_GREETING):
            readable, _, _ = select.select([self.server.stdout], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self.server.stdout.fileno(), 65_536) if readable else b""
            assert piece, f"{command} did not start: {greeting.decode()}"
            greeting += piece

    def _run(self, command: str) -> None:
        """Run a command to its end, and answer when it asks for a password."""
        terminal, own_side = os.openpty()
        with subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=own_side,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[nursery().door],
            start_new_session=True,
        ) as process:
            os.close(own_side)
            told = self._listen_and_answer(process, terminal)
        os.close(terminal)
        assert process.returncode == 0, f"{command}: {told.decode()}"

    @staticmethod
    def _listen_and_answer(process: "subprocess.Popen[bytes]", terminal: int) -> bytes:
        """What a command prints until its end. A prompt stands on the terminal, or on the standard error."""
        assert process.stdout is not None
        output, told = process.stdout.fileno(), b""
        watched = [output, terminal]
        while True:
            readable, _, _ = select.select(watched, [], [], PATIENCE_S)
            assert readable, f"it does not end: {told.decode()}"
            try:
                piece = os.read(readable[0], 4096)
            except OSError:  # nobody has the terminal any more
                watched.remove(terminal)
                continue
            if not piece:
                return told
            told += piece
            if told.endswith((b"Password: ", b"The password again: ")):
                os.write(terminal, f"{PASSWORD}\n".encode())

    def _use_free_port(self, configuration: Path) -> None:
        configuration.write_text(configuration.read_text().replace("port: 8008", f"port: {self.port}"))

    @staticmethod
    def _add_program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def story() -> Iterator[Story]:
    """An empty folder; its path is short, as that of a socket must be."""
    port = Port()
    folder = Path(tempfile.mkdtemp(prefix="columba-"))
    story = Story(folder, port.number)
    try:
        yield story
    finally:
        story.close()
        port.close()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks_of(page, "sh"))])
def test_the_commands_of_a_page_work_in_their_order(story: Story, page: str) -> None:
    for command in BEFORE.get(page, []):
        story.type(command)

    for block in blocks_of(page, "sh"):
        for command in block.commands:
            story.type(command)

    story.stop()


def test_make_run_is_what_it_is_taken_for_here() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nrun: ")[2].splitlines()[1]

    assert recipe.strip() == "@exec $(BIN)/homeserver run $(ARGS)"


def test_a_command_that_fails_is_noticed(story: Story) -> None:
    with pytest.raises(AssertionError, match="is no server name"):
        story.type("homeserver init somewhere --server-name https://example.org")
