"""What other servers say of rooms: passed on as far as clients can rely on it, and remembered for a while."""

from typing import Any, Final

import pytest

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.services.rooms.remote_spaces import (
    FAILURE_REMEMBERED_S,
    MOST_ASKED,
    REMEMBERED_S,
    RemoteSpaces,
    ToldSpace,
)
from homeserver.services.rooms.spaces import MOST_CHILDREN
from tests.services.world import World, now

# Any: JSON, throughout.

FAR: Final = ServerName("far.example")
SPACE: Final = RoomID(f"!space:{FAR}")
CHILD: Final[dict[str, Any]] = {
    "type": "m.space.child",
    "state_key": f"!child:{FAR}",
    "sender": f"@ann:{FAR}",
    "content": {"via": [FAR]},
    "origin_server_ts": 1,
}
ROOM: Final[dict[str, Any]] = {
    "room_id": SPACE,
    "num_joined_members": 1,
    "world_readable": True,
    "guest_can_join": False,
    "join_rule": "public",
    "room_type": "m.space",
    "children_state": [CHILD],
}


class Asking:
    """A server that says something of a space, and this one, which asks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.remote = RemoteSpaces(world.federation_client, world.budget, world.clock)
        self.say()

    def say(self, *, children: Any = (), inaccessible: Any = (), **changes: Any) -> None:
        """Let the server say this from now on."""
        answer = {"room": {**ROOM, **changes}, "children": list(children), "inaccessible_children": list(inaccessible)}
        self.world.others.spaces[FAR, SPACE] = answer

    def ask(self, *servers: str, suggested_only: bool = False) -> ToldSpace | None:
        """Ask; the server itself if no others are named."""
        names = [ServerName(server) for server in servers or (FAR,)]
        return now(self.remote.find(SPACE, names, suggested_only=suggested_only))

    def summary(self) -> Any:
        """What is said of the space now."""
        found = self.ask()
        assert found is not None
        return found.room.summary

    @property
    def asked(self) -> list[ServerName]:
        """Who was asked."""
        return self.world.others.asked_for("hierarchy")


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(world)


def test_a_space_is_passed_on(asking: Asking) -> None:
    assert asking.summary() == ROOM


def test_what_no_summary_has_is_left_out(asking: Asking) -> None:
    asking.say(
        evil=1,
        membership="join",
        name="",
        topic=["no text"],
        avatar_url="x" * 20_000,
        num_joined_members=-1,
        world_readable="yes",
        guest_can_join=1,
        canonical_alias="no alias",
        allowed_room_ids=[SPACE],
    )

    summary = asking.summary()

    assert summary == {**ROOM, "num_joined_members": 0, "world_readable": False, "guest_can_join": False}


def test_of_a_restricted_room_those_rooms_are_told_that_can_be_rooms(asking: Asking) -> None:
    asking.say(join_rule="restricted", allowed_room_ids=[SPACE, 1, "nonsense", None])

    assert asking.summary()["allowed_room_ids"] == [SPACE]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "m.room.member"},
        {"state_key": "nonsense"},
        {"state_key": 1},
        {"sender": "nobody"},
        {"origin_server_ts": "1"},
        {"origin_server_ts": True},
        {"origin_server_ts": -1},
        {"origin_server_ts": 2**53},
        {"content": []},
        {"content": {}},
        {"content": {"via": []}},
        {"content": {"via": FAR}},
        {"content": {"via": [1, "no name at all/"]}},
    ],
)
def test_a_child_that_is_none_is_left_out(asking: Asking, change: dict[str, Any]) -> None:
    asking.say(children_state=[1, {**CHILD, **change}])

    assert asking.summary()["children_state"] == []


def test_a_child_says_what_children_say_and_nothing_else(asking: Asking) -> None:
    content = {"via": [FAR, 1, FAR], "suggested": True, "order": "a", "evil": 1}
    asking.say(children_state=[{**CHILD, "content": content, "evil": 1}])

    [child] = asking.summary()["children_state"]

    assert child == {**CHILD, "content": {"via": [FAR, FAR], "suggested": True, "order": "a"}}


def test_children_come_in_their_order_each_once_and_not_without_end(asking: Asking) -> None:
    many = [{**CHILD, "state_key": f"!{number}:{FAR}", "origin_server_ts": 1_000 - number} for number in range(300)]
    asking.say(children_state=[many[0], *many])

    children = asking.summary()["children_state"]

    assert len(children) == MOST_CHILDREN - 1
    assert children[0]["state_key"] == f"!{MOST_CHILDREN - 2}:{FAR}"


@pytest.mark.parametrize("children", [None, 1, {}, "x"])
def test_a_space_whose_children_are_nonsense_has_none(asking: Asking, children: Any) -> None:
    asking.say(children_state=children)

    assert asking.summary()["children_state"] == []


def test_a_room_that_is_no_space_has_no_children(asking: Asking) -> None:
    asking.say(room_type="m.other")

    assert asking.summary()["children_state"] == []


@pytest.mark.parametrize("described", [{"room_id": f"!other:{FAR}"}, {"room_id": 1}])
def test_an_answer_about_another_room_is_none(asking: Asking, described: dict[str, Any]) -> None:
    asking.say(**described)

    assert asking.ask() is None


def test_rooms_in_a_space_are_told_unless_they_are_nonsense(asking: Asking) -> None:
    child = {**ROOM, "room_id": CHILD["state_key"], "name": "Child", "room_type": None, "children_state": []}
    asking.say(children=[child, 1, {}, {"room_id": "x"}], inaccessible=[f"!closed:{FAR}", 1, "x"])

    found = asking.ask()

    assert found is not None
    assert {room_id: one.summary.get("name") for room_id, one in found.children.items()} == {child["room_id"]: "Child"}
    assert found.inaccessible == {f"!closed:{FAR}"}


def test_only_suggested_children_count_where_these_are_asked_for(asking: Asking) -> None:
    suggested = {**CHILD, "state_key": f"!best:{FAR}", "content": {"via": [FAR], "suggested": True}}
    asking.say(children_state=[CHILD, suggested])

    found = asking.ask(suggested_only=True)

    assert found is not None
    assert [child["state_key"] for child in found.room.summary["children_state"]] == [f"!best:{FAR}"]
    assert [one["suggested_only"] for one in asking.world.others.searches] == ["true"]


def test_an_answer_is_remembered_for_a_while(asking: Asking) -> None:
    asking.summary()
    asking.say(name="New")
    asking.world.clock.advance(REMEMBERED_S - 1)
    assert "name" not in asking.summary()

    asking.world.clock.advance(1)

    assert asking.summary()["name"] == "New"
    assert asking.asked == [FAR, FAR]


def test_a_failure_is_remembered_for_a_shorter_while(asking: Asking) -> None:
    asking.world.others.failures[FAR] = Unreachable("away")
    assert asking.ask() is None
    asking.world.others.failures.clear()
    assert asking.ask() is None

    asking.world.clock.advance(FAILURE_REMEMBERED_S)

    assert asking.ask() is not None


def test_not_more_than_a_few_servers_are_asked(asking: Asking) -> None:
    others = [f"s{number}.example" for number in range(10)]

    assert asking.ask(*others, FAR) is None

    assert asking.asked == others[:MOST_ASKED]
