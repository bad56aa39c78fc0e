"""A terminal to print to, and to be asked at."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread

import pytest


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None], typed: str = "") -> str:
    """Do the work with a terminal as its standard streams, at which `typed` is typed; what the terminal shows."""
    terminal, own_side = os.openpty()
    told = bytearray()

    def listen() -> None:
        while True:
            try:
                told.extend(os.read(terminal, 4096))
            except OSError:  # nobody has the other end any more
                return

    listener = Thread(target=listen)
    listener.start()
    os.write(terminal, typed.encode())
    try:
        with ExitStack() as streams, monkeypatch.context() as patched:
            patched.setenv("TERM", "xterm")
            patched.setenv("COLUMNS", "100")
            for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
                stream = streams.enter_context(open(own_side, mode, encoding="utf-8", closefd=False))
                patched.setattr(sys, name, stream)
            work()
    finally:
        os.close(own_side)
        listener.join()
        os.close(terminal)
    return told.decode()
