"""Walks through spaces: which rooms are shown, in what order, how far, and to whom."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.hierarchy import KEPT_S, MOST_ASKED, PATIENCE_S, HierarchyPage, WalkWish
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import find_membership
from tests.scenes import Scene
from tests.services.world import ALICE, BOB, SERVER, World, now

# Any: JSON, throughout.

FAR: Final = ServerName("far.example")
NEAR: Final = ServerName("near.example")


def room(world: World, name: str, preset: str = "public_chat", **more: Any) -> RoomID:
    return world.create_room(ALICE, preset=preset, name=name, **more)


def space(world: World, name: str, *children: RoomID, **more: Any) -> RoomID:
    """A space of Alice's with these children, in this order, the last of which it suggests."""
    room_id = room(world, name, creation_content={"type": "m.space"}, **more)
    for number, child in enumerate(children):
        put(world, room_id, child, order=f"{number:03}", suggested=child == children[-1])
    return room_id


def put(world: World, parent: RoomID, child: str, via: Sequence[str] = (SERVER,), **content: Any) -> None:
    """Let a space hold a room."""
    content = {"via": list(via), **content}
    now(world.sending.set_state(ALICE, parent, "m.space.child", child, content))


def walk(
    world: World, room_id: str, user_id: UserID | None = BOB, limit: int | None = None, **wish: Any
) -> HierarchyPage:
    token = wish.pop("token", None)
    return now(world.hierarchy.page(WalkWish(user_id, RoomID(room_id), **wish), limit=limit, token=token))


def names(page: HierarchyPage) -> list[str]:
    return [shown["name"] for shown in page.rooms]


def told(room_id: str, name: str, *children: str, via: str = FAR, **more: Any) -> dict[str, Any]:
    """A room as another server describes it; a space if it has children."""
    state = [
        {
            "type": "m.space.child",
            "state_key": child,
            "sender": f"@ann:{via}",
            "content": {"via": [via], "order": f"{number:03}"},
            "origin_server_ts": 1,
        }
        for number, child in enumerate(children)
    ]
    kind = {"room_type": "m.space"} if children else {}
    summary = {"room_id": room_id, "name": name, "num_joined_members": 3, "world_readable": False}
    return {**summary, "guest_can_join": False, "join_rule": "public", **kind, "children_state": state, **more}


def tell(
    world: World, server: ServerName, described: Any, children: Sequence[Any] = (), inaccessible: Sequence[Any] = ()
) -> RoomID:
    """Let a server describe a room, and those in it."""
    answer = {"room": described, "children": list(children), "inaccessible_children": list(inaccessible)}
    world.others.spaces[server, described["room_id"]] = answer
    return RoomID(described["room_id"])


# Of this server's rooms


def test_a_space_comes_before_its_rooms_and_a_space_in_it_before_what_follows(world: World) -> None:
    garden, pond, shed = room(world, "Garden"), room(world, "Pond"), room(world, "Shed")
    inner = space(world, "Inner", pond)
    outer = space(world, "Outer", garden, inner, shed)

    page = walk(world, outer)

    assert names(page) == ["Outer", "Garden", "Inner", "Pond", "Shed"]
    assert page.next_batch is None
    assert [child["state_key"] for child in page.rooms[0]["children_state"]] == [garden, inner, shed]
    assert page.rooms[1]["children_state"] == []
    assert page.rooms[2]["room_type"] == "m.space"


def test_a_walk_costs_one_read(world: World) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    before = world.sync_database.counts.reads

    walk(world, outer)

    assert world.sync_database.counts.reads == before + 1


def test_a_room_that_is_no_space_is_alone(world: World) -> None:
    garden = room(world, "Garden")
    put(world, garden, room(world, "Pond"))

    assert names(walk(world, garden)) == ["Garden"]


def test_circles_end_and_each_room_is_shown_once(world: World) -> None:
    garden = room(world, "Garden")
    inner = space(world, "Inner", garden)
    outer = space(world, "Outer", inner, garden)
    put(world, inner, outer)
    put(world, outer, outer)

    assert names(walk(world, outer)) == ["Outer", "Inner", "Garden"]


@pytest.mark.parametrize(("depth", "shown"), [(0, ["A"]), (1, ["A", "B"]), (2, ["A", "B", "C"]), (9, ["A", "B", "C"])])
def test_no_room_lies_deeper_than_asked_for(world: World, depth: int, shown: list[str]) -> None:
    top = space(world, "A", space(world, "B", room(world, "C")))

    assert names(walk(world, top, max_depth=depth)) == shown


def test_only_suggested_rooms_where_these_are_asked_for(world: World) -> None:
    garden, pond = room(world, "Garden"), room(world, "Pond")
    outer = space(world, "Outer", garden, pond)

    page = walk(world, outer, suggested_only=True)

    assert names(page) == ["Outer", "Pond"]
    assert [child["state_key"] for child in page.rooms[0]["children_state"]] == [pond]


def test_children_that_were_taken_out_or_are_nonsense_are_passed_over(world: World) -> None:
    outer = space(world, "Outer", room(world, "Garden"))
    gone = room(world, "Gone")
    put(world, outer, gone)
    now(world.sending.set_state(ALICE, outer, "m.space.child", gone, {}))
    put(world, outer, "nonsense")
    put(world, outer, "!nowhere:example.org")

    assert names(walk(world, outer)) == ["Outer", "Garden"]


def with_rule(world: World, name: str, rule: str, **more: Any) -> RoomID:
    rules = InitialState("m.room.join_rules", "", {"join_rule": rule, **more})
    return world.create_room(ALICE, preset="private_chat", name=name, initial_state=[rules], room_version="10")


def test_rooms_are_shown_to_those_who_are_in_or_get_in_or_may_read(world: World) -> None:
    lobby = room(world, "Lobby")
    allow = [{"type": "m.room_membership", "room_id": lobby}]
    open_to_read = InitialState("m.room.history_visibility", "", {"history_visibility": "world_readable"})
    rooms = [
        with_rule(world, "Public", "public"),
        with_rule(world, "Knock", "knock"),
        with_rule(world, "Restricted", "restricted", allow=allow),
        with_rule(world, "Knock or be let in", "knock_restricted", allow=allow),
        with_rule(world, "Invite", "invite"),
        with_rule(world, "Private", "private"),
        room(world, "Window", "private_chat", initial_state=[open_to_read]),
        invited := room(world, "Invited", "private_chat"),
        joined := room(world, "Joined", "private_chat"),
        banned := room(world, "Banned"),
    ]
    outer = space(world, "Outer", *rooms)
    now(world.membership.invite(ALICE, invited, BOB, None))
    now(world.membership.invite(ALICE, joined, BOB, None))
    world.join(BOB, joined)
    now(world.membership.ban(ALICE, banned, BOB, None))
    for_everybody = ["Outer", "Public", "Knock", "Knock or be let in", "Window"]

    assert names(walk(world, outer)) == [*for_everybody, "Invited", "Joined"]

    world.join(BOB, lobby)
    shown = names(walk(world, outer))
    assert shown == ["Outer", "Public", "Knock", "Restricted", *for_everybody[3:], "Invited", "Joined"]


@pytest.mark.parametrize("room_id", ["!nowhere:example.org", f"!nowhere:{FAR}", "!" + "a" * 43])
def test_what_one_may_not_see_is_refused_like_what_is_not_there(world: World, room_id: str) -> None:
    closed = space(world, "Closed", room(world, "Garden"))
    now(world.sending.set_state(ALICE, closed, "m.room.join_rules", "", {"join_rule": "invite"}))

    reasons = set()
    for one in (closed, room_id):
        with pytest.raises(Forbidden) as refused:
            walk(world, one)
        reasons.add(refused.value.reason)

    assert len(reasons) == 1


# Pages


def test_pages_follow_each_other_without_gap_or_overlap(world: World) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    shown: list[str] = []
    token: str | None = None

    for _ in range(3):
        page = walk(world, outer, limit=2, token=token)
        assert len(page.rooms) == 2
        shown += names(page)
        token = page.next_batch

    assert shown == ["Outer", "0", "1", "2", "3", "4"]
    assert token is None


def test_a_page_can_be_asked_for_again(world: World) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    token = walk(world, outer, limit=2).next_batch

    assert names(walk(world, outer, limit=2, token=token)) == names(walk(world, outer, limit=2, token=token))


@pytest.mark.parametrize(
    "other", [{"user_id": ALICE}, {"suggested_only": True}, {"max_depth": 3}, {"token": "made up"}, {"room": True}]
)
def test_a_token_is_good_for_its_walk_alone(world: World, other: dict[str, Any]) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    token = walk(world, outer, limit=2).next_batch
    room_id = room(world, "Another") if "room" in other else outer
    asked = {"token": token, **{name: value for name, value in other.items() if name != "room"}}

    with pytest.raises(InvalidParameter):
        walk(world, room_id, limit=2, **asked)


def test_a_token_expires(world: World) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    token = walk(world, outer, limit=2).next_batch

    world.clock.advance(KEPT_S)

    with pytest.raises(InvalidParameter):
        walk(world, outer, limit=2, token=token)


def test_whoever_is_thrown_out_is_shown_no_further_page(world: World) -> None:
    outer = space(world, "Outer", *(room(world, str(number)) for number in range(5)))
    token = walk(world, outer, limit=2).next_batch

    now(world.membership.ban(ALICE, outer, BOB, None))

    with pytest.raises(Forbidden):
        walk(world, outer, limit=2, token=token)


# Of other servers' rooms


def test_a_room_elsewhere_is_shown_as_its_server_describes_it(world: World) -> None:
    far = tell(world, FAR, told(f"!far:{FAR}", "Far"))
    outer = space(world, "Outer", room(world, "Garden"))
    put(world, outer, far, [FAR], order="999")

    page = walk(world, outer)

    assert names(page) == ["Outer", "Garden", "Far"]
    assert page.rooms[2] == {
        "room_id": far,
        "name": "Far",
        "num_joined_members": 3,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "children_state": [],
    }


def test_of_a_space_elsewhere_only_the_spaces_in_it_are_asked_about(world: World) -> None:
    leaf, inner = f"!leaf:{FAR}", f"!inner:{FAR}"
    pond = told(f"!pond:{FAR}", "Pond")
    described = told(inner, "Inner", pond["room_id"])
    far = tell(world, FAR, told(f"!far:{FAR}", "Far", leaf, inner), [told(leaf, "Leaf"), described])
    tell(world, FAR, described, [pond])
    outer = space(world, "Outer")
    put(world, outer, far, [FAR])

    page = walk(world, outer)

    assert names(page) == ["Outer", "Far", "Leaf", "Inner", "Pond"]
    assert world.others.asked_for("hierarchy") == [FAR, FAR]


def test_what_is_known_here_counts_more_than_what_others_say(world: World) -> None:
    garden, closed = room(world, "Garden"), room(world, "Closed", "private_chat")
    lies = [told(garden, "Swamp"), told(closed, "Open")]
    far = tell(world, FAR, told(f"!far:{FAR}", "Far", garden, closed), lies, inaccessible=[garden])
    outer = space(world, "Outer")
    put(world, outer, far, [FAR])

    assert names(walk(world, outer)) == ["Outer", "Far", "Garden"]


def test_what_a_server_calls_inaccessible_is_not_asked_about(world: World) -> None:
    secret = tell(world, NEAR, told(f"!secret:{NEAR}", "Secret"))
    far = tell(world, FAR, told(f"!far:{FAR}", "Far", secret, via=NEAR), inaccessible=[secret, 1, "nonsense"])
    outer = space(world, "Outer")
    put(world, outer, far, [FAR])

    assert names(walk(world, outer)) == ["Outer", "Far"]
    assert world.others.asked_for("hierarchy") == [FAR]


def test_rooms_elsewhere_are_not_shown_to_those_who_do_not_get_in(world: World) -> None:
    lobby = room(world, "Lobby")
    rules = [
        told(f"!a:{FAR}", "Invite", join_rule="invite"),
        told(f"!b:{FAR}", "Knock", join_rule="knock", room_version="10"),
        told(f"!c:{FAR}", "No knock", join_rule="knock", room_version="6"),
        told(f"!d:{FAR}", "Restricted", join_rule="restricted", allowed_room_ids=[lobby]),
        told(f"!e:{FAR}", "Window", join_rule="invite", world_readable=True),
        told(f"!f:{FAR}", "No rule at all", join_rule=None),
    ]
    far = tell(world, FAR, told(f"!far:{FAR}", "Far", *(one["room_id"] for one in rules)), rules)
    outer = space(world, "Outer")
    put(world, outer, far, [FAR])

    assert names(walk(world, outer)) == ["Outer", "Far", "Knock", "Window", "No rule at all"]

    world.join(BOB, lobby)
    page = walk(world, outer)
    assert names(page) == ["Outer", "Far", "Knock", "Restricted", "Window", "No rule at all"]
    assert page.rooms[3]["allowed_room_ids"] == [lobby]
    assert world.others.asked_for("hierarchy") == [FAR]


def test_an_invited_user_sees_the_space_of_the_invite_by_the_server_that_brought_it(world: World) -> None:
    scene = Scene(join_rule="invite")
    room_id = RoomID(scene.create.room_id)
    invite = scene.member(BOB, "invite", sender=scene.create.sender, after=[scene.last])

    def note(tx: Transaction) -> None:
        world.outside.put(tx, parse_and_encode(dict(invite.pdu), invite.version), FAR, ())

    world.sync_database.write(note)
    tell(world, FAR, told(room_id, "Invited", join_rule="invite"))

    assert names(walk(world, room_id)) == ["Invited"]
    with pytest.raises(Forbidden):
        walk(world, room_id, ALICE)
    assert world.sync_database.read(find_membership, room_id, BOB) is not None


def test_several_servers_are_tried_and_a_failure_is_remembered(world: World) -> None:
    world.others.failures[NEAR] = Unreachable("away")
    far = tell(world, FAR, told(f"!far:{FAR}", "Far"))
    outer = space(world, "Outer")
    put(world, outer, far, ["no name at all/", SERVER, NEAR, FAR])

    assert names(walk(world, outer)) == ["Outer", "Far"]
    assert names(walk(world, outer)) == ["Outer", "Far"]

    assert world.others.asked_for("hierarchy") == [NEAR, FAR]


def test_what_one_server_says_does_not_count_for_those_who_ask_another(world: World) -> None:
    room_id = f"!far:{FAR}"
    tell(world, FAR, told(room_id, "Truth"))
    tell(world, NEAR, told(room_id, "Lie"))
    fooled, right = space(world, "Fooled"), space(world, "Right")
    put(world, fooled, room_id, [NEAR])
    put(world, right, room_id, [FAR])

    assert names(walk(world, fooled)) == ["Fooled", "Lie"]
    assert names(walk(world, right)) == ["Right", "Truth"]


def test_a_page_asks_about_so_many_rooms_and_no_more(world: World) -> None:
    far = [f"!far{number:03}:{FAR}" for number in range(MOST_ASKED + 5)]
    outer = space(world, "Outer")
    for child in far:
        put(world, outer, child, [FAR])

    first = walk(world, outer)

    assert names(first) == ["Outer"]
    assert len(world.others.asked_for("hierarchy")) == MOST_ASKED
    assert first.next_batch is not None
    assert walk(world, outer, token=first.next_batch) == HierarchyPage([], None)


def test_a_page_ends_when_others_take_too_long(world: World) -> None:
    outer = space(world, "Outer")
    for number in range(3):
        put(world, outer, f"!far{number}:{FAR}", [FAR])
    world.others.tampers[FAR, "hierarchy"] = lambda answer: world.clock.advance(PATIENCE_S) or answer  # type: ignore[func-returns-value]
    tell(world, FAR, told(f"!far0:{FAR}", "Far"))

    page = walk(world, outer)

    assert names(page) == ["Outer", "Far"]
    assert len(world.others.asked_for("hierarchy")) == 1
    assert page.next_batch is not None


def test_a_room_that_the_administrators_closed_is_not_shown_and_not_asked_about(world: World) -> None:
    garden = room(world, "Garden")
    outer = space(world, "Outer")
    put(world, outer, garden, [FAR])

    def block(tx: Transaction) -> None:
        tx.run("UPDATE rooms SET is_blocked = :yes WHERE room_id = :room_id", yes=True, room_id=garden)

    world.sync_database.write(block)

    assert names(walk(world, outer)) == ["Outer"]
    assert world.others.asked == []


# Administrators


def test_an_administrator_is_shown_all_rooms_that_are_known_here_and_nobody_else_is_asked(world: World) -> None:
    closed, blocked, left = (room(world, name, preset="private_chat") for name in ("Closed", "Blocked", "Left"))
    outer = space(world, "Outer", closed, blocked, left, preset="private_chat")
    put(world, outer, f"!far:{FAR}", [FAR])
    inner = space(world, "Inner", closed, preset="private_chat")
    put(world, outer, inner, order="zzz")
    now(world.membership.leave(ALICE, left, None))

    def block(tx: Transaction) -> None:
        tx.run("UPDATE rooms SET is_blocked = :yes WHERE room_id = :room_id", yes=True, room_id=blocked)

    world.sync_database.write(block)

    first = walk(world, outer, user_id=None, limit=2)
    second = walk(world, outer, user_id=None, token=first.next_batch)

    assert names(first) + names(second) == ["Outer", "Closed", "Blocked", "Left", "Inner"]
    assert second.next_batch is None
    assert names(walk(world, outer, user_id=None, max_depth=0)) == ["Outer"]
    assert world.others.asked == []
    with pytest.raises(InvalidParameter):
        walk(world, outer, user_id=ALICE, token=first.next_batch)
    with pytest.raises(NotFound):
        walk(world, f"!far:{FAR}", user_id=None)
