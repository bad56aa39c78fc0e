"""All that this server stores of one of its users."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.admin import user_export
from homeserver.services.admin.user_export import ROWS_PER_PAGE, UserExport
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.user_export import PARTS
from tests.growth.workload import Workload
from tests.services.accounts.people import PASSWORD, register
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

# Any: JSON, throughout.


@pytest.fixture
def export(world: World) -> UserExport:
    return UserExport(world.database, SERVER)


def all_lines(export: UserExport, user_id: UserID) -> Sequence[Mapping[str, Any]]:
    """What is exported of a user, as it arrives."""
    lines: list[Mapping[str, Any]] = []
    begin: str | None = None
    while True:
        page = now(export.page(user_id, begin))
        lines += orjson.loads(orjson.dumps(page.lines))
        assert len(page.lines) <= ROWS_PER_PAGE + user_export.EVENTS_PER_READ
        if page.next is None:
            return lines
        begin = page.next


def of_part(lines: Sequence[Mapping[str, Any]], part: str) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["part"] == part]


def test_of_a_user_who_did_everything_there_is_something_of_every_part(world: World, export: UserExport) -> None:
    workload = Workload(world)
    workload.run()

    lines = [*all_lines(export, ALICE), *all_lines(export, BOB)]

    assert {line["part"] for line in lines} == {"event", *(part.name for part in PARTS)}


def test_a_user_is_given_what_is_theirs_and_nothing_of_others(world: World, export: UserExport) -> None:
    register(world, "alice")
    register(world, "bob")
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    for number in range(3):
        world.send(ALICE, room_id, f"of alice {number}")
        world.send(BOB, room_id, f"of bob {number}")
    now(world.account_data.put(ALICE, ALICE, None, "org.example", {"a": 1}))
    now(world.account_data.put(BOB, BOB, None, "org.example", {"b": 1}))

    lines = all_lines(export, BOB)

    (account,) = of_part(lines, "account")
    assert (account["user_id"], account["is_admin"]) == (BOB, False)
    assert [(line["room_id"], line["membership"]) for line in of_part(lines, "room")] == [(room_id, "join")]
    assert [(line["type"], line["content"]) for line in of_part(lines, "account_data")] == [("org.example", {"b": 1})]
    said = [line["content"]["body"] for line in of_part(lines, "event") if line["type"] == "m.room.message"]
    assert said == ["of bob 0", "of bob 1", "of bob 2"]
    assert b"alice" not in orjson.dumps(lines)


def test_no_secret_is_exported(world: World, export: UserExport) -> None:
    opened = register(world, "alice")

    told = orjson.dumps(all_lines(export, ALICE))

    assert PASSWORD.encode() not in told
    assert b"scrypt" not in told
    assert b"password" not in told
    assert opened.tokens.access_token.encode() not in told


def test_what_is_more_than_a_page_is_exported_once(world: World, export: UserExport) -> None:
    register(world, "alice")
    rooms = [world.create_room(ALICE) for _ in range(2)]
    for number in range(ROWS_PER_PAGE + 10):
        now(world.account_data.put(ALICE, ALICE, None, f"org.example.{number}", {}))
        world.send(ALICE, rooms[number % 2], str(number))

    lines = all_lines(export, ALICE)

    types = [line["type"] for line in of_part(lines, "account_data")]
    assert sorted(types) == sorted(f"org.example.{number}" for number in range(ROWS_PER_PAGE + 10))
    said = [line["content"]["body"] for line in of_part(lines, "event") if line["type"] == "m.room.message"]
    assert sorted(said, key=int) == [str(number) for number in range(ROWS_PER_PAGE + 10)]


def test_what_was_redacted_is_exported_without_what_it_said(world: World, export: UserExport) -> None:
    register(world, "alice")
    room_id = world.create_room(ALICE)
    event_id = world.send(ALICE, room_id, "regretted")
    redaction = now(world.sending.redact(ALICE, room_id, event_id, {}, None))

    lines = all_lines(export, ALICE)

    (redacted,) = (line for line in of_part(lines, "event") if line["event_id"] == event_id)
    assert (redacted["content"], redacted["redacted_by"]) == ({}, redaction)
    assert b"regretted" not in orjson.dumps(lines)


def test_an_account_that_was_closed_is_exported_still(world: World, export: UserExport) -> None:
    register(world, "alice")
    now(world.deactivation.deactivate(ALICE, erase=False))

    assert of_part(all_lines(export, ALICE), "account")[0]["is_deactivated"] is True


def written(*place: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


@pytest.mark.parametrize(
    "begin",
    [
        "",
        "a",
        "ä",
        "====",
        written(),
        written(1),
        written("nothing"),
        written("account_data", "!a:b"),
        written("account_data", "!a:b", 1),
        written("account_data", "!a:b", "\0"),
        written(*["session", True]),
        written("session", 2**63),
        written("session", "1"),
        written("event", "!a:b"),
        written("event", "!a:b", None),
        written("account", "a" * 10_000),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
    ],
)
def test_what_is_no_place_is_refused(world: World, export: UserExport, begin: str) -> None:
    register(world, "alice")

    with pytest.raises(InvalidParameter):
        now(export.page(ALICE, begin))


def test_only_users_of_this_server_are_exported(world: World, export: UserExport) -> None:
    with pytest.raises(NotFound):
        now(export.page(CAROL, None))
    with pytest.raises(InvalidParameter):
        now(export.page(UserID("@eve:elsewhere.example"), None))
