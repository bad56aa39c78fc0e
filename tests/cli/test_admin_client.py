"""The doors to a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeserver.cli.admin_client import AdminDoor, SocketDoor, ask, local_door, open_door
from homeserver.cli.configuration import CommandFailed
from homeserver.runtime.data_folder import DataFolder, find_holder
from homeserver.runtime.startup import StartRefused
from homeserver.settings.sections import Settings
from tests.cli.commands import AdminServer, FakeHomeserver, new_reactor


@contextmanager
def no_door(_: Settings) -> Iterator[AdminDoor]:
    raise AssertionError("the files were opened")
    yield


def test_a_request_goes_through_the_socket_of_a_running_server(tmp_path: Path) -> None:
    server = AdminServer()
    server.answer = {"user_id": "@alice:example.org"}

    with (
        server.listening(tmp_path / "admin.sock"),
        open_door(Settings(server_name="example.org", data_dir=tmp_path), no_door) as door,
    ):
        answer = door.call("POST", "/_columba/admin/v1/users", {"username": "alice"})

    assert answer == (200, {"user_id": "@alice:example.org"})
    assert server.requests == [("POST", "/_columba/admin/v1/users", {"username": "alice"})]


def test_given_no_server_then_its_files_are_used_with_the_data_folder_held(tmp_path: Path) -> None:
    homeserver, reactor = FakeHomeserver(), new_reactor()
    holders: list[str | None] = []
    (tmp_path / "admin.sock").write_text("")  # left by a server that was killed

    with open_door(
        Settings(server_name="example.org", data_dir=tmp_path), lambda _: local_door(lambda: homeserver, reactor)
    ) as door:
        holders.append(find_holder(tmp_path))
        status, answer = door.call("PUT", "/x", {"a": 1})

    assert (status, answer) == (200, {"body": {"a": 1}})
    assert holders[0] is not None
    assert homeserver.life == ["start offline", "PUT /x", "stop"]
    assert find_holder(tmp_path) is None


def test_given_another_process_in_the_data_folder_then_the_files_are_left_alone(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path, "homeserver run")

    with (
        pytest.raises(CommandFailed, match="is in use by homeserver run"),
        open_door(Settings(server_name="example.org", data_dir=tmp_path), no_door),
    ):
        pass

    folder.release()


def test_given_no_data_folder_then_none_is_made(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path / "gone")

    with pytest.raises(CommandFailed, match="there is no server in"), open_door(settings, no_door):
        pass

    assert not settings.data_dir.exists()


def test_a_server_that_refuses_to_open_its_files_is_stopped_and_its_reason_told() -> None:
    class Refusing(FakeHomeserver):
        async def start_offline(self) -> None:
            raise StartRefused("the database is damaged")

    homeserver = Refusing()

    with (
        pytest.raises(CommandFailed, match="the database is damaged"),
        local_door(lambda: homeserver, new_reactor()),
    ):
        pass

    assert homeserver.life == ["stop"]


def test_an_answer_that_is_no_success_is_told_with_its_reason(tmp_path: Path) -> None:
    server = AdminServer()
    server.status, server.answer = 400, {"errcode": "M_USER_IN_USE", "error": "that name is taken"}

    with (
        server.listening(tmp_path / "admin.sock"),
        pytest.raises(CommandFailed, match=r"the server refused: that name is taken \(M_USER_IN_USE\)"),
    ):
        ask(SocketDoor(tmp_path / "admin.sock"), "GET", "/x")


def test_a_socket_without_a_server_gives_no_answer(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="the server did not answer"):
        SocketDoor(tmp_path / "admin.sock").call("GET", "/x")
