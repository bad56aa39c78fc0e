"""The signing keys of a running server: published, replaced while it runs, and known after restarts and crashes."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import PublishedKey, parse_published_keys
from homeserver.core.signing import SigningKey
from tests.api.client import Client, new_user, register
from tests.server import Server, new_server

NOW_MS = 1 << 52  # of a reader for whom nothing is too far in the future


@pytest.fixture
def fresh() -> Iterator[Server]:
    """A server of its own, for what cannot be undone."""
    server = new_server()
    server.start()
    yield server
    server.close()


def published(server: Server) -> list[PublishedKey]:
    """The keys that it tells other servers, the one in use first."""
    document: Any = Client(server.url).get("/_matrix/key/v2/server")
    return parse_published_keys(document, ServerName(server.server_name), fetched_ms=NOW_MS)


def in_file(server: Server) -> SigningKey:
    return SigningKey.from_line((server.data_dir / "signing.key").read_text())


def test_the_key_in_the_file_is_published(server: Server) -> None:
    (key,) = published(server)

    assert key.verify_key == in_file(server).verify_key
    assert key.expired_ms is None


def test_a_new_key_is_used_from_then_on_and_the_old_one_is_not_forgotten(fresh: Server) -> None:
    alice, bob = register(fresh.url, "alice"), new_user(fresh.url, "bob")
    room_id = alice.create_room_with(bob)
    first = in_file(fresh).verify_key

    rotated = fresh.command("admin", "keys", "rotate")
    alice.say(room_id, "signed by the new key")
    second = in_file(fresh).verify_key
    while_it_runs = published(fresh)
    sound = fresh.command("admin", "room", "verify", "--all")
    fresh.kill()
    shown_offline = fresh.command("admin", "keys", "show")
    rotated_offline = fresh.command("admin", "keys", "rotate")
    third = in_file(fresh).verify_key
    fresh.start()
    alice.say(room_id, "signed by the newest key")
    sound_again = fresh.command("admin", "room", "verify", "--all")

    assert len({first, second, third}) == 3
    assert [key.verify_key for key in while_it_runs] == [second, first]
    in_use, *of_before = (key.verify_key for key in published(fresh))
    assert (in_use, set(of_before)) == (third, {first, second})
    assert [key.expired_ms is None for key in published(fresh)] == [True, False, False]
    for done in (rotated, shown_offline, rotated_offline, sound, sound_again):
        assert done.returncode == 0, done.stderr
    assert f"{second.key_id} {second.to_base64()} in use\n" in rotated.stdout
    assert f"{first.key_id} {first.to_base64()} until " in shown_offline.stdout
    for audited in (sound, sound_again):
        assert "sound: " in audited.stdout
        assert "that this server does not have" not in audited.stdout


def test_a_key_that_was_put_into_the_file_by_hand_takes_the_place_of_the_old_one(fresh: Server) -> None:
    first = in_file(fresh).verify_key
    fresh.stop()
    second = SigningKey("by_hand", b"\x07" * 32)
    (fresh.data_dir / "signing.key").write_text(second.to_line())
    fresh.start()

    assert [key.verify_key for key in published(fresh)] == [second.verify_key, first]


def test_other_servers_are_told_where_this_one_is() -> None:
    server = new_server(settings={"federation": {"address": "matrix.example.org:443"}})
    try:
        server.start()
        told = Client(server.url).get("/.well-known/matrix/server")
        version = Client(server.url).get("/_matrix/federation/v1/version")
    finally:
        server.close()

    assert told == {"m.server": "matrix.example.org:443"}
    assert version["server"]["name"] == "Columba"


def test_a_server_that_does_not_federate_tells_no_address() -> None:
    server = new_server(settings={"federation": {"enabled": False, "address": "matrix.example.org:443"}})
    try:
        server.start()
        Client(server.url).get("/.well-known/matrix/server", status=404, errcode="M_NOT_FOUND")
    finally:
        server.close()


def test_of_a_server_that_cannot_be_reached_nothing_is_told(nobody: Client) -> None:
    assert nobody.get("/_matrix/key/v2/query/nowhere.invalid") == {"server_keys": []}
