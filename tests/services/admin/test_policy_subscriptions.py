"""Following moderation policy lists, and what they would do."""

from collections.abc import Iterator

import pytest

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID
from homeserver.core.policy_rules import PolicyKind
from homeserver.services.admin.policy_subscriptions import MOST_LISTS, Purpose
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.storage.policy_lists import DeedKind, OnRooms
from tests.services.accounts.people import register
from tests.services.admin.policies import ON_SERVER, Policies, membership, new_list, write_rule
from tests.services.federation.others import FAY, NED, join_remotely
from tests.services.world import ALICE, BOB, World, now

UNKNOWN = RoomID("!unknown:example.org")


@pytest.fixture
def policies(world: World) -> Iterator[Policies]:
    opened = Policies(world, starts=False)
    yield opened
    opened.close()


def test_somebody_of_this_server_is_in_the_room_or_joins_it(world: World, policies: Policies) -> None:
    register(world, "bob")
    list_id = new_list(world)
    now(world.membership.leave(ALICE, list_id, None))

    with pytest.raises(Forbidden, match="name one who is to join"):
        policies.subscribe(list_id)
    joining = policies.subscriptions.subscribe(list_id, Purpose(), joins=BOB, via=(), subscribed_by=ALICE)
    status = now(joining)

    assert membership(world, list_id, BOB) == "join"
    assert (status.members, status.followed.list.subscribed_by) == ([BOB], ALICE)


def test_what_makes_no_sense_is_refused_and_nothing_is_followed(world: World, policies: Policies) -> None:
    list_id = new_list(world)

    for purpose in (
        Purpose(on_rooms=OnRooms.GIVEN),
        Purpose(rooms=(list_id,)),
        Purpose(on_rooms=OnRooms.GIVEN, rooms=("x",)),
    ):
        with pytest.raises(InvalidParameter):
            policies.subscribe(list_id, purpose)
    with pytest.raises(NotFound):
        policies.subscribe(list_id, Purpose(on_rooms=OnRooms.GIVEN, rooms=(UNKNOWN,)))
    with pytest.raises(Forbidden):
        policies.subscribe(UNKNOWN)

    assert now(policies.subscriptions.all()) == []


def test_no_more_lists_are_followed_than_can_be(world: World, policies: Policies) -> None:
    for _ in range(MOST_LISTS):
        policies.subscribe(new_list(world), Purpose())

    with pytest.raises(InvalidParameter):
        policies.subscribe(new_list(world), Purpose())

    assert len(now(policies.subscriptions.all())) == MOST_LISTS


def test_what_a_list_would_do_is_told_and_not_done(world: World, policies: Policies) -> None:
    list_id = new_list(world)
    room_id, weak = (world.create_room(ALICE, preset="public_chat", room_version="11") for _ in range(2))
    levels = {"users": {ALICE: 10}, "ban": 50, "events": {"m.room.power_levels": 10}}
    now(world.sending.set_state(ALICE, weak, "m.room.power_levels", "", levels))
    for user_id in (FAY, NED):
        join_remotely(world, user_id, room_id)
    join_remotely(world, FAY, weak)
    write_rule(world, list_id, "@*:far.example")
    write_rule(world, list_id, "bad.example", kind="server")

    forecast = now(policies.subscriptions.forecast(list_id, ON_SERVER, limit=10))
    first = now(policies.subscriptions.forecast(list_id, ON_SERVER, limit=1))

    assert forecast.counts == first.counts == {DeedKind.REFUSE: 1, DeedKind.BAN: 2}
    assert (forecast.impossible, forecast.is_whole, len(first.steps)) == (1, True, 1)
    told = {(step.deed.kind, step.deed.entity, step.deed.room_id): step.obstacle is None for step in forecast.steps}
    assert told == {
        (DeedKind.REFUSE, "bad.example", None): True,
        (DeedKind.BAN, FAY, room_id): True,
        (DeedKind.BAN, FAY, weak): False,
    }
    assert membership(world, room_id, FAY) == "join"
    assert policies.noted() == []
    assert policies.acts() == []
    with pytest.raises(NotFound):
        now(policies.subscriptions.forecast(list_id, None, limit=10))
    with pytest.raises(NotFound):
        now(policies.subscriptions.forecast(UNKNOWN, ON_SERVER, limit=10))


def test_rules_are_read_page_by_page(world: World, policies: Policies) -> None:
    list_id = new_list(world)
    for entity in ("@a:x", "@b:x", "@*"):
        write_rule(world, list_id, entity)
    policies.subscribe(list_id, Purpose())

    first, followed = now(policies.subscriptions.rules(list_id, after=0, limit=2))
    second, _ = now(policies.subscriptions.rules(list_id, after=2, limit=2))

    assert [rule.entity for rule in (*first, *second)] == ["@a:x", "@b:x", "@*"]
    assert followed.book.idle == {second[0].event_id}
    with pytest.raises(InvalidParameter):
        now(policies.subscriptions.rules(list_id, after=0, limit=0))


def test_all_that_lists_say_of_users_rooms_and_servers_is_told(world: World, policies: Policies) -> None:
    list_id = new_list(world)
    write_rule(world, list_id, FAY)
    write_rule(world, list_id, "*.example", kind="server")
    write_rule(world, list_id, "#bad:*", kind="room")
    policies.subscribe(list_id, Purpose())

    def told(entity: str) -> tuple[PolicyKind, list[str]]:
        opinion = policies.subscriptions.opinion(entity)
        return opinion.kind, [verdict.rule.name for verdict in opinion.verdicts]

    assert told(FAY) == (PolicyKind.USER, [FAY, "*.example"])
    assert told("#bad:far.example") == (PolicyKind.ROOM, ["#bad:*", "*.example"])
    assert told("far.example:8448") == (PolicyKind.SERVER, ["*.example"])
    assert told(ALICE) == (PolicyKind.USER, [])
    with pytest.raises(BadIdentifier):
        told("@nobody")
