"""The judge finds what it is there to find."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.databases import fresh_sqlite
from tests.hostile.judgement import complaints_about
from tests.hostile.tables import SQLiteTables
from tests.hostile.values import Known, Pairs, Raw, write
from tests.hostile.wire import Answer, Sent

SENT = Sent("GET", b"/_matrix/client/v3/account/whoami")
JSON = {"content-type": "application/json"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    fresh_sqlite(tmp_path / "homeserver.db")
    return tmp_path / "homeserver.db"


@pytest.fixture
def tables(file: Path) -> Iterator[SQLiteTables]:
    looked_at = SQLiteTables(file)
    yield looked_at
    looked_at.close()


@pytest.fixture
def elsewhere(file: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(file))
    yield connection
    connection.close()


def test_a_row_that_was_added_is_found_once(tables: SQLiteTables, elsewhere: apsw.Connection) -> None:
    assert tables.changes() == []

    elsewhere.execute("INSERT INTO profiles (user_id, display_name) VALUES ('@a:b', 'A')")

    assert [change.partition(":")[0] for change in tables.changes()] == ["profiles"]
    assert tables.changes() == []


def test_a_value_that_was_changed_is_found(tables: SQLiteTables, elsewhere: apsw.Connection) -> None:
    elsewhere.execute("INSERT INTO counters (name, value) VALUES ('a', 1)")
    tables.mark()

    elsewhere.execute("UPDATE counters SET value = 2")

    assert [change.partition(":")[0] for change in tables.changes()] == ["counters"]


def test_when_somebody_was_seen_does_not_count(tables: SQLiteTables, elsewhere: apsw.Connection) -> None:
    elsewhere.execute("INSERT INTO devices (user_id, device_id, created_ms) VALUES ('@a:b', 'D', 1)")
    tables.mark()

    elsewhere.execute("UPDATE devices SET last_seen_ms = 5, last_seen_ip = '::1', last_seen_user_agent = 'x'")

    assert tables.was_written()
    assert tables.changes() == []


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answer(500, JSON, b'{"errcode": "M_UNKNOWN", "error": "no"}'), "answered 500"),
        (Answer(400, {"content-type": "text/html"}, b"<p>no"), "an error that is not JSON"),
        (Answer(400, JSON, b'{"error": "no"}'), "an error"),
        (Answer(200, JSON, b'{"a": NaN}'), "the answer is not JSON"),
        (Answer(200, JSON, b'{"a": "\xff"}'), "the answer is not JSON"),
    ],
)
def test_a_wrong_answer_is_found(answer: Answer, complaint: str) -> None:
    found = complaints_about(Sent("GET", b"/_columba/health"), answer)

    assert len(found) == 1
    assert found[0].startswith(complaint)


def test_a_right_answer_is_let_pass() -> None:
    refusal = Answer(401, JSON, b'{"errcode": "M_MISSING_TOKEN", "error": "Who?"}')

    assert complaints_about(SENT, refusal) == []
    assert complaints_about(SENT, Answer(200, JSON, b'{"user_id": "@a:b"}')) == []


def test_hostile_json_is_written_as_it_is_meant() -> None:
    value = Pairs(
        (("a", 1), ("a", {Known("self"): [Raw(b"NaN"), "\u00e9", None]}), (Raw(rb'"\ud800"'), Known("other")))
    )

    assert write(value, {"self": '@s"elf:b'}) == (
        rb'{"a": 1, "a": {"@s\"elf:b": [NaN, "' + b"\xc3\xa9" + rb'", null]}, "\ud800": "other"}'
    )
