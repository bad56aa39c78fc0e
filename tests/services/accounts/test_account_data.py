"""Account data and tags: one's own, of a bounded size, told to oneself."""

from typing import Any

import orjson
import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.accounts.account_data import MAX_CONTENT_BYTES, MOST_TAGS
from homeserver.services.errors import Forbidden, InvalidParameter, KeptByServer, NotFound, TooLarge
from homeserver.services.events.news import AccountDataWritten
from homeserver.storage.account_data import MOST_BYTES, MOST_PIECES, AccountData, store_account_data
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, BOB, World, now

ROOM = RoomID("!room:example.org")


def put(world: World, data_type: str, content: dict[str, Any], room_id: RoomID | None = None) -> None:
    now(world.account_data.put(ALICE, ALICE, room_id, data_type, content))


def find(world: World, data_type: str, room_id: RoomID | None = None, user_id: UserID = ALICE) -> Any:
    return orjson.loads(now(world.account_data.find(user_id, user_id, room_id, data_type)))


def tags(world: World) -> dict[str, Any]:
    return now(world.account_data.tags(ALICE, ALICE, ROOM))


def test_data_is_read_back_as_it_was_set(world: World) -> None:
    content = {"b": [1, 0.5, None, "x"], "a": {"c": True}}

    put(world, "org.example", content)
    put(world, "org.example", {"of": "room"}, ROOM)

    assert list(find(world, "org.example")) == ["b", "a"]
    assert find(world, "org.example") == content
    assert find(world, "org.example", ROOM) == {"of": "room"}


def test_a_change_is_told_to_its_user_alone(world: World) -> None:
    for user_id in (ALICE, BOB):
        world.news.follow(user_id, world.database.position)
    before = world.database.position

    put(world, "org.example", {}, ROOM)

    position = world.database.position
    assert world.news.since(ALICE, before) == [AccountDataWritten(position, ALICE, ROOM, "org.example")]
    assert world.news.since(BOB, before) == ()


def test_data_of_others_is_out_of_reach(world: World) -> None:
    put(world, "org.example", {})

    for attempt in (
        world.account_data.find(BOB, ALICE, None, "org.example"),
        world.account_data.put(BOB, ALICE, None, "org.example", {}),
        world.account_data.tags(BOB, ALICE, ROOM),
        world.account_data.put_tag(BOB, ALICE, ROOM, "u.work", {}),
        world.account_data.delete_tag(BOB, ALICE, ROOM, "u.work"),
    ):
        with pytest.raises(Forbidden):
            now(attempt)


def test_what_was_never_set_is_not_found(world: World) -> None:
    put(world, "org.example", {})

    for data_type, room_id, user_id in (
        ("other", None, ALICE),
        ("org.example", ROOM, ALICE),
        ("org.example", None, BOB),
    ):
        with pytest.raises(NotFound):
            find(world, data_type, room_id, user_id)


@pytest.mark.parametrize("data_type", ["m.fully_read", "m.push_rules"])
@pytest.mark.parametrize("room_id", [None, ROOM])
def test_what_the_server_keeps_cannot_be_set(world: World, data_type: str, room_id: RoomID | None) -> None:
    with pytest.raises(KeptByServer):
        put(world, data_type, {}, room_id)


def test_push_rules_are_read_as_account_data(world: World) -> None:
    now(world.push_rules.set_enabled(ALICE, "override", ".m.rule.master", enabled=True))

    master = find(world, "m.push_rules")["global"]["override"][0]

    assert (master["rule_id"], master["enabled"]) == (".m.rule.master", True)


def test_sizes_are_bounded(world: World) -> None:
    half = {"x": "x" * (MAX_CONTENT_BYTES // 2)}
    full = {"x": "x" * (MAX_CONTENT_BYTES - 10)}

    with pytest.raises(TooLarge):
        put(world, "large", {"x": "x" * MAX_CONTENT_BYTES})
    with pytest.raises(InvalidParameter):
        put(world, "x" * 256, {})
    for number in range(MOST_BYTES // MAX_CONTENT_BYTES):
        put(world, f"{number}", full)
    with pytest.raises(TooLarge):
        put(world, "more", half)
    put(world, "0", half)
    put(world, "1", half)
    put(world, "more", half)


def test_there_are_only_so_many_pieces(world: World) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(MOST_PIECES):
            store_account_data(tx, ALICE, AccountData(None, f"{number}", b"{}"), log_position=0)

    world.sync_database.write(fill)

    with pytest.raises(TooLarge):
        put(world, "more", {})
    with pytest.raises(TooLarge):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, "u.work", {}))
    put(world, "1", {"may": "grow"})

    assert find(world, "1") == {"may": "grow"}


def test_tags_are_added_changed_and_taken_away(world: World) -> None:
    assert tags(world) == {}

    now(world.account_data.put_tag(ALICE, ALICE, ROOM, "m.favourite", {"order": 0.25}))
    now(world.account_data.put_tag(ALICE, ALICE, ROOM, "u.work", {"order": 1, "org.example": "x"}))
    now(world.account_data.put_tag(ALICE, ALICE, ROOM, "m.favourite", {}))
    both = tags(world)
    now(world.account_data.delete_tag(ALICE, ALICE, ROOM, "m.favourite"))

    assert both == {"m.favourite": {}, "u.work": {"order": 1, "org.example": "x"}}
    assert find(world, "m.tag", ROOM) == {"tags": {"u.work": {"order": 1, "org.example": "x"}}}
    assert type(tags(world)["u.work"]["order"]) is int


def test_taking_a_tag_away_that_is_not_there_changes_nothing(world: World) -> None:
    position = world.database.position

    now(world.account_data.delete_tag(ALICE, ALICE, ROOM, "u.work"))

    assert world.database.position == position


@pytest.mark.parametrize("order", ["0.5", True, -0.1, 1.1, [], {}, float("nan")])
def test_an_order_is_a_number_from_0_to_1(world: World, order: object) -> None:
    with pytest.raises(InvalidParameter):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, "u.work", {"order": order}))


def test_tags_are_bounded(world: World) -> None:
    for tag in (*map(str, range(MOST_TAGS - 1)), "x" * 255):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, tag, {"order": None}))

    with pytest.raises(TooLarge):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, "more", {}))
    with pytest.raises(InvalidParameter):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, "x" * 256, {}))
    with pytest.raises(TooLarge):
        now(world.account_data.put_tag(ALICE, ALICE, ROOM, "1", {"x": "x" * 5_000}))

    assert len(tags(world)) == MOST_TAGS
    assert tags(world)["x" * 255] == {}


@pytest.mark.parametrize("content", [{"tags": [1]}, {}, {"tags": {"odd": 3}}])
def test_tags_of_any_shape_that_were_set_as_account_data_harm_nothing(world: World, content: dict[str, Any]) -> None:
    put(world, "m.tag", content, ROOM)

    before = tags(world)
    now(world.account_data.put_tag(ALICE, ALICE, ROOM, "u.work", {}))

    assert before == {}
    assert tags(world) == {"u.work": {}}
