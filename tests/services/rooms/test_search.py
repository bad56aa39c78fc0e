"""Searching: what is found, by whom, in which order, and how it is shown."""

from typing import Any

import pytest

from homeserver.core.filters import parse_room_event_filter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sync_tokens import parse_search_token
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.search import LONGEST_TERM, ContextWish, SearchResults, SearchWish
from tests.services.rooms.related import edit, ignore, redact
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.

JOINED_ONLY = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})


def search(world: World, user_id: UserID, term: str, **wishes: Any) -> SearchResults:
    """The first page; `filter` is that of the request."""
    if "filter" in wishes:
        wishes["event_filter"] = parse_room_event_filter(wishes.pop("filter"))
    if isinstance(wishes.get("begin"), str):
        wishes["begin"] = parse_search_token(wishes["begin"])
    return now(world.search.search(world.viewer(user_id), SearchWish(term, **wishes)))


def ids(results: SearchResults) -> list[str]:
    return [shown(one["result"])["event_id"] for one in results.results]


def found(world: World, user_id: UserID, term: str, **wishes: Any) -> list[str]:
    return ids(search(world, user_id, term, by_rank=False, **wishes))


def room_of_both(world: World, **wishes: Any) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", **wishes)
    world.join(BOB, room_id)
    return room_id


def leave(world: World, user_id: UserID, room_id: RoomID) -> None:
    now(world.membership.leave(user_id, room_id, None))


def test_messages_are_found_newest_first_by_those_in_the_room(world: World) -> None:
    room_id = room_of_both(world)
    first, second = world.send(ALICE, room_id, "A martian landed"), world.send(BOB, room_id, "martian, or not")
    world.send(ALICE, room_id, "nothing")

    assert found(world, BOB, "MARTIAN") == [second, first]
    assert found(world, BOB, "martian landed") == [first]
    assert found(world, CAROL, "martian") == []


def test_names_and_topics_are_found_too_unless_other_keys_are_asked_for(world: World) -> None:
    room_id = world.create_room(ALICE, name="Fruit", topic="All about fruit")
    message = world.send(ALICE, room_id, "fruit salad")

    types = {one: search(world, ALICE, "fruit", types=frozenset({one})) for one in ("m.room.name", "m.room.message")}

    assert search(world, ALICE, "fruit").count == 3
    assert ids(types["m.room.message"]) == [message]
    assert [shown(one["result"])["type"] for one in types["m.room.name"].results] == ["m.room.name"]


def test_what_answers_most_closely_comes_first(world: World) -> None:
    room_id = world.create_room(ALICE)
    exact = world.send(ALICE, room_id, "blue moon")
    apart = world.send(ALICE, room_id, "moon of blue")

    results = search(world, ALICE, "blue moon")

    assert ids(results) == [exact, apart]
    assert results.results[0]["rank"] > results.results[1]["rank"]
    assert (results.count, list(results.highlights)) == (2, ["blue", "moon"])


@pytest.mark.parametrize("by_rank", [True, False])
def test_pages_follow_each_other_and_do_not_move(world: World, by_rank: bool) -> None:
    room_id = world.create_room(ALICE)
    sent = [world.send(ALICE, room_id, "apple") for _ in range(5)]

    pages: list[list[str]] = []
    begin: str | None = None
    while begin is not None or not pages:
        page = search(world, ALICE, "apple", by_rank=by_rank, filter={"limit": 2}, begin=begin)
        pages.append(ids(page))
        assert page.count == 5
        world.send(ALICE, room_id, "apple")  # after the first page: of no other
        begin = page.next_batch

    assert [one for page in pages for one in page] == sent[::-1]
    assert [len(page) for page in pages] == [2, 2, 1]


def test_a_room_is_searched_as_far_as_one_was_in_it(world: World) -> None:
    room_id = room_of_both(world)
    before = world.send(ALICE, room_id, "apple")
    leave(world, BOB, room_id)
    world.send(ALICE, room_id, "apple again")

    assert found(world, BOB, "apple") == [before]

    now(world.membership.forget(BOB, room_id))
    assert found(world, BOB, "apple") == []


def test_history_is_found_by_whom_it_is_visible_to(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=(JOINED_ONLY,))
    world.send(ALICE, room_id, "apple before")
    world.join(BOB, room_id)
    after = world.send(ALICE, room_id, "apple after")

    results = search(world, BOB, "apple")

    assert (ids(results), results.count) == ([after], 1)


def test_those_whom_one_ignores_are_not_found(world: World) -> None:
    room_id = room_of_both(world)
    world.send(BOB, room_id, "apple")
    own = world.send(ALICE, room_id, "apple")
    ignore(world, ALICE, BOB)

    assert found(world, ALICE, "apple") == [own]


def test_what_erased_users_said_is_not_found(world: World) -> None:
    room_id = room_of_both(world)
    world.send(BOB, room_id, "apple")

    world.erased_users.note(BOB)

    assert found(world, ALICE, "apple") == []


def test_a_redacted_message_is_not_found(world: World) -> None:
    room_id = world.create_room(ALICE)
    gone, kept = world.send(ALICE, room_id, "apple"), world.send(ALICE, room_id, "apple")

    redact(world, ALICE, room_id, gone)

    assert found(world, ALICE, "apple") == [kept]


def test_an_edited_message_is_found_by_what_it_says_now(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id, "I like apples")
    first = edit(world, ALICE, room_id, original, "I like pears")
    world.clock.advance(1)
    second = edit(world, ALICE, room_id, original, "I like plums")

    assert found(world, BOB, "apples") == found(world, BOB, "pears") == []
    results = search(world, BOB, "plums")
    assert ids(results) == [original]
    bundled = shown(results.results[0]["result"])["unsigned"]["m.relations"]["m.replace"]
    assert bundled["event_id"] == second

    redact(world, ALICE, room_id, second)
    assert found(world, BOB, "pears") == [original]
    redact(world, ALICE, room_id, first)
    assert found(world, BOB, "apples") == [original]


def test_an_edit_by_somebody_else_is_none(world: World) -> None:
    room_id = room_of_both(world)
    original = world.send(ALICE, room_id, "apple")

    edit(world, BOB, room_id, original, "pear")

    assert found(world, ALICE, "pear") == []
    assert found(world, ALICE, "apple") == [original]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({"senders": [BOB]}, ["of bob"]),
        ({"not_senders": [BOB]}, ["elsewhere", "with url", "of alice"]),
        ({"types": ["m.room.name"]}, []),
        ({"contains_url": True}, ["with url"]),
        ({"rooms": ["!unknown"]}, []),
    ],
)
def test_a_filter_narrows_a_search(world: World, narrowed: dict[str, Any], expected: list[str]) -> None:
    room_id, other = room_of_both(world), world.create_room(ALICE)
    sent: dict[str, EventID] = {"of alice": world.send(ALICE, room_id, "apple")}
    sent["of bob"] = world.send(BOB, room_id, "apple")
    content = {"msgtype": "m.image", "body": "apple", "url": "mxc://x/y"}
    sent["with url"] = now(world.sending.send_message(ALICE, room_id, "m.room.message", content, None))
    sent["elsewhere"] = world.send(ALICE, other, "apple")

    assert found(world, ALICE, "apple", filter=narrowed) == [sent[name] for name in expected]
    assert found(world, ALICE, "apple", filter={"rooms": [other]}) == [sent["elsewhere"]]
    assert sent["elsewhere"] not in found(world, ALICE, "apple", filter={"not_rooms": [other]})


def test_a_room_that_is_named_is_not_read_by_strangers(world: World) -> None:
    opened = InitialState("m.room.history_visibility", "", {"history_visibility": "world_readable"})
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=(opened,))
    world.send(ALICE, room_id, "apple")

    assert found(world, CAROL, "apple", filter={"rooms": [room_id]}) == []


def test_results_are_shown_with_what_is_around_them(world: World) -> None:
    room_id = room_of_both(world)
    texts = [world.send(sender, room_id, text) for sender, text in ((BOB, "one"), (ALICE, "apple"), (BOB, "three"))]
    world.send(ALICE, room_id, "four")

    results = search(world, BOB, "apple", context=ContextWish(1, 1, include_profile=True))

    context = results.results[0]["context"]
    assert [shown(one)["event_id"] for one in context["events_before"]] == texts[:1]
    assert [shown(one)["event_id"] for one in context["events_after"]] == texts[2:3]
    assert set(context["profile_info"]) == {ALICE, BOB}
    assert context["start"] != context["end"]
    assert "context" not in search(world, BOB, "apple").results[0]


def test_the_context_ends_where_one_left(world: World) -> None:
    room_id = room_of_both(world)
    world.send(ALICE, room_id, "apple")
    leave(world, BOB, room_id)
    world.send(ALICE, room_id, "secret")

    results = search(world, BOB, "apple", context=ContextWish(0, 9, include_profile=False))

    after = [shown(one) for one in results.results[0]["context"]["events_after"]]
    assert [event["type"] for event in after] == ["m.room.member"]


def test_the_state_of_the_rooms_is_told_to_who_asks_for_it(world: World) -> None:
    room_id = world.create_room(ALICE, name="Room")
    world.send(ALICE, room_id, "apple")

    state = search(world, ALICE, "apple", include_state=True).state

    assert state is not None
    assert "m.room.name" in {shown(event)["type"] for event in state[room_id]}
    assert search(world, ALICE, "apple").state is None


@pytest.mark.parametrize("by_rank", [True, False])
def test_groups_go_on_by_themselves(world: World, by_rank: bool) -> None:
    room_id, other = room_of_both(world), world.create_room(ALICE)
    here = [world.send(ALICE, room_id, "apple") for _ in range(3)]
    there = [world.send(ALICE, other, "apple")]
    wish = {"by_rank": by_rank, "filter": {"limit": 2}, "group_by": ("room_id", "sender")}

    groups = search(world, ALICE, "apple", **wish).groups

    assert groups["room_id"][other] == {"order": 1, "results": there}
    assert groups["room_id"][room_id]["results"] == here[2:]
    assert groups["sender"][ALICE]["results"] == [*there, here[2]]
    rest = search(world, ALICE, "apple", **wish, begin=groups["room_id"][room_id]["next_batch"])
    assert ids(rest) == [here[1], here[0]]
    assert rest.next_batch is None
    of_sender = search(world, ALICE, "apple", **wish, begin=groups["sender"][ALICE]["next_batch"])
    assert ids(of_sender) == [here[1], here[0]]


def test_a_search_without_words_finds_nothing(world: World) -> None:
    world.send(ALICE, world.create_room(ALICE), "?!")

    assert search(world, ALICE, "?!") == SearchResults()


def test_a_term_is_bounded(world: World) -> None:
    with pytest.raises(InvalidParameter):
        search(world, ALICE, "x" * (LONGEST_TERM + 1))


def test_rooms_without_results_do_not_hide_those_further_back(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=(JOINED_ONLY,))
    own = world.create_room(BOB)
    wanted = world.send(BOB, own, "apple")
    for _ in range(320):
        world.send(ALICE, room_id, "apple")
    world.join(BOB, room_id)

    assert found(world, BOB, "apple") == [wanted]


def test_a_message_in_chinese_is_found(world: World) -> None:
    room_id = world.create_room(ALICE)
    sent = world.send(ALICE, room_id, "明天我们去北京吃烤鸭")

    results = search(world, ALICE, "烤鸭")

    assert ids(results) == [sent]
    assert list(results.highlights) == ["烤鸭"]
    assert found(world, ALICE, "鸭烤") == []
