"""Joins by way of other servers: what comes of them, and what a server that means harm can make of them."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import ROOM_VERSIONS, V11
from homeserver.core.signing import SigningKey, sign_event
from homeserver.services.errors import Forbidden, RemoteFailed, ServiceError
from homeserver.services.rooms.remote_joins import MOST_SERVERS
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership, members_of_room
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import RoomHead, find_head
from tests.fakes.policy_source import KEY as POLICY_KEY
from tests.fakes.remote_servers import Tamper
from tests.forked_rooms import ALICE, BOB, KEYS, LIAR, ONE, TWO
from tests.scenes import Scene
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import BOB as OUR_BOB
from tests.services.world import SERVER, World, now

REASON: Final = "hello"


def head_of(world: World, room_id: RoomID) -> RoomHead | None:
    return world.sync_database.read(find_head, room_id)


def membership(world: World, room_id: RoomID) -> str | None:
    """That of our Alice."""
    found = world.sync_database.read(find_membership, room_id, OUR_ALICE)
    return None if found is None else found.membership


def join(world: World, room_id: RoomID, *via: str) -> RoomID:
    return now(world.anywhere.join(OUR_ALICE, room_id, REASON, via=via))


def state_ids(world: World, room_id: RoomID) -> set[EventID]:
    def read(tx: Any) -> set[EventID]:
        head = find_head(tx, room_id)
        assert head is not None
        return {stored.event.event_id for stored in world.states.whole(tx, room_id, head.current_root)}

    return world.sync_database.read(read)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_user_who_joins_is_in_the_room_with_all_its_state(world: World, version: str) -> None:
    scene = Scene(ROOM_VERSIONS[version])
    scene.join_in_turn(BOB)
    scene.last = scene.say(BOB, after=[scene.last])
    room_id = world.others.open(scene, ONE)

    assert join(world, room_id, ONE) == room_id

    [sent] = world.others.sent
    assert membership(world, room_id) == "join"
    assert state_ids(world, room_id) == set(scene.after(sent).values())
    assert world.sync_database.read(servers_in_room, room_id) == {ONE, TWO, SERVER}
    head = head_of(world, room_id)
    assert head is not None
    assert head.heads == (sent.event_id,)
    assert {"membership": "join", "reason": REASON}.items() <= sent.content.items()
    world.send(OUR_ALICE, room_id)


def test_a_second_user_of_this_server_joins_without_asking_anybody(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    join(world, room_id, ONE)
    asked = len(world.others.asked)

    now(world.anywhere.join(OUR_BOB, room_id, None, via=[ONE]))
    join(world, room_id, ONE)

    assert len(world.others.asked) == asked


def test_a_room_that_was_left_is_joined_anew_with_the_state_that_it_has_now(world: World) -> None:
    scene = Scene()
    room_id = world.others.open(scene, ONE)
    join(world, room_id, ONE)
    now(world.membership.leave(OUR_ALICE, room_id, None))
    scene.join_in_turn(BOB)

    join(world, room_id, TWO, ONE)

    sent = world.others.sent[-1]
    head = head_of(world, room_id)
    assert head is not None
    assert head.heads == (sent.event_id,)
    assert state_ids(world, room_id) == set(scene.after(sent).values())
    assert membership(world, room_id) == "join"
    world.send(OUR_ALICE, room_id)


def test_servers_are_asked_in_turn_until_one_lets_the_user_in(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)

    join(world, room_id, LIAR, "no server!", SERVER, TWO, ONE)

    assert world.others.asked_for("make_join") == [LIAR, TWO, ONE]
    assert membership(world, room_id) == "join"


def without_create(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "state": [pdu for pdu in answer["state"] if pdu["type"] != "m.room.create"]}


def with_state_twice(answer: dict[str, Any]) -> dict[str, Any]:
    event = next(pdu for pdu in answer["state"] if pdu["type"] == "m.room.join_rules")
    scene = Scene()
    second = scene.send(ALICE, "m.room.join_rules", {"join_rule": "knock"}, after=[scene.last])
    assert second.room_id == event["room_id"]
    return {**answer, "state": [*answer["state"], second.pdu]}


def unsigned(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "state": [{**pdu, "signatures": {}} for pdu in answer["state"]]}


def signed_by_another(answer: dict[str, Any]) -> dict[str, Any]:
    bare = [{**pdu, "signatures": {}} for pdu in answer["state"]]
    return {**answer, "state": [sign_event(pdu, V11, ONE, KEYS[LIAR]) for pdu in bare]}


def of_another_room(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "state": [{**pdu, "room_id": "!other:one.example"} for pdu in answer["state"]]}


def endless(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "state": answer["state"] + [{"type": str(number)} for number in range(2_000)]}


def not_events(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "state": [1, None, "x", [], {}]}


def without_what_authorises(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        **answer,
        "state": [pdu for pdu in answer["state"] if pdu["type"] == "m.room.create"],
        "auth_chain": [],
    }


@pytest.mark.parametrize(
    "tamper",
    [
        without_create,
        with_state_twice,
        unsigned,
        signed_by_another,
        of_another_room,
        endless,
        not_events,
        without_what_authorises,
        lambda _: [],
        lambda answer: {**answer, "state": None},
    ],
)
def test_a_room_of_nonsense_is_not_joined_and_another_server_can_give_it_rightly(world: World, tamper: Tamper) -> None:
    scene = Scene()
    scene.join_in_turn(BOB)
    room_id = world.others.open(scene, ONE, TWO)
    world.others.tampers[ONE, "send_join"] = tamper

    with pytest.raises(ServiceError):
        join(world, room_id, ONE)
    assert membership(world, room_id) is None

    join(world, room_id, ONE, TWO)

    assert membership(world, room_id) == "join"
    assert state_ids(world, room_id) == set(scene.after(world.others.sent[-1]).values())


def test_a_server_that_has_nobody_in_the_room_lets_nobody_in(world: World) -> None:
    room_id = world.others.open(Scene(), TWO)

    with pytest.raises(RemoteFailed):
        join(world, room_id, TWO)

    assert membership(world, room_id) is None


@pytest.mark.parametrize(
    "change",
    [
        {"type": "m.room.power_levels"},
        {"sender": "@bob:example.org"},
        {"room_id": "!other:one.example"},
        {"content": {"membership": "leave"}},
        {"prev_events": []},
        {"depth": None},
    ],
)
def test_nothing_is_signed_but_the_join_that_was_wished(world: World, change: Mapping[str, Any]) -> None:
    room_id = world.others.open(Scene(), ONE)
    world.others.tampers[ONE, "make_join"] = lambda answer: {**answer, "event": {**answer["event"], **change}}

    with pytest.raises(RemoteFailed):
        join(world, room_id, ONE)

    assert world.others.asked_for("send_join") == []


def test_what_else_a_template_says_is_not_said_in_the_users_name(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    more = {"membership": "join", "displayname": "Fool", "org.example.power": 100}
    world.others.tampers[ONE, "make_join"] = lambda answer: {
        **answer,
        "event": {**answer["event"], "content": more, "redacts": "$a", "org.example.extra": 1},
    }

    join(world, room_id, ONE)

    [sent] = world.others.sent
    assert sent.content == {"membership": "join", "reason": REASON}
    assert "org.example.extra" not in sent.pdu
    assert "redacts" not in sent.pdu


def test_a_room_that_is_said_to_be_of_another_version_is_not_joined(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    world.others.tampers[ONE, "make_join"] = lambda answer: {**answer, "room_version": "10"}

    with pytest.raises(RemoteFailed):
        join(world, room_id, ONE)

    assert membership(world, room_id) is None


def restricted_scene() -> Scene:
    """A room that one may join whom a member lets in."""
    scene = Scene(join_rule="invite")
    allow = [{"type": "m.room_membership", "room_id": "!space:one.example"}]
    rules = {"join_rule": "restricted", "allow": allow}
    scene.last = scene.send(ALICE, "m.room.join_rules", rules, after=[scene.last])
    return scene


def test_a_restricted_room_is_joined_with_the_signature_of_the_server_that_lets_the_user_in(world: World) -> None:
    room_id = world.others.open(restricted_scene(), ONE)
    world.others.authorisers[room_id] = ALICE

    join(world, room_id, ONE)

    assert membership(world, room_id) == "join"
    joined = world.history(OUR_ALICE, room_id)[0]
    assert joined["content"]["join_authorised_via_users_server"] == ALICE


def drop_signature(answer: dict[str, Any]) -> dict[str, Any]:
    event = answer["event"]
    return {**answer, "event": {**event, "signatures": {SERVER: event["signatures"][SERVER]}}}


def forge_signature(answer: dict[str, Any]) -> dict[str, Any]:
    event = {**answer["event"], "signatures": {}}
    return {**answer, "event": sign_event(event, V11, ONE, KEYS[LIAR])}


def another_event(answer: dict[str, Any]) -> dict[str, Any]:
    event = {**answer["event"], "depth": 1}
    return {**answer, "event": sign_event(event, V11, ONE, KEYS[ONE])}


@pytest.mark.parametrize(
    "tamper",
    [
        drop_signature,
        forge_signature,
        another_event,
        lambda answer: {**answer, "event": None},
        lambda answer: {name: value for name, value in answer.items() if name != "event"},
    ],
)
def test_without_that_signature_a_restricted_room_is_not_joined(world: World, tamper: Tamper) -> None:
    room_id = world.others.open(restricted_scene(), ONE)
    world.others.authorisers[room_id] = ALICE
    world.others.tampers[ONE, "send_join"] = tamper

    with pytest.raises(RemoteFailed):
        join(world, room_id, ONE)

    assert membership(world, room_id) is None


@pytest.mark.parametrize(
    ("key", "is_kept"), [(POLICY_KEY, True), (SigningKey("policy_server", bytes([6]) * 32), False), (None, False)]
)
def test_a_join_keeps_the_right_signature_of_the_rooms_policy_server(
    world: World, key: SigningKey | None, *, is_kept: bool
) -> None:
    scene = Scene()
    scene.join_in_turn(BOB)
    content = {"via": TWO, "public_keys": {"ed25519": POLICY_KEY.verify_key.to_base64()}}
    scene.last = scene.send(ALICE, "m.room.policy", content, after=[scene.last])
    room_id = world.others.open(scene, ONE)
    if key is not None:
        world.others.tampers[ONE, "send_join"] = lambda answer: {
            **answer,
            "event": sign_event(answer["event"], V11, TWO, key),
        }

    join(world, room_id, ONE)

    [head] = head_of(world, room_id).heads  # type: ignore[union-attr]  # it is there
    signatures = world.sync_database.read(events_by_id, [head])[head].event.pdu["signatures"]
    assert signatures.keys() == ({SERVER, TWO} if is_kept else {SERVER})


def test_a_refusal_by_all_servers_is_told_to_the_user(world: World) -> None:
    scene = Scene(join_rule="invite")
    room_id = world.others.open(scene, ONE, TWO)

    with pytest.raises(Forbidden, match="M_FORBIDDEN says the server"):
        join(world, room_id, ONE, TWO)

    assert world.others.asked_for("send_join") == [ONE, TWO]
    assert membership(world, room_id) is None


def test_a_large_room_is_taken_in_whole(world: World) -> None:
    scene = Scene()
    for number in range(300):
        scene.last = scene.send(ALICE, "org.example.state", {"n": number}, str(number), after=[scene.last])
    room_id = world.others.open(scene, ONE)

    join(world, room_id, ONE)

    assert len(state_ids(world, room_id)) == 305
    assert len(world.sync_database.read(members_of_room, room_id)) == 2


def test_a_server_that_names_very_many_others_has_only_some_of_them_written_to(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    world.others.large.add(room_id)
    names = [f"s{number}.example" for number in range(MOST_SERVERS + 100)]
    world.others.tampers[ONE, "send_join"] = lambda answer: {**answer, "servers_in_room": names}

    join(world, room_id, ONE)

    assert len(world.sync_database.read(servers_in_room, room_id) - {ONE, SERVER}) == MOST_SERVERS
