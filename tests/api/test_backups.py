"""A server is backed up while it works, and put back on an empty computer: everybody goes on where they were."""

import gzip
import json
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Client, new_user
from tests.api.sliding import following, texts
from tests.api.test_device_keys import SIGNED, claim, one_time, publish
from tests.conftest import DATABASES, LargeRun
from tests.postgres import Postgres
from tests.server import Server, homeserver, new_server

# Any: JSON, throughout.

BACKUPS = "/_columba/admin/v1/backups"
EXPORTS = "/_columba/admin/v1/exports"
WHOLE_TIMELINE = {"room": {"timeline": {"limit": 100}}}
PER_SECOND = 50
SENDERS = 5
PATIENCE_S = 120.0


def new_database(request: pytest.FixtureRequest, kind: str) -> str:
    """As the configuration names it."""
    if kind == "sqlite":
        return kind
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.url_of_empty_database()


@contextmanager
def on(request: pytest.FixtureRequest, kind: str) -> Iterator[Server]:
    """A server of one's own, on a kind of database, whose backups lie outside of its folder."""
    server = new_server(database=new_database(request, kind))
    server.settings["backups"] = {"folder": str(server.folder / "elsewhere"), "keep": 2}
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=DATABASES)
def fresh(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of one's own."""
    with on(request, request.param) as server:
        yield server


@pytest.fixture
def sqlite_alone(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of one's own on SQLite."""
    with on(request, "sqlite") as server:
        yield server


def done(server: Server, *words: str) -> str:
    """What a command prints that succeeds."""
    completed = server.command("admin", *words)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def back_up(server: Server) -> Path:
    return Path(json.loads(done(server, "server", "backup", "--json"))["path"])


def restore_elsewhere(server: Server, backup: Path, database: str) -> None:
    """As on an empty computer of the same name: neither data folder nor database are there."""
    shutil.rmtree(server.data_dir)
    server.settings["database"] = database
    done(server, "server", "restore", str(backup))


class Crowd:
    """People who talk in a room: so many messages in a second, or as many as are acknowledged if those are less."""

    def __init__(self, people: list[Client], room_id: str, *, per_second: float = 1000.0) -> None:
        self.room_id = room_id
        self.sent: list[str] = []
        self._every_s = len(people) / per_second
        self._is_over = threading.Event()
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._talk, args=(one,)) for one in people]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _talk(self, one: Client) -> None:
        number, began = 0, time.monotonic()
        while not self._is_over.wait(max(0.0, began + number * self._every_s - time.monotonic())):
            number += 1
            event_id = one.say(self.room_id, f"{one.user_id} says {number}")
            with self._more:
                self.sent.append(event_id)
                self._more.notify_all()

    def wait_for(self, count: int) -> list[str]:
        """What was acknowledged, once it is so much."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.sent) >= count, PATIENCE_S)
            return list(self.sent)


def history(client: Client, room_id: str) -> list[str]:
    """The IDs of all messages of a room, the oldest first."""
    found: list[str] = []
    page: Any = {"end": None}
    while "end" in page:
        begin = {} if page["end"] is None else {"begin": page["end"]}
        page = client.messages(room_id, "f", limit=100, **begin)
        found += [event["event_id"] for event in page["chunk"] if event["type"] == "m.room.message"]
    return found


def told_since(client: Client, room_id: str, since: str) -> tuple[list[str], str]:
    """The IDs of the messages that /sync tells of since a token, gaps filled, and the next token."""
    body = client.sync(since, filter=WHOLE_TIMELINE)
    timeline = body["rooms"]["join"][room_id]["timeline"] if "rooms" in body else {"events": []}
    told = [event["event_id"] for event in timeline["events"] if event["type"] == "m.room.message"]
    before: list[str] = []
    begin = timeline.get("prev_batch") if timeline.get("limited") else None
    while begin is not None:
        page = client.messages(room_id, "b", limit=100, begin=begin, to=since)
        before += [event["event_id"] for event in page["chunk"] if event["type"] == "m.room.message"]
        begin = page.get("end")
    return [*reversed(before), *told], body["next_batch"]


def move_while_they_talk(server: Server, database: str, *, least: int, per_second: float, talkers: int) -> int:
    """Back up while messages are sent, restore elsewhere, and see that nobody misses anything. How many there were."""
    alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
    publish(
        alice,
        one_time_keys={f"{SIGNED}:{name}": one_time(alice, name) for name in "AB"},
        fallback_keys={f"{SIGNED}:F": one_time(alice, "F")},
    )
    others = [new_user(server.url, "talker") for _ in range(talkers)]
    room_id = alice.create_room_with(bob, *others, preset="public_chat")
    alice.say(room_id, "before all")
    since = bob.token()
    sliding = following(bob, timeline_limit=50)
    sliding.ask()
    position = sliding.pos
    ahead = following(bob, "ahead")
    ahead.ask()
    with Crowd(others, room_id, per_second=per_second) as crowd:
        acknowledged = set(crowd.wait_for(least))
        backup = back_up(server)
        crowd.wait_for(len(crowd.sent) + 1)
    claimed = claim(bob, alice)
    forgotten = bob.token()
    ahead.ask()
    server.stop()

    restore_elsewhere(server, backup, database)
    server.start()

    assert "NOT SOUND" not in done(server, "room", "verify", "--all")
    there = history(bob, room_id)[1:]
    assert acknowledged <= set(there) <= set(crowd.sent)
    told, since = told_since(bob, room_id, since)
    assert told == there  # none is missing, and none comes twice
    assert len({*told}) == len(told)
    shown = sliding.ask(pos=position)["rooms"][room_id]["timeline"]
    shown_ids = [event["event_id"] for event in shown if event["type"] == "m.room.message"]
    assert shown_ids == there[-len(shown_ids) :]
    newest = alice.say(room_id, "after all")
    assert told_since(bob, room_id, since)[0] == [newest]
    assert texts(sliding.ask()["rooms"][room_id]) == ["after all"]
    # Who has seen more than there is begins anew, and sees the same.
    assert bob.sync(forgotten)["rooms"]["join"][room_id]["timeline"]["events"][-1]["event_id"] == newest
    ahead.try_to_ask(status=400, errcode="M_UNKNOWN_POS")
    assert claimed == {f"{SIGNED}:A": one_time(alice, "A")}
    assert claim(bob, alice).keys() == {f"{SIGNED}:F"}
    publish(alice, one_time_keys={f"{SIGNED}:C": one_time(alice, "C")})
    assert claim(bob, alice).keys() == {f"{SIGNED}:C"}
    return len(crowd.sent)


def test_who_is_moved_to_an_empty_computer_goes_on_where_they_were(
    fresh: Server, request: pytest.FixtureRequest
) -> None:
    kind = "sqlite" if fresh.settings["database"] == "sqlite" else "postgresql"

    sent = move_while_they_talk(fresh, new_database(request, kind), least=5, per_second=1000, talkers=1)

    assert sent > 5


def test_no_key_is_handed_out_twice_where_nothing_but_the_database_was_lost(sqlite_alone: Server) -> None:
    server = sqlite_alone
    alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
    keys = {f"{SIGNED}:{name}": one_time(alice, name) for name in "AB"}
    publish(alice, one_time_keys=keys, fallback_keys={f"{SIGNED}:F": one_time(alice, "F")})
    backup = back_up(server)
    claimed = claim(bob, alice)
    server.kill()

    for lost in server.data_dir.glob("homeserver.db*"):
        lost.unlink()
    done(server, "server", "restore", str(backup))
    server.start()

    assert claimed.keys() == {f"{SIGNED}:A"}
    assert claim(bob, alice).keys() == {f"{SIGNED}:F"}


@pytest.mark.large
@pytest.mark.parametrize(
    ("kind", "other"),
    [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql")],
)
def test_so_it_is_with_fifty_messages_a_second_and_from_either_kind_of_database_to_either(
    request: pytest.FixtureRequest, large_run: LargeRun, kind: str, other: str
) -> None:
    least = PER_SECOND * (30 if large_run.whole else 3)
    with on(request, kind) as server:
        database = new_database(request, other)

        sent = move_while_they_talk(server, database, least=least, per_second=PER_SECOND, talkers=SENDERS)

        assert sent > least


def test_a_server_that_does_not_run_is_backed_up_too(fresh: Server) -> None:
    fresh.stop()

    backup = back_up(fresh)

    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert "is whole" in done_without_server(fresh, "check-backup", str(backup))
    configuration = done_without_server(fresh, "check-backup", str(backup), "--configuration")
    assert configuration == fresh.configuration.read_text()


def done_without_server(server: Server, *words: str) -> str:
    completed = homeserver("admin", "server", *words, folder=server.folder)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_an_administrator_has_backups_made_from_elsewhere_and_learns_nothing_of_what_is_in_them(
    server: Server, admin: Client, alice: Client
) -> None:
    begun = admin.post(BACKUPS, body={})
    ended = begun
    while not ended["finished"]:
        ended = admin.get(BACKUPS, begun["name"])

    assert ended["failure"] is None
    path = Path(ended["path"])
    assert path.parent == server.data_dir / "backups"
    assert path.stat().st_size == ended["size_bytes"]
    assert begun["name"] in [each["name"] for each in admin.get(BACKUPS)["backups"]]
    assert ended.keys() == begun.keys()
    admin.get(BACKUPS, "../../homeserver.yaml", status=404, errcode="M_NOT_FOUND")
    for who, status in ((alice, 403), (Client(server.url), 401)):
        who.post(BACKUPS, body={}, status=status)
        who.post(EXPORTS, body={}, status=status)
        who.get(BACKUPS, status=status)
        who.get(BACKUPS, begun["name"], status=status)


def test_an_export_is_a_file_beside_the_backups(server: Server, alice: Client) -> None:
    room_id = alice.create_room(name="Exported")

    told = json.loads(done(server, "server", "export", "--json"))

    lines = [json.loads(line) for line in gzip.decompress(Path(told["path"]).read_bytes()).splitlines()]
    assert alice.user_id in [line["user_id"] for line in lines if line["kind"] == "account"]
    names = [line for line in lines if line["kind"] == "event" and line["pdu"]["type"] == "m.room.name"]
    assert [line["pdu"]["content"]["name"] for line in names if line["room_id"] == room_id] == ["Exported"]


def test_what_is_made_when_the_server_stops_is_given_up(fresh: Server) -> None:
    begun = json.loads(done(fresh, "call", "POST", BACKUPS, "{}"))

    fresh.stop()

    path = Path(begun["path"])
    if path.exists():  # it was quicker than the end
        assert "is whole" in done_without_server(fresh, "check-backup", str(path))
    fresh.start()
    whole = back_up(fresh)
    assert [each.suffix for each in whole.parent.iterdir() if each.suffix == ".part"] == []
