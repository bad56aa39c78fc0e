"""synadm, with which operators of Synapse administrate it from a shell: the program itself, told what to do.

Its exit code says little: it is 0, too, when the server refused. So what it writes is looked at.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.environments import environment_with

REQUIREMENT: Final = "synadm>=0.49.2,<0.50"
COMMAND_S: Final = 90.0
COMPLAINS: Final = ("WARNING", "ERROR", "FATAL", "CRITICAL", "Traceback")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def answers(self) -> list[Any]:
        """The JSON among what it wrote, one after the other. Any: JSON, here and below."""
        found, decoder, rest = [], json.JSONDecoder(), self.stdout
        while rest:
            try:
                value, end = decoder.raw_decode(rest)
            except ValueError:
                end = rest.find("\n") + 1 or len(rest)  # a line for people
            else:
                found.append(value)
            rest = rest[end:].lstrip("\n")
        return found


class Synadm:
    """The program with a home of its own, which speaks with one server as one administrator."""

    def __init__(self, home: Path, *, base_url: str, user_id: str, token: str, protocol: str = "http") -> None:
        self._program = environment_with("synadm", REQUIREMENT) / "synadm"
        self._home = home
        self._configuration = home / "synadm.yaml"
        settings = {
            "user": user_id,
            "token": token,
            "protocol": protocol,
            "base_url": base_url,
            "admin_path": "/_synapse/admin",
            "matrix_path": "/_matrix",
            "timeout": 60,
            "server_discovery": "well-known",
            "homeserver": "auto-retrieval",
            "ssl_verify": True,
            "format": "json",
        }
        self._configuration.write_text(yaml.safe_dump(settings))

    def run(self, *arguments: str, output: str = "json") -> Ran:
        """Run a command without questions, however it ends."""
        told = ("--batch", "--output", output, "--config-file", str(self._configuration), *arguments)
        # Its tables are as wide as they have to be, whatever the terminal.
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LC_ALL": "C.UTF-8"}
        ended = subprocess.run(
            [self._program, *told],
            check=False,
            env=surroundings,
            capture_output=True,
            encoding="utf-8",
            timeout=COMMAND_S,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def all_answers(self, *arguments: str) -> list[Any]:
        """Run a command that works, and return each JSON value that it wrote."""
        ran = self.run(*arguments)
        told = f"synadm {' '.join(arguments)} ended with {ran.exit_code}:\n{ran.stdout}\n{ran.stderr}"
        assert ran.exit_code == 0, told
        assert not any(word in ran.stderr for word in COMPLAINS), told
        assert ran.answers, told
        return ran.answers

    def does(self, *arguments: str) -> Any:
        """Run a command that works, and return the last of what it wrote, which is what the act itself answered."""
        answer = self.all_answers(*arguments)[-1]
        assert not (isinstance(answer, dict) and "errcode" in answer), answer
        return answer

    def refused(self, *arguments: str) -> str:
        """Run a command to which the server says no, and return its errcode."""
        ran = self.run(*arguments)
        told = f"synadm {' '.join(arguments)} ended with {ran.exit_code}:\n{ran.stdout}\n{ran.stderr}"
        assert "returned status code 4" in ran.stderr, told
        assert "Traceback" not in ran.stderr, told
        errcode: str = ran.answers[-1]["errcode"]
        return errcode

    def shows(self, *arguments: str) -> str:
        """Run a command that works, and return the table that people see."""
        ran = self.run(*arguments, output="human")
        assert ran.exit_code == 0, ran
        assert not any(word in ran.stderr for word in COMPLAINS), ran
        return ran.stdout
