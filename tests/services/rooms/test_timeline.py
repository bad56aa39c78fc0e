"""Reading a room: pages in both directions, what is around an event, members at a time."""

from typing import Any

import pytest

from homeserver.core.filters import parse_room_event_filter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sync_tokens import parse_token
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.timeline import Context, Page
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.

JOINED = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})


def messages(world: World, user_id: UserID, room_id: RoomID, definition: Any = None, **asked: Any) -> Page:
    """A page; `begin` and `end` are texts, `backwards` and `limit` as they are."""
    tokens = {name: None if asked.get(name) is None else parse_token(asked[name]) for name in ("begin", "end")}
    return now(
        world.timeline.messages(
            world.viewer(user_id),
            room_id,
            begin=tokens["begin"],
            end=tokens["end"],
            backwards=asked.get("backwards", True),
            limit=asked.get("limit"),
            event_filter=parse_room_event_filter(definition or {}),
        )
    )


def context(
    world: World, user_id: UserID, room_id: RoomID, event_id: EventID, limit: int, **definition: Any
) -> Context:
    event_filter = parse_room_event_filter(definition)
    return now(world.timeline.context(world.viewer(user_id), room_id, event_id, limit, event_filter))


def ids(fragments: Any) -> list[str]:
    return [shown(fragment)["event_id"] for fragment in fragments]


def bodies(fragments: Any) -> list[str]:
    return [event["content"]["body"] for event in map(shown, fragments) if event["type"] == "m.room.message"]


def members(world: World, user_id: UserID, room_id: RoomID, at: str | None = None, **asked: Any) -> dict[str, Any]:
    """The contents of member events by their state keys."""
    chunk = now(
        world.timeline.members(
            world.viewer(user_id),
            room_id,
            at=None if at is None else parse_token(at),
            membership=asked.get("membership"),
            not_membership=asked.get("not_membership"),
        )
    )
    return {event["state_key"]: event["content"] for event in map(shown, chunk)}


@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_of_any_size_hold_the_whole_history_once(world: World, limit: int, backwards: bool) -> None:
    room_id = world.create_room(ALICE)
    sent = [world.send(ALICE, room_id, str(number)) for number in range(10)]
    every = ids(messages(world, ALICE, room_id, backwards=False, limit=100).chunk)

    found: list[str] = []
    begin: str | None = None
    while True:
        page = messages(world, ALICE, room_id, backwards=backwards, limit=limit, begin=begin)
        assert len(page.chunk) <= limit
        found += ids(page.chunk)
        begin = page.end
        if begin is None:
            break

    assert every[-10:] == sent
    assert (found[::-1] if backwards else found) == every


def test_a_filter_leaves_few_and_the_pages_go_on_from_where_they_ended(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    for number in range(30):
        world.send(ALICE, room_id, f"a{number}")
        if number % 10 == 0:
            world.send(BOB, room_id, f"b{number}")

    first = messages(world, ALICE, room_id, {"senders": [BOB], "types": ["m.room.message"]}, limit=2)
    second = messages(world, ALICE, room_id, {"senders": [BOB], "types": ["m.room.message"]}, limit=2, begin=first.end)

    assert bodies(first.chunk) == ["b20", "b10"]
    assert bodies(second.chunk) == ["b0"]
    assert second.end is None


def test_between_two_tokens_of_syncs_is_what_happened_between_them(world: World) -> None:
    room_id = world.create_room(ALICE)
    before = sync(world, ALICE)["next_batch"]
    sent = [world.send(ALICE, room_id, str(number)) for number in range(5)]
    after = sync(world, ALICE)["next_batch"]
    world.send(ALICE, room_id, "later")

    forwards = messages(world, ALICE, room_id, begin=before, end=after, backwards=False)
    backwards = messages(world, ALICE, room_id, begin=after, end=before)

    assert ids(forwards.chunk) == sent
    assert ids(backwards.chunk) == sent[::-1]
    assert forwards.start == before


def test_the_gap_before_a_timeline_is_filled_from_either_end(world: World) -> None:
    room_id = world.create_room(ALICE)
    since = sync(world, ALICE)["next_batch"]
    sent = [world.send(ALICE, room_id, str(number)) for number in range(9)]
    few = {"room": {"timeline": {"limit": 2}}}
    begin = sync(world, ALICE, since, few)["rooms"]["join"][room_id]["timeline"]["prev_batch"]

    assert ids(messages(world, ALICE, room_id, begin=since, end=begin, backwards=False).chunk) == sent[:7]
    assert ids(messages(world, ALICE, room_id, begin=begin, end=since).chunk) == sent[:7][::-1]


def test_who_wants_no_events_gets_none_and_a_place_to_go_on_from(world: World) -> None:
    room_id = world.create_room(ALICE)
    newest = world.send(ALICE, room_id)

    page = messages(world, ALICE, room_id, limit=0)

    assert page.chunk == []
    assert ids(messages(world, ALICE, room_id, begin=page.end, limit=1).chunk) == [newest]


def test_messages_of_ignored_users_are_left_out_and_their_state_is_not(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.send(BOB, room_id, "noise")
    middle = world.send(ALICE, room_id, "signal")
    world.send(BOB, room_id, "noise")
    now(world.account_data.put(ALICE, ALICE, None, "m.ignored_user_list", {"ignored_users": {BOB: {}, ALICE: {}}}))

    page = messages(world, ALICE, room_id, limit=3)
    around = context(world, ALICE, room_id, middle, 10)

    assert bodies(page.chunk) == ["signal"]
    assert shown(page.chunk[1])["state_key"] == BOB
    assert bodies([*around.before, *around.after]) == []


def test_the_context_of_an_event_has_as_many_events_as_asked_for(world: World) -> None:
    room_id = world.create_room(ALICE)
    sent = [world.send(ALICE, room_id, str(number)) for number in range(9)]

    around = context(world, ALICE, room_id, sent[4], 4)
    alone = context(world, ALICE, room_id, sent[4], 0)

    assert ids(around.before) == [sent[3], sent[2]]
    assert ids(around.after) == [sent[5], sent[6]]
    assert (alone.before, alone.after) == ([], [])
    assert shown(alone.event)["event_id"] == sent[4]
    assert ids(messages(world, ALICE, room_id, begin=around.start, limit=1).chunk) == [sent[1]]
    assert ids(messages(world, ALICE, room_id, begin=around.end, limit=1, backwards=False).chunk) == [sent[7]]


def test_a_filter_is_for_the_state_of_a_context_too(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id)

    named = context(world, ALICE, room_id, event_id, 0, types=["m.room.name"])
    lazily = context(world, ALICE, room_id, event_id, 0, lazy_load_members=True)

    assert [shown(event)["type"] for event in named.state] == ["m.room.name"]
    assert {shown(event)["state_key"] for event in lazily.state if shown(event)["type"] == "m.room.member"} == {ALICE}


def test_members_are_those_of_one_membership_or_not_of_another(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", invite=[CAROL])
    world.join(BOB, room_id)
    now(world.membership.leave(BOB, room_id, None))

    assert members(world, ALICE, room_id, membership="join").keys() == {ALICE}
    assert members(world, ALICE, room_id, not_membership="leave").keys() == {ALICE, CAROL}
    assert members(world, ALICE, room_id, membership="leave", not_membership="invite").keys() == {ALICE, BOB}


def test_members_of_a_time_that_one_may_not_see_are_not_told(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=[JOINED])
    world.send(ALICE, room_id)
    page = messages(world, ALICE, room_id, limit=1)
    early, token = page.start, sync(world, ALICE)["next_batch"]
    now(world.sending.set_state(ALICE, room_id, "m.room.member", ALICE, {"membership": "join", "displayname": "A"}))
    world.join(BOB, room_id)

    assert members(world, ALICE, room_id, token) == {ALICE: {"membership": "join"}}
    assert members(world, BOB, room_id).keys() == {ALICE, BOB}
    for at in (early, token):
        with pytest.raises(Forbidden):
            members(world, BOB, room_id, at)


def test_what_state_replaced_is_shown_to_who_may_see_it(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", initial_state=[JOINED])
    for topic in ("first", "second"):
        now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": topic}))
    world.join(BOB, room_id)
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "third"}))
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "fourth"}))

    def replaced(user_id: UserID) -> list[tuple[str, Any]]:
        topics = [event for event in world.history(user_id, room_id) if event["type"] == "m.room.topic"]
        assert all("replaces_state" in event["unsigned"] for event in topics if event["content"]["topic"] != "first")
        return [(event["content"]["topic"], event["unsigned"].get("prev_content", {}).get("topic")) for event in topics]

    assert replaced(ALICE) == [("fourth", "third"), ("third", "second"), ("second", "first"), ("first", None)]
    assert replaced(BOB) == [("fourth", "third"), ("third", None)]
    state = [shown(event) for event in now(world.timeline.state(world.viewer(BOB), room_id))]
    assert all("second" not in str(event) for event in [*state, sync(world, BOB)])


def test_an_open_history_shows_what_was_replaced_before_one_came(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    for topic in ("first", "second"):
        now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": topic}))

    world.join(BOB, room_id)

    event = next(event for event in world.history(BOB, room_id) if event["type"] == "m.room.topic")
    assert event["unsigned"]["prev_content"] == {"topic": "first"}


def test_every_answer_for_an_event_that_one_may_not_see_is_the_same(world: World) -> None:
    mine, other = world.create_room(BOB), world.create_room(ALICE)
    foreign = world.send(ALICE, other)
    missing = EventID("$" + "A" * 43)
    stories = []

    for room_id, event_id in ((mine, missing), (mine, foreign), (other, foreign), (RoomID("!no:example.org"), foreign)):
        with pytest.raises(NotFound) as refused:
            now(world.timeline.event(world.viewer(BOB), room_id, event_id))
        stories.append(refused.value.reason)

    assert len(set(stories)) == 1


def test_the_context_of_an_event_that_one_may_not_see_does_not_tell_whether_there_is_one(world: World) -> None:
    mine, other = world.create_room(BOB), world.create_room(ALICE)
    foreign = world.send(ALICE, other)
    missing = EventID("$" + "A" * 43)
    in_mine, elsewhere = [], []

    for event_id in (missing, foreign):
        with pytest.raises(NotFound) as not_found:
            context(world, BOB, mine, event_id, 1)
        in_mine.append(not_found.value.reason)
        for room_id in (other, RoomID("!no:example.org")):
            with pytest.raises(Forbidden) as forbidden:
                context(world, BOB, room_id, event_id, 1)
            elsewhere.append(forbidden.value.reason)

    assert len(set(in_mine)) == 1
    assert len(set(elsewhere)) == 1


def test_who_left_reads_the_room_as_they_left_it(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="then")
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "then")
    now(world.membership.leave(BOB, room_id, None))
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "now"}))
    world.join(CAROL, room_id)

    name = now(world.timeline.state_event(world.viewer(BOB), room_id, "m.room.name", "", whole_event=False))
    assert name == {"name": "then"}
    assert members(world, BOB, room_id).keys() == {ALICE, BOB}
    assert members(world, BOB, room_id)[BOB] == {"membership": "leave"}
    assert bodies(messages(world, BOB, room_id, backwards=False, limit=100).chunk) == ["then"]
    with pytest.raises(Forbidden):
        now(world.timeline.joined_members(world.viewer(BOB), room_id))
