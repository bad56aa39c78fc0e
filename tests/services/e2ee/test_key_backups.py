"""Key backups: versions, and which of two keys is kept."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadJson
from homeserver.core.identifiers import RoomID
from homeserver.services.e2ee.key_backups import MOST_VERSIONS, BackupState, SessionKey, is_better
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, TooLarge, WrongRoomKeysVersion
from tests.services.world import ALICE, BOB, World, now

ONE, TWO = RoomID("!one:example.org"), RoomID("!two:example.org")
MEGOLM = "m.megolm_backup.v1.curve25519-aes-sha2"


def key(data: str = "data", *, is_verified: bool = False, index: int = 5, forwarded: int = 5) -> SessionKey:
    return SessionKey(is_verified, index, forwarded, {"ciphertext": data})


def create(world: World, **auth_data: Any) -> str:
    return now(world.key_backups.create(ALICE, MEGOLM, auth_data))


def add(world: World, version: str, keys: dict[tuple[RoomID, str], SessionKey]) -> BackupState:
    return now(world.key_backups.add_keys(ALICE, version, keys))


def kept(world: World, version: str, *where: Any) -> dict[tuple[RoomID, str], Any]:
    keys = now(world.key_backups.keys(ALICE, version, *where))
    return {(one.room_id, one.session_id): orjson.loads(one.session_data)["ciphertext"] for one in keys}


def test_the_newest_version_is_the_current_one(world: World) -> None:
    with pytest.raises(NotFound):
        now(world.key_backups.version(ALICE, None))
    first, second = create(world, public_key="1"), create(world, public_key="2")

    current = now(world.key_backups.version(ALICE, None))
    older = now(world.key_backups.version(ALICE, first))

    assert str(current.version) == second
    assert orjson.loads(current.auth_data) == {"public_key": "2"}
    assert orjson.loads(older.auth_data) == {"public_key": "1"}
    assert (current.key_count, current.algorithm) == (0, MEGOLM)


def test_the_backups_of_others_are_not_there(world: World) -> None:
    version = create(world)
    add(world, version, {(ONE, "s"): key()})

    with pytest.raises(NotFound):
        now(world.key_backups.version(BOB, None))
    with pytest.raises(NotFound):
        now(world.key_backups.keys(BOB, version))
    with pytest.raises(NotFound):
        now(world.key_backups.add_keys(BOB, version, {(ONE, "s"): key("other", is_verified=True)}))
    with pytest.raises(NotFound):
        now(world.key_backups.delete(BOB, version))
    assert kept(world, version) == {(ONE, "s"): "data"}


def test_a_deleted_version_is_gone_with_its_keys_and_stays_so(world: World) -> None:
    first, second = create(world), create(world)
    add(world, second, {(ONE, "s"): key()})

    now(world.key_backups.delete(ALICE, second))
    now(world.key_backups.delete(ALICE, second))

    assert str(now(world.key_backups.version(ALICE, None)).version) == first
    with pytest.raises(NotFound):
        now(world.key_backups.keys(ALICE, second))
    third = create(world)
    assert third not in (first, second)
    assert kept(world, third) == {}


@pytest.mark.parametrize("version", ["2", "0", "-1", "01", "1.0", "x", "", "9" * 30, "١"])
def test_a_version_that_never_was_cannot_be_found_nor_deleted(world: World, version: str) -> None:
    create(world)

    with pytest.raises(NotFound):
        now(world.key_backups.version(ALICE, version))
    with pytest.raises(NotFound):
        now(world.key_backups.delete(ALICE, version))
    with pytest.raises(NotFound):
        add(world, version, {(ONE, "s"): key()})


def test_auth_data_can_be_changed_but_the_algorithm_cannot(world: World) -> None:
    version = create(world, public_key="1")

    now(world.key_backups.update(ALICE, version, MEGOLM, {"public_key": "2"}, version))

    with pytest.raises(InvalidParameter):
        now(world.key_backups.update(ALICE, version, "org.example.other", {"public_key": "3"}, None))
    with pytest.raises(InvalidParameter):
        now(world.key_backups.update(ALICE, version, MEGOLM, {"public_key": "3"}, "7"))
    with pytest.raises(NotFound):
        now(world.key_backups.update(ALICE, "7", MEGOLM, {"public_key": "3"}, None))
    assert orjson.loads(now(world.key_backups.version(ALICE, version)).auth_data) == {"public_key": "2"}


def test_keys_are_kept_by_room_and_session(world: World) -> None:
    version = create(world)

    state = add(world, version, {(ONE, "a"): key("1"), (ONE, "b"): key("2"), (TWO, "a"): key("3")})

    assert state.count == 3
    assert kept(world, version) == {(ONE, "a"): "1", (ONE, "b"): "2", (TWO, "a"): "3"}
    assert kept(world, version, ONE) == {(ONE, "a"): "1", (ONE, "b"): "2"}
    assert kept(world, version, ONE, "b") == {(ONE, "b"): "2"}
    assert kept(world, version, ONE, "c") == {}


def test_keys_are_added_to_the_current_version_alone(world: World) -> None:
    old, current = create(world), create(world)

    with pytest.raises(WrongRoomKeysVersion) as refused:
        add(world, old, {(ONE, "s"): key()})

    assert refused.value.current_version == current
    assert kept(world, old) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (key("old"), key("new", is_verified=True, index=9, forwarded=9)),
        (key("old"), key("new", index=4, forwarded=9)),
        (key("old"), key("new", forwarded=4)),
    ],
)
def test_the_better_of_two_keys_is_kept_in_whichever_order_they_come(
    world: World, old: SessionKey, new: SessionKey
) -> None:
    version = create(world)
    first = add(world, version, {(ONE, "s"): old, (TWO, "s"): new})

    second = add(world, version, {(ONE, "s"): new, (TWO, "s"): old})

    assert kept(world, version) == {(ONE, "s"): "new", (TWO, "s"): "new"}
    assert first.count == second.count == 2
    assert first.etag != second.etag


def test_a_key_that_is_not_better_changes_nothing(world: World) -> None:
    version = create(world)
    first = add(world, version, {(ONE, "s"): key("first")})

    again = add(world, version, {(ONE, "s"): key("again")})

    assert again == first
    assert kept(world, version) == {(ONE, "s"): "first"}


def test_deleting_keys_moves_count_and_etag(world: World) -> None:
    version = create(world)
    sessions = [(ONE, "a"), (ONE, "b"), (TWO, "a"), (TWO, "b")]
    states = [add(world, version, {session: key() for session in sessions})]

    states.append(now(world.key_backups.delete_keys(ALICE, version, ONE, "a")))
    states.append(now(world.key_backups.delete_keys(ALICE, version, TWO)))
    states.append(now(world.key_backups.delete_keys(ALICE, version)))
    nothing = now(world.key_backups.delete_keys(ALICE, version))

    assert [state.count for state in states] == [4, 3, 1, 0]
    assert len({state.etag for state in states}) == 4
    assert nothing == states[-1]
    with pytest.raises(NotFound):
        now(world.key_backups.delete_keys(ALICE, "7"))


def test_a_user_cannot_keep_endless_versions(world: World) -> None:
    for _ in range(MOST_VERSIONS):
        create(world)

    with pytest.raises(Forbidden):
        create(world)
    now(world.key_backups.delete(ALICE, "1"))
    assert create(world) == str(MOST_VERSIONS + 1)


def test_sizes_are_bounded(world: World) -> None:
    with pytest.raises(TooLarge):
        create(world, public_key="x" * 70_000)
    with pytest.raises(TooLarge):
        now(world.key_backups.create(ALICE, "x" * 300, {}))
    version = create(world)
    with pytest.raises(TooLarge):
        add(world, version, {(ONE, "s"): key("x" * 70_000)})
    with pytest.raises(InvalidParameter):
        add(world, version, {(ONE, "x" * 300): key()})
    with pytest.raises(TooLarge):
        add(world, version, {(ONE, f"{number}"): key() for number in range(20_001)})
    with pytest.raises(BadJson):
        create(world, public_key=0.5)
    with pytest.raises(BadJson):
        add(world, version, {(ONE, "\x00"): key()})
    assert kept(world, version) == {}


ranks = st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3))


@given(ranks, ranks, ranks)
def test_better_is_an_order(
    one: tuple[bool, int, int], other: tuple[bool, int, int], third: tuple[bool, int, int]
) -> None:
    assert not is_better(one, one)
    assert is_better(one, other) != is_better(other, one) or one == other
    assert not (is_better(one, other) and is_better(other, third)) or is_better(one, third)
