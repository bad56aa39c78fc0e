"""The administrators' way to the signing keys: anybody who administers may look, the owner alone may replace them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.signing import SigningKey
from homeserver.http.admin.keys import KeyAdminEndpoints
from homeserver.services.accounts.requester import Requester
from homeserver.services.admin.key_rotation import KeyRotation
from homeserver.services.events.own_keys import OwnSigningKeys
from tests.databases import fresh_sqlite
from tests.http.conftest import Serve, in_reactor
from tests.services.world import SERVER, World, call_now

KEYS = "/_columba/admin/v1/keys"


@pytest.fixture
def world(tmp_path: Path, running_reactor: None) -> Iterator[World]:
    """A world on the reactor's thread, where its database is used."""
    made: World = in_reactor(lambda: World(fresh_sqlite(tmp_path / "homeserver.db")))
    yield made
    in_reactor(made.close)


@pytest.fixture
def endpoints(world: World, tmp_path: Path) -> KeyAdminEndpoints:
    own = OwnSigningKeys(world.key)
    file = tmp_path / "signing.key"
    rotation = KeyRotation(own, file, world.database, call_now, world.clock, world.randomness)
    return KeyAdminEndpoints(rotation, SERVER)


def test_the_owner_replaces_the_key_and_sees_both(
    serve: Serve, world: World, endpoints: KeyAdminEndpoints, tmp_path: Path
) -> None:
    site = serve(endpoints, by_owner=True)
    first = {"key_id": world.key.key_id, "key": world.key.verify_key.to_base64()}
    before = site.request("GET", KEYS).json

    rotated = site.request("POST", f"{KEYS}/rotate").json

    new = SigningKey.from_line((tmp_path / "signing.key").read_text()).verify_key
    assert before == {"server_name": SERVER, "current": first, "old": []}
    assert rotated["current"] == {"key_id": new.key_id, "key": new.to_base64()}
    assert rotated["old"] == [{**first, "expired_ts": world.clock.now_ms()}]
    assert site.request("GET", KEYS).json == rotated


def test_a_key_file_that_cannot_be_written_is_told(serve: Serve, endpoints: KeyAdminEndpoints, tmp_path: Path) -> None:
    (tmp_path / "signing.key.new").mkdir()

    answer = serve(endpoints, by_owner=True).request("POST", f"{KEYS}/rotate")

    assert answer.status == 503
    assert "signing.key cannot be replaced" in answer.json["error"]


def test_administrators_may_look_and_nobody_but_the_owner_may_replace(
    serve: Serve, endpoints: KeyAdminEndpoints, tmp_path: Path
) -> None:
    site = serve(endpoints)
    site.tokens.known["admin"] = Requester(UserID("@root:example.org"), DeviceID("ROOT"), 2, is_admin=True)

    statuses = {
        token: [
            site.request(method, path, headers={"Authorization": f"Bearer {token}"}).status
            for method, path in (("GET", KEYS), ("POST", f"{KEYS}/rotate"))
        ]
        for token in ("admin", "secret", "nobody's")
    }

    assert statuses == {"admin": [200, 403], "secret": [403, 403], "nobody's": [401, 403]}
    assert not (tmp_path / "signing.key").exists()
