"""Transactions over HTTP: who may send them, and how they are answered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.http.endpoint import Surface
from homeserver.http.federation.transactions import TransactionEndpoints
from homeserver.services.federation.inbound_transactions import MOST_PDUS
from homeserver.storage.inbound_transactions import first_staged
from tests.databases import fresh_sqlite
from tests.forked_rooms import ALICE
from tests.http.conftest import Response, Serve, Served, in_reactor
from tests.services.federation.receiving import ONE, Receiving
from tests.services.world import World


@pytest.fixture
def receiving(tmp_path: Path, running_reactor: None) -> Iterator[Receiving]:
    """A room on the reactor's thread, where its database is used."""
    made: Receiving = in_reactor(lambda: Receiving(World(fresh_sqlite(tmp_path / "homeserver.db"))))
    yield made
    in_reactor(made.world.close)


@pytest.fixture
def site(serve: Serve, receiving: Receiving) -> Served:
    return serve(TransactionEndpoints(receiving.inbound), served={Surface.FEDERATION})


def send(site: Served, body: Any, transaction_id: str = "t", signed: bool = True) -> Response:
    headers = {"Authorization": f"X-Matrix {ONE}"} if signed else {}
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return site.request("PUT", f"/_matrix/federation/v1/send/{transaction_id}", content, headers)


def test_each_event_is_answered_for(site: Served, receiving: Receiving) -> None:
    first, second = receiving.chain(2)

    answer = send(site, {"origin": ONE, "origin_server_ts": 1, "pdus": [first.pdu, second.pdu]})

    assert answer.status == 200
    assert answer.json == {"pdus": {first.event_id: {}, second.event_id: {}}}


def test_a_transaction_may_be_empty(site: Served) -> None:
    assert send(site, {"pdus": []}).json == {"pdus": {}}


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b"{", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        ({"pdus": [{}] * (MOST_PDUS + 1)}, "M_BAD_JSON"),
        ({"origin": "other.example"}, "M_BAD_JSON"),
    ],
)
def test_what_is_no_transaction_is_refused(site: Served, body: Any, errcode: str) -> None:
    answer = send(site, body)

    assert answer.status == 400
    assert answer.json["errcode"] == errcode


def test_nobody_sends_without_a_signature(site: Served) -> None:
    answer = send(site, {"pdus": []}, signed=False)

    assert answer.status == 401
    assert answer.json["errcode"] == "M_UNAUTHORIZED"


def test_integers_of_old_rooms_are_kept_as_they_are(serve: Serve, tmp_path: Path, running_reactor: None) -> None:
    backend = fresh_sqlite(tmp_path / "old.db")
    old: Receiving = in_reactor(lambda: Receiving(World(backend), ROOM_VERSIONS["1"]))
    site = serve(TransactionEndpoints(old.inbound), served={Surface.FEDERATION})
    event = old.scene.send(ALICE, "m.test", {"n": 10**30}, None, after=[old.scene.last])

    answer = send(site, json.dumps({"pdus": [event.pdu]}).encode())

    assert answer.json == {"pdus": {event.event_id: {}}}
    (staged,) = in_reactor(lambda: old.world.sync_database.read(first_staged, old.room_id, limit=10))
    assert json.loads(staged.pdu) == event.pdu
    in_reactor(old.world.close)
