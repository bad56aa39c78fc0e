"""Whoever follows by sliding sync knows in the end what one knows who follows by /sync."""

from random import Random
from typing import Final

import pytest

from tests.api.client import Client
from tests.api.follower import FollowedRoom, Receipts, seen_anew
from tests.api.sliding_follower import SlidingFollower, SlidingManner
from tests.api.test_following import PEOPLE, Story
from tests.conftest import LargeRun
from tests.server import Server, running

MANNERS: Final = (
    SlidingManner(window=1, limit=2),
    SlidingManner(window=2, limit=1, is_lazy=True),
    SlidingManner(limit=3),
    SlidingManner(window=1, limit=20, is_lazy=True),
)
STEPS: Final = 30


def compare(follower: SlidingFollower, client: Client) -> None:
    """Fail where a follower knows something else than one who asks by /sync for the first time."""
    anew = seen_anew(client)
    assert set(follower.rooms) == set(anew.rooms)
    assert follower.invites == anew.invites
    assert follower.account_data == anew.account_data
    for room_id, room in follower.rooms.items():
        compare_rooms(room, anew.rooms[room_id], is_lazy=follower.manner.is_lazy)
        compare_receipts(room.receipts, anew.rooms[room_id].receipts, client.user_id)


def compare_rooms(room: FollowedRoom, expected: FollowedRoom, *, is_lazy: bool) -> None:
    assert room.timeline == expected.timeline
    assert room.unread == expected.unread
    assert room.joined_members == expected.joined_members
    assert room.account_data == expected.account_data
    if is_lazy:
        # Members are told when they speak; what was told of them may be outdated after a gap.
        others = {key for key in expected.state if key[0] != "m.room.member"}
        assert others <= set(room.state)
        assert {key: room.state[key] for key in others} == {key: expected.state[key] for key in others}
    else:
        assert room.state == expected.state


def compare_receipts(known: Receipts, expected: Receipts, user_id: str) -> None:
    """Of a room that is new, only those for what is shown are told, and one's own; then all, as they move."""
    # One in a thread may be forgotten when one for the whole room has caught up with it.
    assert {key: known[key] for key in expected if key in known} == {
        key: event_id for key, event_id in expected.items() if key in known
    }
    assert {key for key in expected if key[1] == user_id} <= set(known)


def follow_a_story(server: Server, seed: int, *, restart_every: int = 10**9) -> None:
    """Tell a story, and let followers follow it at their own pace; hold each against one who asks anew."""
    random = Random(seed)
    story = Story(server.url, random)
    fresh = [person.login_again() for person in story.people]
    followers = [
        SlidingFollower(story.people[number % PEOPLE].login_again(), manner) for number, manner in enumerate(MANNERS)
    ]

    for step in range(1, STEPS + 1):
        if step % restart_every == 0:
            server.restart()
        for _ in range(random.randrange(1, 5)):
            story.go_on()
        number = random.randrange(len(followers))
        follower = followers[number]
        follower.follow(random.choice([None, *story.rooms]))
        if random.random() < 0.3:
            follower.catch_up()
            with story.told_with(f"seed {seed}, {follower.client.user_id}, {follower.manner}"):
                compare(follower, fresh[number % PEOPLE])


def test_who_follows_windows_knows_what_one_knows_who_follows_everything(server: Server) -> None:
    follow_a_story(server, 1)


def test_who_follows_windows_across_restarts_knows_it_too() -> None:
    with running() as server:
        follow_a_story(server, 4, restart_every=STEPS // 4)


@pytest.mark.large
def test_who_follows_windows_of_any_story_knows_it(server: Server, large_run: LargeRun) -> None:
    seeds = Random(large_run.seed)
    for _ in range(200 if large_run.whole else 5):
        follow_a_story(server, seeds.randrange(2**32))
