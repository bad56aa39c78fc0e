"""What moderation policy lists want done, done and written down."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.policy_rules import PolicyKind, PolicyRule, Recommendation
from homeserver.services.admin.policy_planning import Step
from homeserver.storage.policy_lists import Deed, DeedKind
from tests.services.admin.policies import Policies, membership
from tests.services.federation.others import FAY, join_remotely
from tests.services.world import ALICE, World, now

LIST = RoomID("!list:example.org")
UNKNOWN = RoomID("!unknown:example.org")
RULE = PolicyRule(PolicyKind.USER, FAY, None, Recommendation.BAN, "", EventID("$rule"))


@pytest.fixture
def policies(world: World) -> Iterator[Policies]:
    opened = Policies(world, starts=False)
    yield opened
    opened.close()


def ban(room_id: RoomID, **more: Any) -> Step:
    return Step(Deed(DeedKind.BAN, room_id, FAY, LIST), RULE, **more)


def carry_out(policies: Policies, *steps: Step) -> tuple[int, list[str]]:
    carried = now(policies.deeds.carry_out(steps, now_ms=1))
    return carried.done, [why_not for _, why_not in carried.failed]


def test_what_fails_is_told_and_is_no_deed_and_what_follows_is_done(world: World, policies: Policies) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    join_remotely(world, FAY, room_id)

    done, failed = carry_out(policies, ban(UNKNOWN), ban(room_id, obstacle="No power"), ban(room_id))

    assert done == 1
    assert failed == ["This server knows no such room", "No power"]
    assert membership(world, room_id, FAY) == "ban"
    assert policies.noted() == [Deed(DeedKind.BAN, room_id, FAY, LIST)]
    assert [act.end.status for act in policies.acts() if act.end is not None] == [403, 200]


def test_servers_are_blocked_together_in_one_act(policies: Policies) -> None:
    refusals = [Step(Deed(DeedKind.REFUSE, None, f"{number:02}.bad.example", LIST), RULE) for number in range(60)]

    assert carry_out(policies, *refusals) == (60, [])

    (act,) = policies.acts()
    details = orjson.loads(act.act.details)
    assert (act.act.act, details["number"], len(details["servers"])) == ("block servers", 60, 50)
    assert len(policies.destinations.rules) == 60


def test_a_ban_that_somebody_lifted_already_counts_as_undone(world: World, policies: Policies) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    join_remotely(world, FAY, room_id)
    carry_out(policies, ban(room_id))
    now(world.membership.unban(ALICE, room_id, FAY, None))

    assert carry_out(policies, Step(Deed(DeedKind.BAN, room_id, FAY, LIST), undoes=True)) == (1, [])

    assert policies.noted() == []


def test_a_deed_that_another_list_wants_becomes_that_ones(world: World, policies: Policies) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    join_remotely(world, FAY, room_id)
    carry_out(policies, ban(room_id))
    moved = Deed(DeedKind.BAN, room_id, FAY, UNKNOWN)

    assert carry_out(policies, Step(moved)) == (0, [])

    assert policies.noted() == [moved]
