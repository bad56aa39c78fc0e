"""Invites across servers, in both directions: received, shown, taken back, sent."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from homeserver.core.errors import BadEvent, BadJson
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import sign_event, verify_event_signature
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import (
    Forbidden,
    InvalidParameter,
    InviteBlocked,
    NotFound,
    RefusedByPolicyServer,
    RemoteFailed,
    ServiceError,
)
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.blocked_rooms import Block, block_room
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership
from tests.fakes.policy_source import KEY as POLICY_KEY
from tests.fakes.remote_servers import Refusal, Tamper
from tests.forked_rooms import ALICE, BOB, CAROL, KEYS, LIAR, MALLORY, ONE, TWO
from tests.scenes import Scene
from tests.services.federation.others import join_remotely
from tests.services.sync.asking import sync
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import SERVER, World, now


@pytest.fixture
def people(world: World) -> World:
    """A server on which Alice has an account."""
    world.sync_database.write(insert_account, Account(OUR_ALICE, AccountKind.USER, 0))
    return world


def invite_of(scene: Scene, target: UserID = OUR_ALICE, sender: UserID = ALICE) -> Event:
    return scene.member(target, "invite", sender=sender, after=[scene.last])


def state_of(scene: Scene) -> list[Any]:
    return [scene.create.pdu, scene.join_rules.pdu]


def receive(world: World, scene: Scene, invite: Event, origin: ServerName = ONE, **changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "room_id": invite.room_id,
        "event_id": invite.event_id,
        "pdu": dict(invite.pdu),
        "room_state": state_of(scene),
        **changes,
    }
    return now(world.remote_invites.receive(origin, version=scene.version, **asked))


def membership(world: World, room_id: RoomID, user_id: UserID = OUR_ALICE) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_an_invite_to_a_room_elsewhere_is_signed_and_shown_and_accepted(people: World, version: str) -> None:
    scene = Scene(ROOM_VERSIONS[version], join_rule="invite")
    before = sync(people, OUR_ALICE)["next_batch"]
    invite = invite_of(scene)
    room_id = people.others.open(scene, ONE)

    signed = receive(people, scene, invite)

    verify_event_signature(signed, scene.version, SERVER, people.key.verify_key)
    assert {**signed, "signatures": invite.pdu["signatures"]} == invite.pdu
    for since in (before, None):
        shown = sync(people, OUR_ALICE, since)["rooms"]["invite"][room_id]["invite_state"]["events"]
        assert {"type": "m.room.member", "state_key": OUR_ALICE, "sender": ALICE}.items() <= shown[-1].items()
        assert [event["type"] for event in shown[:-1]] == ["m.room.create", "m.room.join_rules"]
        assert all(event.keys() == {"type", "state_key", "sender", "content"} for event in shown)
    scene.last = invite

    now(people.anywhere.join(OUR_ALICE, room_id, None))

    assert people.others.asked_for("make_join") == [ONE]
    rooms = sync(people, OUR_ALICE, before)["rooms"]
    assert rooms.keys() == {"join"}
    assert membership(people, room_id) == "join"


def test_what_is_no_invite_of_a_user_here_is_refused_and_nothing_is_signed(people: World) -> None:
    scene = Scene()
    scene.join_in_turn(BOB, MALLORY)
    invite = invite_of(scene)
    kick = scene.member(OUR_ALICE, "ban", sender=ALICE, after=[scene.last])
    other = scene.say(ALICE, after=[scene.last])
    elsewhere = invite_of(scene, target=CAROL)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: receive(people, scene, kick),
        lambda: receive(people, scene, other),
        lambda: receive(people, scene, elsewhere),
        lambda: receive(people, scene, invite, origin=TWO),
        lambda: receive(people, scene, invite, room_id=RoomID("!other:one.example")),
        lambda: receive(people, scene, invite, event_id=EventID("$" + "a" * 43)),
        lambda: receive(people, scene, invite, pdu={**invite.pdu, "content": {"membership": "invite", "x": 1}}),
    )
    for attempt in attempts:
        with pytest.raises(InvalidParameter):
            attempt()
    with pytest.raises(Forbidden):
        receive(people, scene, invite, pdu={**invite.pdu, "signatures": {}})

    assert membership(people, invite.room_id) is None


def test_what_is_no_event_of_the_rooms_version_is_refused_as_such(people: World) -> None:
    scene = Scene()
    invite = invite_of(scene)
    with_float = {**invite.pdu, "content": {**invite.content, "x": 1.5}}

    for pdu in (None, {**invite.pdu, "depth": "1"}, with_float):
        with pytest.raises((BadEvent, BadJson)):
            receive(people, scene, invite, pdu=pdu)

    assert membership(people, invite.room_id) is None


@pytest.mark.parametrize(
    "room_state",
    [None, [], [{"type": "m.room.create", "state_key": "", "sender": ALICE, "content": {}}], [1], [{}] * 1_000],
)
def test_a_room_of_a_new_version_must_show_itself(people: World, room_state: Any) -> None:
    scene = Scene(ROOM_VERSIONS["12"])
    invite = invite_of(scene)

    with pytest.raises(InvalidParameter):
        receive(people, scene, invite, room_state=room_state)

    with pytest.raises(InvalidParameter):
        receive(people, scene, invite, room_state=state_of(Scene(ROOM_VERSIONS["12"], users={BOB: 1}))[1:])


def test_users_who_are_not_there_or_want_no_invites_are_not_invited(people: World) -> None:
    scene = Scene()
    nobody = UserID(f"@nobody:{SERVER}")
    now(people.account_data.put(OUR_ALICE, OUR_ALICE, None, "m.invite_permission_config", {"default_action": "block"}))

    with pytest.raises(NotFound):
        receive(people, scene, invite_of(scene, target=nobody))
    with pytest.raises(InviteBlocked):
        receive(people, scene, invite_of(scene))


@pytest.mark.parametrize(("answer", "is_told"), [("blocked", True), ("ignored", False)])
def test_a_user_chooses_the_servers_whose_invites_they_want(people: World, answer: str, is_told: bool) -> None:
    scene = Scene()
    wish = {f"{answer}_servers": [str(ONE)]}
    now(people.account_data.put(OUR_ALICE, OUR_ALICE, None, "org.matrix.msc4155.invite_permission_config", wish))
    invite = invite_of(scene)

    if is_told:
        with pytest.raises(InviteBlocked):
            receive(people, scene, invite)
    else:
        receive(people, scene, invite)

    assert "rooms" not in sync(people, OUR_ALICE)
    assert membership(people, invite.room_id) == (None if is_told else "invite")


def test_an_invite_into_a_room_that_is_here_comes_with_the_rooms_events(people: World) -> None:
    scene = Scene()
    room_id = people.others.open(scene, ONE)
    now(people.anywhere.join(UserID(f"@bob:{SERVER}"), room_id, None, via=[ONE]))

    signed = receive(people, scene, invite_of(scene))

    assert SERVER in signed["signatures"]
    assert membership(people, room_id) is None


def test_nobody_is_invited_to_a_room_that_is_blocked_here(people: World) -> None:
    scene = Scene()
    room_id = people.others.open(scene, ONE)
    bob = UserID(f"@bob:{SERVER}")
    now(people.anywhere.join(bob, room_id, None, via=[ONE]))
    now(people.anywhere.leave(bob, room_id, None))
    people.sync_database.write(block_room, room_id, Block(None, 0))

    with pytest.raises(Forbidden):
        receive(people, scene, invite_of(scene))

    assert membership(people, room_id) is None


def test_nobody_is_invited_to_a_room_that_was_blocked_before_it_was_known_here(people: World) -> None:
    scene = Scene()
    room_id = people.others.open(scene, ONE)
    people.sync_database.write(block_room, room_id, Block(None, 0))

    with pytest.raises(Forbidden):
        receive(people, scene, invite_of(scene))

    assert membership(people, room_id) is None


def test_an_invite_is_taken_back_by_the_server_that_sent_it_and_by_no_other(people: World) -> None:
    scene = Scene(users={MALLORY: 100, BOB: 100})
    scene.join_in_turn(BOB, MALLORY)
    invite = invite_of(scene)
    receive(people, scene, invite)
    since = sync(people, OUR_ALICE)["next_batch"]
    by_mallory = scene.member(OUR_ALICE, "leave", sender=MALLORY, after=[invite])
    by_alice = scene.member(OUR_ALICE, "leave", sender=ALICE, after=[invite])

    damaged = {**by_alice.pdu, "content": {"membership": "leave", "reason": "x"}}
    for pdu in (by_mallory.pdu, invite.pdu, damaged, {**by_alice.pdu, "signatures": {}}, {}):
        assert not now(people.remote_invites.hear(invite.room_id, pdu))
    assert not now(people.remote_invites.hear(RoomID("!other:one.example"), by_alice.pdu))
    assert membership(people, invite.room_id) == "invite"
    assert now(people.remote_invites.hear(invite.room_id, by_alice.pdu))
    assert not now(people.remote_invites.hear(invite.room_id, by_alice.pdu))

    rooms = sync(people, OUR_ALICE, since)["rooms"]
    assert rooms.keys() == {"leave"}
    [shown] = rooms["leave"][invite.room_id]["timeline"]["events"]
    assert (shown["sender"], shown["content"]["membership"]) == (ALICE, "leave")
    assert "rooms" not in sync(people, OUR_ALICE)


def test_a_fake_invite_to_a_room_goes_when_somebody_comes_into_the_room(people: World) -> None:
    scene = Scene()
    room_id = people.others.open(scene, ONE)
    fake = Scene().member(OUR_ALICE, "invite", sender=MALLORY, after=[scene.last])
    receive(people, scene, fake, origin=LIAR)
    assert membership(people, room_id) == "invite"

    now(people.anywhere.join(UserID(f"@bob:{SERVER}"), room_id, None, via=[ONE]))

    assert membership(people, room_id) is None


# Invites that are sent


def test_a_user_elsewhere_is_invited_once_the_users_server_has_signed(world: World) -> None:
    room_id = world.create_room(OUR_ALICE, name="Tea")

    now(world.inviting.invite(OUR_ALICE, room_id, BOB, "come"))

    [brought] = world.others.invited
    event = brought["event"]
    assert event["content"] == {"membership": "invite", "reason": "come"}
    assert (event["sender"], event["state_key"]) == (OUR_ALICE, BOB)
    types = {one["type"] for one in brought["invite_room_state"]}
    assert types >= {"m.room.create", "m.room.name", "m.room.join_rules", "m.room.member"}
    assert all("hashes" in one for one in brought["invite_room_state"])
    assert membership(world, room_id, BOB) == "invite"
    newest = world.history(OUR_ALICE, room_id)[0]
    assert (newest["type"], newest["content"]["membership"]) == ("m.room.member", "invite")


def test_an_invite_has_the_policy_servers_signature_when_it_is_brought_and_keeps_it(world: World) -> None:
    room_id = world.create_room(OUR_ALICE, room_version="11", preset="public_chat")
    join_remotely(world, UserID(f"@dan:{TWO}"), room_id)
    policy = {"via": TWO, "public_keys": {"ed25519": POLICY_KEY.verify_key.to_base64()}}
    now(world.sending.set_state(OUR_ALICE, room_id, "m.room.policy", "", policy))

    now(world.inviting.invite(OUR_ALICE, room_id, BOB, None))

    [brought] = world.others.invited
    assert brought["event"]["signatures"][TWO].keys() == {"ed25519:policy_server"}
    event_id = world.history(OUR_ALICE, room_id)[0]["event_id"]
    kept = world.sync_database.read(events_by_id, [event_id])[event_id].event
    assert kept.pdu["signatures"][TWO].keys() == {"ed25519:policy_server", "ed25519:test"}


def test_an_invite_that_the_policy_server_refuses_is_not_brought(world: World) -> None:
    room_id = world.create_room(OUR_ALICE, room_version="11", preset="public_chat")
    join_remotely(world, UserID(f"@dan:{TWO}"), room_id)
    policy = {"via": TWO, "public_keys": {"ed25519": POLICY_KEY.verify_key.to_base64()}}
    now(world.sending.set_state(OUR_ALICE, room_id, "m.room.policy", "", policy))
    world.policy_source.refuses = True

    with pytest.raises(RefusedByPolicyServer):
        now(world.inviting.invite(OUR_ALICE, room_id, BOB, None))

    assert world.others.invited == []
    assert membership(world, room_id, BOB) is None


def signed_by(server: ServerName, answer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    event = {**answer["event"], **changes, "signatures": {}}
    return {"event": sign_event(event, ROOM_VERSIONS["12"], TWO, KEYS[server])}


@pytest.mark.parametrize(
    "tamper",
    [
        lambda answer: signed_by(LIAR, answer),
        lambda answer: signed_by(TWO, answer, depth=1),
        lambda answer: signed_by(TWO, answer, type="m.room.power_levels"),
        lambda answer: {"event": {**answer["event"], "signatures": {}}},
        lambda answer: {"event": 1},
        lambda _: {},
    ],
)
def test_an_invite_that_comes_back_otherwise_is_not_sent(world: World, tamper: Tamper) -> None:
    room_id = world.create_room(OUR_ALICE)
    world.others.tampers[TWO, "invite"] = tamper

    with pytest.raises(RemoteFailed):
        now(world.inviting.invite(OUR_ALICE, room_id, BOB, None))

    assert membership(world, room_id, BOB) is None


def test_what_a_server_writes_beside_the_invite_is_not_taken(world: World) -> None:
    room_id = world.create_room(OUR_ALICE)
    world.others.tampers[TWO, "invite"] = lambda answer: {"event": {**answer["event"], "unsigned": {"x": 1}}}

    now(world.inviting.invite(OUR_ALICE, room_id, BOB, None))

    assert membership(world, room_id, BOB) == "invite"


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Refusal(403, "M_FORBIDDEN"), Forbidden), (Unreachable("away"), RemoteFailed)],
)
def test_an_invite_that_cannot_be_brought_changes_nothing(
    world: World, failure: Exception, error: type[ServiceError]
) -> None:
    room_id = world.create_room(OUR_ALICE)
    world.others.failures[TWO] = failure  # type: ignore[assignment]  # one of the two kinds

    with pytest.raises(error):
        now(world.inviting.invite(OUR_ALICE, room_id, BOB, None))

    assert membership(world, room_id, BOB) is None


def test_only_members_invite_and_nobody_who_is_there(world: World) -> None:
    room_id = world.create_room(OUR_ALICE)
    closed = world.create_room(OUR_ALICE, creation_content={"m.federate": False}, room_version="11")

    for sender, room in ((UserID(f"@bob:{SERVER}"), room_id), (OUR_ALICE, RoomID("!nowhere:one.example"))):
        with pytest.raises(Forbidden):
            now(world.inviting.invite(sender, room, BOB, None))
    with pytest.raises(Exception, match="closed to other servers"):
        now(world.inviting.invite(OUR_ALICE, closed, BOB, None))

    assert world.others.invited == []


def test_a_new_room_invites_users_elsewhere_and_is_there_even_when_some_cannot_be(world: World) -> None:
    world.others.failures[LIAR] = Unreachable("away")

    room_id = world.create_room(OUR_ALICE, preset="trusted_private_chat", invite=[MALLORY, BOB], is_direct=True)

    assert membership(world, room_id, BOB) == "invite"
    assert membership(world, room_id, MALLORY) is None
    content: Mapping[str, Any] = world.others.invited[-1]["event"]["content"]
    assert content == {"membership": "invite", "is_direct": True}
