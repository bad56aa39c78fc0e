"""Starting, stopping and refusing to start; what the operator types, with a server running and without."""

import contextlib
import http.client
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import yaml

from tests.api.client import PASSWORD, Client, new_user
from tests.postgres import Postgres
from tests.server import STOP_S, Server, homeserver, new_server

CANNOT_START = 69


@pytest.fixture
def fresh() -> Iterator[Server]:
    """A server of one's own that does not run yet."""
    server = new_server()
    yield server
    server.close()


@pytest.fixture
def started(fresh: Server) -> Server:
    """A server of one's own that runs."""
    fresh.start()
    return fresh


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_well_and_in_time(started: Server, number: signal.Signals) -> None:
    alice = new_user(started.url, "alice")
    alice.create_room()

    ended = started.end(number)

    assert ended.exit_code == 0
    assert ended.seconds < STOP_S
    assert started.complaints == []
    assert not (started.data_dir / "admin.sock").exists()
    assert not started.sqlite_file.with_name("homeserver.db-wal").exists()


def test_a_stop_answers_what_is_under_way_and_ends_long_polls(started: Server) -> None:
    alice = new_user(started.url, "alice")
    since = alice.token()

    connection = http.client.HTTPConnection("127.0.0.1", started.port.number, timeout=STOP_S)
    with contextlib.closing(connection):
        address = f"/_matrix/client/v3/sync?timeout=60000&set_presence=offline&since={since}"
        connection.request("GET", address, headers={"Authorization": f"Bearer {alice.access_token}"})
        wait_until_read(started)
        ended = started.end()
        answer = connection.getresponse()
        answer.read()

    assert answer.status in (200, 503)
    assert (ended.exit_code, ended.seconds < STOP_S) == (0, True)


def wait_until_read(server: Server) -> None:
    """Return when the server must have read what was sent before: it has answered later requests since."""
    for _ in range(5):
        Client(server.url).get("/_matrix/client/versions")


def test_data_tokens_and_sync_go_on_after_a_restart_and_after_a_kill(started: Server) -> None:
    alice, bob = new_user(started.url, "alice"), new_user(started.url, "bob")
    room_id = alice.create_room_with(bob)
    since = bob.token()
    sent = [alice.say(room_id, "before")]

    started.restart()
    sent.append(alice.say(room_id, "after the restart"))
    started.kill()
    started.start()
    sent.append(alice.say(room_id, "after the kill"))

    timeline = bob.sync(since)["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["event_id"] for event in timeline] == sent
    assert bob.get("account", "whoami")["device_id"] == bob.device_id
    assert alice.login_again().user_id == alice.user_id


def test_on_postgresql_too_everything_goes_on(postgres: Postgres) -> None:
    url = postgres.url_of_empty_database()
    server = new_server(database=url)
    try:
        server.start()
        alice = new_user(server.url, "alice")
        room_id = alice.create_room()
        sent = [alice.say(room_id, "before")]
        server.kill()
        server.start()
        sent.append(alice.say(room_id, "after"))
        server.restart()

        history = alice.messages(room_id, limit=2)["chunk"]

        assert [event["event_id"] for event in history] == sent[::-1]
    finally:
        server.close()
        postgres.drop(url)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(fresh: Server) -> None:
    fresh.start()
    fresh.stop()
    fresh.sqlite_file.write_bytes(b"these are somebody's letters\n" * 1000)

    assert_refused_and_untouched(fresh, f"{fresh.sqlite_file} is not an SQLite database")


def test_a_corrupt_database_is_refused_and_left_as_it_is(fresh: Server) -> None:
    fresh.start()
    alice = new_user(fresh.url, "alice")
    room_id = alice.create_room()
    for number in range(20):
        alice.say(room_id, f"{number} " * 2000)
    fresh.stop()
    content = bytearray(fresh.sqlite_file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    fresh.sqlite_file.write_bytes(content)

    assert_refused_and_untouched(fresh, f"{fresh.sqlite_file} is damaged")


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(fresh: Server) -> None:
    fresh.start()
    fresh.stop()
    with sqlite3.connect(fresh.sqlite_file) as connection:
        connection.execute("INSERT INTO schema_revisions VALUES (9999, 'from_the_future', 'x', 0)")
    connection.close()
    with sqlite3.connect(fresh.sqlite_file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

    assert_refused_and_untouched(fresh, "schema revision 9999, which this version does not know")


def test_a_newer_postgresql_database_is_refused(postgres: Postgres) -> None:
    url = postgres.url_of_empty_database()
    server = new_server(database=url)
    try:
        server.start()
        server.stop()
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO schema_revisions VALUES (9999, 'from_the_future', 'x', 0)")
        connection.close()

        server.launch()
        ended = server.wait()

        assert ended.exit_code == CANNOT_START
        assert "schema revision 9999, which this version does not know" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        server.close()
        postgres.drop(url)


def test_a_postgresql_that_is_not_there_is_refused(tmp_path: Path) -> None:
    server = new_server(database=f"postgresql://columba@/columba?host={tmp_path}")
    try:
        server.launch()
        ended = server.wait()

        assert ended.exit_code == CANNOT_START
        assert "database" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        server.close()


def assert_refused_and_untouched(server: Server, reason: str) -> None:
    """The server does not start, says why in a line of its own, and leaves the file byte for byte as it was."""
    before = server.sqlite_file.read_bytes()
    told = len(server.log)

    server.launch()
    ended = server.wait()

    message = ended.stderr[told:]
    assert ended.exit_code == CANNOT_START
    assert reason in message
    assert "Traceback" not in message
    assert server.sqlite_file.read_bytes() == before


def test_a_port_that_is_taken_is_named(fresh: Server) -> None:
    with socket.create_server(("127.0.0.1", fresh.port.number)):
        fresh.launch()
        ended = fresh.wait()

    assert ended.exit_code == CANNOT_START
    assert str(fresh.port.number) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_folder_that_another_server_holds_is_refused(started: Server) -> None:
    other = new_server(settings={"data_dir": str(started.data_dir)})
    try:
        other.launch()
        ended = other.wait()

        assert ended.exit_code == CANNOT_START
        assert "in use by homeserver run" in ended.stderr
    finally:
        other.close()


def test_a_lost_signing_key_is_not_replaced(fresh: Server) -> None:
    fresh.start()
    fresh.stop()
    (fresh.data_dir / "signing.key").unlink()

    fresh.launch()
    ended = fresh.wait()

    assert ended.exit_code == CANNOT_START
    assert "signing.key" in ended.stderr
    assert not (fresh.data_dir / "signing.key").exists()


def test_an_account_is_made_over_the_socket_of_the_running_server(started: Server) -> None:
    made = started.command("admin", "user", "register", "carol", "--password-stdin", "--json", text=f"{PASSWORD}\n")
    again = started.command("admin", "user", "register", "carol", "--password-stdin", text=f"{PASSWORD}\n")

    assert made.returncode == 0, made.stderr
    user_id = f"@carol:{started.server_name}"
    assert json.loads(made.stdout)["user_id"] == user_id
    assert Client(started.url, user_id).login_again().get("account", "whoami")["user_id"] == user_id
    assert again.returncode == 1
    assert "M_USER_IN_USE" in again.stderr


def test_an_account_is_made_in_the_files_when_no_server_runs(fresh: Server) -> None:
    fresh.start()
    fresh.stop()

    made = fresh.command("admin", "user", "register", "carol", "--password-stdin", "--admin", text=f"{PASSWORD}\n")

    assert made.returncode == 0, made.stderr
    fresh.start()
    carol = Client(fresh.url, f"@carol:{fresh.server_name}").login_again()
    assert carol.get("account", "whoami")["user_id"] == carol.user_id


def test_an_account_can_be_made_where_registration_is_closed(fresh: Server) -> None:
    fresh.settings["registration"] = {"enabled": False}
    fresh.start()

    Client(fresh.url).post(
        "register", body={"username": "eve", "password": PASSWORD}, status=403, errcode="M_FORBIDDEN"
    )
    made = fresh.command("admin", "user", "register", "carol", "--password-stdin", text=f"{PASSWORD}\n")

    assert made.returncode == 0, made.stderr


def test_init_makes_a_server_that_is_in_order_and_starts(fresh: Server) -> None:
    folder = fresh.folder / "new"
    made = homeserver("init", str(folder), "--server-name", "example.org", folder=fresh.folder)
    assert made.returncode == 0, made.stderr
    settings = yaml.safe_load((folder / "homeserver.yaml").read_text())
    settings["listeners"][0]["port"] = fresh.port.number
    server = Server(folder, fresh.port, "example.org", settings, program=("-m", "homeserver"))

    checked = server.command("check")
    server.start()
    versions = Client(server.url).get("/_matrix/client/versions")["versions"]
    server.stop()

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "v1.11" in versions


def test_the_log_holds_no_password_and_no_token(started: Server) -> None:
    started.settings["log"] = {"level": "debug", "format": "json"}
    started.restart()
    alice = new_user(started.url, "alice", password="very secret indeed")
    alice.send("GET", "sync", query={"access_token": alice.access_token})
    alice.login_again(password="very secret indeed")

    started.stop()

    assert "very secret indeed" not in started.log
    assert str(alice.access_token) not in started.log
