"""The example of the page about spam checks, installed and asked."""
# Twisted leaves most of its transports untyped.
# mypy: disallow-untyped-calls=False

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.assembly.server import Columba, build
from homeserver.cli.setup import make_signing_key
from homeserver.runtime.randomness import SystemRandomness
from homeserver.runtime.startup import StartRefused
from homeserver.settings.sections import Listener, Passwords, RateLimits, Registration, Settings
from tests.assembled import AssembledServer
from tests.docs.pages import blocks_of
from tests.fakes.reactor import StillReactor
from tests.settings.configurations import load, mistakes

PAGE = "docs/spam-checks.md"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the package of the page is installed, as pip would."""
    (code,) = blocks_of(PAGE, "python")
    (project,) = blocks_of(PAGE, "text")
    told = tomllib.loads(project.text)["project"]
    folder = tmp_path / "packages"
    installed = folder / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    installed.mkdir(parents=True)
    (folder / "words.py").write_text(code.text)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    lines = [
        line
        for group, points in told["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {what}" for name, what in points.items()))
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder)
    return folder


def built(folder: Path, text: str) -> tuple[Columba, StillReactor]:
    """A server with what a configuration says of spam checks."""
    read = load(folder, f"server_name: example.org\n{text}")
    settings = Settings(
        server_name="example.org",
        listeners=(Listener(port=8008, serve=("client", "metrics")),),
        data_dir=folder / "data",
        passwords=Passwords(1, 8),
        registration=Registration(enabled=True, require_token=False),
        rate_limits=RateLimits(enabled=False),
        spam_checks=read.spam_checks,
    )
    settings.data_dir.mkdir()
    make_signing_key(settings, SystemRandomness())
    reactor = StillReactor()
    return build(settings, reactor), reactor


@pytest.fixture
def server(tmp_path: Path, packages: Path) -> Iterator[AssembledServer]:
    """A server with the configuration of the page."""
    assert packages.is_dir()
    (configuration, _) = blocks_of(PAGE, "yaml")
    running = AssembledServer(*built(tmp_path, configuration.text))
    running.wait(running.columba.start())
    yield running
    running.close()


def status_of(server: AssembledServer, token: str, *path: str, body: Any) -> tuple[int, Any]:  # Any: JSON
    asked = server.ask(token, "PUT", *path, body=body)
    server.reactor.turn_until(lambda: asked.is_answered)
    head, _, answer = asked.transport.value().partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), orjson.loads(answer)


def test_the_example_does_what_the_page_says(server: AssembledServer) -> None:
    alice = server.register("alice")
    room_id = server.call(alice, "POST", "createRoom", body={})["room_id"]

    def say(text: str, transaction: str) -> tuple[int, Any]:
        path = ("rooms", room_id, "send", "m.room.message", transaction)
        return status_of(server, alice, *path, body={"msgtype": "m.text", "body": text})

    assert say("buy Viagra", "1") == (403, {"errcode": "M_FORBIDDEN", "error": "Please say that in other words"})
    assert say("hello", "2")[0] == 200
    metrics = server.call(None, "GET", "/_columba/metrics")
    assert 'columba_spam_checks_total{check="words",outcome="refused"} 1.0' in metrics


@pytest.mark.parametrize(
    "wrong",
    [
        "{name: nothing}",
        "{name: words}",
        "{name: words, config: {words: viagra}}",
    ],
)
def test_a_check_that_does_not_begin_keeps_the_server_from_starting(tmp_path: Path, packages: Path, wrong: str) -> None:
    assert packages.is_dir()
    columba, reactor = built(tmp_path, f"spam_checks: [{wrong}]\n")
    running = AssembledServer(columba, reactor)

    with pytest.raises(StartRefused, match="spam_checks: "):
        running.wait(columba.start())

    reactor.close()


@pytest.mark.parametrize(
    "wrong",
    ["{}", "{name: a, timeout_s: 0}", "{name: a, when_failing: shrug}", "{name: a, config: []}", "{name: a, more: 1}"],
)
def test_what_the_configuration_may_not_say_is_refused(tmp_path: Path, wrong: str) -> None:
    assert len(mistakes(tmp_path, f"server_name: example.org\nspam_checks: [{wrong}]\n")) >= 1
