"""Administrators who watch what is done because of policy lists, while it is done."""

import os
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.api.client import Client, new_user
from tests.nursery import Copied
from tests.server import Server, nursery

WAITED_S: Final = 60.0


@contextmanager
def watching(server: Server) -> Iterator[Copied]:
    """`homeserver admin policy watch`, until the end of the context."""
    words = ("admin", "policy", "watch", "-c", str(server.configuration))
    with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile() as stderr:
        process = nursery().start(words, server.folder, nothing, stderr)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WAITED_S)


def told_until(process: Copied, text: str) -> list[str]:
    """The lines that a process prints, up to one that ends so."""
    said, until = b"", time.monotonic() + WAITED_S
    while not said.endswith(f"{text}\n".encode()):
        readable, _, _ = select.select([process.stdout], [], [], max(until - time.monotonic(), 0))
        # A byte at a time: what comes after the line is for whoever asks next.
        byte = os.read(process.stdout.fileno(), 1) if readable else b""
        assert byte, f"{text!r} was not said, but {said.decode()!r}"
        said += byte
    return said.decode().splitlines()


def ban(alice: Client, list_id: str, user_id: str) -> None:
    content = {"entity": user_id, "recommendation": "m.ban", "reason": "raids"}
    alice.set_state(list_id, "m.policy.rule.user", content, f"rule:{user_id}")


def test_what_lists_have_done_is_told_of_and_what_they_do_from_then_on_as_it_is_done(
    server: Server, alice: Client, bob: Client
) -> None:
    carol = new_user(server.url, "carol")
    list_id = alice.create_room(preset="public_chat", room_version="11")
    room_id = alice.create_room_with(bob, carol, preset="public_chat")
    ban(alice, list_id, bob.user_id)
    words = ("subscribe", list_id, "--apply-to", "rooms", "--room", room_id)
    subscribed = server.command("admin", "policy", *words)
    assert subscribed.returncode == 0, subscribed.stderr

    with watching(server) as process:
        before = told_until(process, f"ban: {bob.user_id} in {room_id} ({list_id}): done")
        ban(alice, list_id, "@eve:elsewhere.example")  # who is not there
        ban(alice, list_id, carol.user_id)
        after = told_until(process, f"ban: {carol.user_id} in {room_id} ({list_id}): done")

    assert not any(carol.user_id in line for line in before)
    assert not any(bob.user_id in line or "@eve" in line for line in after)
    assert alice.state(room_id, "m.room.member", carol.user_id)["membership"] == "ban"
