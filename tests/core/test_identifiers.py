"""Tests of the identifier grammars."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import (
    EventID,
    RoomAlias,
    RoomID,
    UserID,
    is_compliant_user_id,
    is_legible_localpart,
    is_opaque_id,
    is_valid_new_localpart,
    localpart_of,
    parse_device_id,
    parse_event_id,
    parse_key_id,
    parse_room_alias,
    parse_room_id,
    parse_server_name,
    parse_user_id,
    server_name_of,
    server_name_of_user,
)
from homeserver.core.room_versions import EventIDFormat, RoomVersion
from tests.strategies import event_ids, room_ids, room_versions, server_names, user_ids

HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
PARSERS = (
    parse_server_name,
    parse_user_id,
    parse_room_id,
    parse_event_id,
    parse_room_alias,
    parse_device_id,
    parse_key_id,
)


@pytest.mark.parametrize(
    "name",
    [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
        "[::ffff:1.2.3.4]",
        "localhost",
        "EXAMPLE.org",
        "1and1.example",
    ],
)
def test_a_server_name_of_the_grammar_is_accepted(name: str) -> None:
    assert parse_server_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "has space",
        "under_score.example",
        "example.org:",
        "example.org:123456",
        "example.org:65536",
        "example.org:80:80",
        "256.1.1.1",
        "[::1",
        "[::1]x",
        "[:::]",
        "::1",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "example.org\n",
        "exämple.org",
        "example.org/path",
        "user@example.org",
        "example.org:٣",
        "a" * 256,
    ],
)
def test_what_is_no_server_name_is_refused(name: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_server_name(name)


@pytest.mark.parametrize(
    "user_id",
    ["@a:b", "@:example.org", "@Üser name\n!:example.org", "@UPPER:[::1]:8448", "@a/b+c:example.org:8448"],
)
def test_a_historical_user_id_is_accepted(user_id: str) -> None:
    assert parse_user_id(user_id) == user_id


@pytest.mark.parametrize(
    "user_id",
    ["", "@", "@a", "a:b", "@a:", "@a\x00:b", "@a:b:c", "@a:b c", "!a:b", "@a\ud800:b", "@a:b\n"],
)
def test_what_is_no_user_id_is_refused(user_id: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_user_id(user_id)


@pytest.mark.parametrize(
    ("parse", "sigil"),
    [(parse_user_id, "@"), (parse_room_id, "!"), (parse_event_id, "$"), (parse_room_alias, "#")],
)
def test_an_identifier_has_255_bytes_at_most(parse: Callable[[str], str], sigil: str) -> None:
    assert parse(sigil + "a" * 252 + ":b")
    assert parse(sigil + "ä" * 126 + ":b")
    with pytest.raises(BadIdentifier):
        parse(sigil + "a" * 253 + ":b")
    with pytest.raises(BadIdentifier):
        parse(sigil + "ä" * 126 + "a:b")


@pytest.mark.parametrize("room_id", [f"!{HASH}", "!abc:example.org", "!:example.org", "!ü:example.org:1"])
def test_room_ids_with_and_without_a_server_are_accepted(room_id: str) -> None:
    assert parse_room_id(room_id) == room_id


@pytest.mark.parametrize("room_id", ["!abc", f"!{HASH}a", f"!{HASH[:-1]}/", "#a:b", "!a\x00:b", f"!{HASH}\n"])
def test_what_is_no_room_id_is_refused(room_id: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_room_id(room_id)


def test_an_event_id_is_held_to_its_format_when_one_is_given() -> None:
    standard = "$" + HASH.replace("-", "+").replace("_", "/")

    assert parse_event_id(standard, EventIDFormat.HASH_STANDARD) == standard
    assert parse_event_id(f"${HASH}", EventIDFormat.HASH_URLSAFE) == f"${HASH}"
    assert parse_event_id("$a:example.org", EventIDFormat.ASSIGNED) == "$a:example.org"
    for event_id in (standard, f"${HASH}", "$a:example.org"):
        assert parse_event_id(event_id) == event_id
    for event_id, id_format in (
        (standard, EventIDFormat.HASH_URLSAFE),
        (f"${HASH}", EventIDFormat.HASH_STANDARD),
        (f"${HASH}", EventIDFormat.ASSIGNED),
        ("$a:example.org", EventIDFormat.HASH_URLSAFE),
    ):
        with pytest.raises(BadIdentifier):
            parse_event_id(event_id, id_format)


@pytest.mark.parametrize("event_id", ["", "$", "$abc", "$a:", "$a\x00:b", f"${HASH}=", "@a:b"])
def test_what_is_no_event_id_is_refused(event_id: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_event_id(event_id)


@pytest.mark.parametrize("alias", ["#a", "a:b", "#a\x00:b", "#a:b c", "#a:"])
def test_what_is_no_room_alias_is_refused(alias: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_room_alias(alias)


def test_a_room_alias_may_hold_any_character() -> None:
    assert parse_room_alias("#Küche & Bad:example.org") == "#Küche & Bad:example.org"


def test_a_device_id_is_opaque_but_neither_empty_nor_endless() -> None:
    assert parse_device_id("ABC/ü d") == "ABC/ü d"
    for device_id in ("", "a\x00", "a" * 513, "ü" * 257, "\ud800"):
        with pytest.raises(BadIdentifier):
            parse_device_id(device_id)


def test_a_key_id_names_an_algorithm_and_a_key() -> None:
    assert parse_key_id("ed25519:auto_1") == "ed25519:auto_1"
    assert parse_key_id("signed_curve25519:AAAAAA") == "signed_curve25519:AAAAAA"
    for key_id in ("", "ed25519", "ed25519:", ":a", "ed25519:\x00", "ed25519:" + "a" * 255):
        with pytest.raises(BadIdentifier):
            parse_key_id(key_id)


def test_new_local_users_are_held_to_the_narrow_grammar() -> None:
    assert is_valid_new_localpart("alice.0-9_=/+")
    for localpart in ("", "Alice", "ä", "a b", "a:b", "a\n"):
        assert not is_valid_new_localpart(localpart)


def test_a_user_id_outside_printable_ascii_is_not_compliant() -> None:
    assert is_compliant_user_id(UserID("@Alice!~:example.org"))
    for user_id in ("@:example.org", "@ä:example.org", "@a b:example.org", "@\x7f:example.org"):
        assert not is_compliant_user_id(UserID(user_id))


def test_opaque_ids_are_unreserved_characters() -> None:
    assert is_opaque_id("aZ0-._~")
    assert is_opaque_id("a" * 255)
    for value in ("", "a" * 256, "a\x00", "a b", "ä", "a\n"):
        assert not is_opaque_id(value)


def test_an_identifier_is_taken_apart_at_its_first_colon() -> None:
    assert localpart_of(UserID("@a:b:1")) == "a"
    assert localpart_of(RoomAlias("#a:[::1]")) == "a"
    assert server_name_of(EventID("$a:[::1]:1")) == "[::1]:1"
    assert server_name_of(RoomID("!" + HASH)) is None
    assert server_name_of_user(UserID("@a:b:1")) == "b:1"


@given(server_names(), user_ids())
def test_generated_server_names_and_user_ids_are_accepted(server_name: str, user_id: UserID) -> None:
    assert parse_server_name(server_name) == server_name
    assert parse_user_id(user_id) == user_id
    assert f"@{localpart_of(user_id)}:{server_name_of_user(user_id)}" == user_id


@given(room_versions().flatmap(lambda version: st.tuples(st.just(version), room_ids(version), event_ids(version))))
def test_generated_room_and_event_ids_are_accepted(given_ids: tuple[RoomVersion, RoomID, EventID]) -> None:
    version, room_id, event_id = given_ids

    assert parse_room_id(room_id) == room_id
    assert parse_event_id(event_id) == event_id
    assert parse_event_id(event_id, version.event_id_format) == event_id


@given(st.text(st.characters(exclude_categories=())), st.sampled_from("@!$#"))
def test_any_text_is_accepted_as_it_is_or_refused(text: str, sigil: str) -> None:
    for parse in PARSERS:
        for value in (text, sigil + text, f"{sigil}{text}:example.org"):
            try:
                assert parse(value) == value
            except BadIdentifier:
                continue
            assert "\x00" not in value
            assert len(value.encode()) <= 512


@pytest.mark.parametrize("localpart", ["a", "Raum_1", "für-alle", "部屋", "!?#", "👋"])
def test_what_can_be_read_may_name_a_room(localpart: str) -> None:
    assert is_legible_localpart(localpart)


@pytest.mark.parametrize(
    "localpart", ["", " ", "a b", "a\nb", "a\tb", "a\u202eb", "a\u200bb", "a\u00a0b", "\ufeffa", "a\x7f"]
)
def test_what_cannot_be_seen_names_no_room(localpart: str) -> None:
    assert not is_legible_localpart(localpart)
