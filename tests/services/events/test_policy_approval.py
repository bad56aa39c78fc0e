"""Events of local users in rooms with a policy server: it signs them, or nothing of them is written."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.core.event import Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.policy_servers import POLICY_KEY_ID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey, sign_event, verify_event_signature
from homeserver.outbound.errors import RemoteRefused
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import NotRecommended, PolicyServerFailed, RefusedByPolicyServer
from homeserver.services.events.creation import Draft
from homeserver.services.events.policy_approval import MOST_ASKED, MOST_WAITING, SILENCE_MS
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership
from tests.fakes.policy_source import KEY
from tests.services.accounts.people import register
from tests.services.federation.others import FAR, FAY, join_remotely, remote_event, take
from tests.services.world import ALICE, BOB, CAROL, PHONE, SERVER, World, now


class Guarded:
    """A room of Alice's whose policy server is that of Fay, who may be in it."""

    def __init__(self, world: World, version: str = "11", *, with_fay: bool = True, via: str = FAR) -> None:
        self.world = world
        self.source = world.policy_source
        self.source.version = ROOM_VERSIONS[version]
        self.room_id = world.create_room(ALICE, preset="public_chat", room_version=version)
        if with_fay:
            join_remotely(world, FAY, self.room_id)
        self.guard(via)

    def guard(self, via: str = FAR) -> None:
        """Let the room have the policy server."""
        content = {"via": via, "public_keys": {"ed25519": KEY.verify_key.to_base64()}}
        self.set_state("m.room.policy", content)

    def set_state(self, event_type: str, content: dict[str, Any]) -> EventID:  # Any: JSON
        """Let Alice set state."""
        return now(self.world.sending.set_state(ALICE, self.room_id, event_type, "", content))

    def say(self, body: str = "hello", transaction_id: str | None = None) -> EventID:
        """Let Alice say something."""
        return self.world.send(ALICE, self.room_id, body, transaction_id)

    def event(self, event_id: EventID) -> Event:
        """An event as it is kept."""
        return self.world.sync_database.read(events_by_id, [event_id])[event_id].event

    def is_signed(self, event: Event) -> bool:
        """Whether the policy server has signed it."""
        if POLICY_KEY_ID not in event.pdu["signatures"].get(FAR, {}):
            return False
        verify_event_signature(event.pdu, event.version, FAR, KEY.verify_key)
        return True

    def newest(self) -> list[dict[str, Any]]:  # Any: JSON
        """What Alice sees of the room."""
        return self.world.history(ALICE, self.room_id)

    def membership(self, user_id: UserID) -> str | None:
        """What a user is in the room."""
        found = self.world.sync_database.read(find_membership, self.room_id, user_id)
        return None if found is None else found.membership


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(world)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_message_in_a_room_of_any_version_is_signed_before_it_is_there(world: World, version: str) -> None:
    room = Guarded(world, version)
    seen: list[int] = []
    room.source.before_answer = lambda: seen.append(len(room.newest()))
    before = len(room.newest())

    event = room.event(room.say())

    assert room.is_signed(event)
    assert event.pdu["signatures"].keys() == {SERVER, FAR}
    assert seen == [before]
    assert len(room.source.asked) == 1
    assert "unsigned" not in room.source.asked[0]


def test_the_policy_itself_is_not_shown_to_the_server(guarded: Guarded) -> None:
    assert guarded.source.asked == []

    guarded.source.is_away = True
    guarded.set_state("m.room.policy", {})
    guarded.say()

    assert guarded.source.asked == []


def test_what_nobody_is_to_hear_is_not_shown_either(guarded: Guarded) -> None:
    before = guarded.newest()
    guarded.world.shadow_bans.note(ALICE, is_banned=True)

    guarded.say()
    now(guarded.world.inviting.invite(ALICE, guarded.room_id, BOB, None))

    assert guarded.source.asked == []
    assert guarded.newest() == before


@pytest.mark.parametrize(
    "act",
    [
        lambda world, room_id: world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "news"}),
        lambda world, room_id: world.membership.join(BOB, room_id, None),
        lambda world, room_id: world.membership.invite(ALICE, room_id, BOB, None),
        lambda world, room_id: world.membership.ban(ALICE, room_id, BOB, None),
        lambda world, room_id: world.membership.leave(ALICE, room_id, None),
    ],
    ids=["state", "join", "invite", "ban", "leave"],
)
def test_whatever_users_do_is_signed(
    guarded: Guarded, act: Callable[[World, RoomID], Coroutine[Any, Any, object]]
) -> None:
    now(act(guarded.world, guarded.room_id))

    assert len(guarded.source.asked) == 1
    write = guarded.world.sync_database.read(guarded.world.writer.open, guarded.room_id)
    assert write is not None
    assert [guarded.is_signed(guarded.event(head)) for head in write.heads] == [True]


def test_a_refusal_is_told_and_nothing_is_written(guarded: Guarded) -> None:
    before = guarded.newest()
    guarded.source.refuses = True
    guarded.source.refusal = RemoteRefused(400, "M_FORBIDDEN", "refused", {"errcode": "M_FORBIDDEN", "error": "spam!"})

    with pytest.raises(RefusedByPolicyServer) as refusal:
        guarded.say("buy!", "1")

    assert (refusal.value.status, refusal.value.errcode, refusal.value.reason) == (400, "M_FORBIDDEN", "spam!")
    assert guarded.newest() == before
    guarded.source.refuses = False
    assert guarded.say("buy!", "1") == guarded.newest()[0]["event_id"]


@pytest.mark.parametrize("answer", [{}, {FAR: {POLICY_KEY_ID: "A" * 86}}, {FAR: {POLICY_KEY_ID: 1}}, {FAR: []}])
def test_an_answer_without_the_right_signature_is_as_good_as_none(guarded: Guarded, answer: dict[str, Any]) -> None:
    guarded.source.answer = answer
    before = guarded.newest()

    with pytest.raises(PolicyServerFailed):
        guarded.say()

    assert guarded.newest() == before
    assert len(guarded.source.asked) == 1


def test_a_signature_by_another_key_is_not_right(guarded: Guarded) -> None:
    guarded.source.key = SigningKey("policy_server", bytes([6]) * 32)

    with pytest.raises(PolicyServerFailed):
        guarded.say()


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(guarded: Guarded) -> None:
    guarded.source.is_away = True
    for _ in range(2):
        with pytest.raises(PolicyServerFailed):
            guarded.say()
    assert len(guarded.source.asked) == 1

    guarded.source.is_away = False
    guarded.world.clock.advance(SILENCE_MS / 1000)
    event = guarded.event(guarded.say())

    assert guarded.is_signed(event)


def test_a_server_that_is_not_in_the_room_has_no_say(world: World) -> None:
    room = Guarded(world, with_fay=False)

    room.say()

    assert room.source.asked == []


def test_a_room_that_calls_this_server_its_policy_server_can_have_no_events(world: World) -> None:
    room = Guarded(world, via=SERVER)

    with pytest.raises(PolicyServerFailed):
        room.say()

    assert room.source.asked == []


def test_a_policy_without_a_usable_key_lets_nothing_through(guarded: Guarded) -> None:
    guarded.set_state("m.room.policy", {"via": FAR, "public_keys": {"ed25519": "no key"}})

    with pytest.raises(PolicyServerFailed):
        guarded.say()

    assert guarded.source.asked == []


def test_when_the_room_moves_on_meanwhile_the_event_is_built_and_shown_again(guarded: Guarded) -> None:
    world, room_id = guarded.world, guarded.room_id
    others = iter([UserID(f"@other{number}:{FAR}") for number in range(2)])

    def move_on() -> None:
        user_id = next(others, None)
        if user_id is not None:
            join_remotely_signed(guarded, user_id)

    guarded.source.before_answer = move_on

    event = guarded.event(guarded.say())

    assert guarded.is_signed(event)
    assert len(guarded.source.asked) == 3
    assert guarded.source.asked[0]["prev_events"] != guarded.source.asked[2]["prev_events"]
    write = world.sync_database.read(world.writer.open, room_id)
    assert write is not None
    assert write.heads == (event.event_id,)


def test_a_room_that_never_stands_still_is_given_up(guarded: Guarded) -> None:
    numbers = iter(range(100))
    guarded.source.before_answer = lambda: join_remotely_signed(guarded, UserID(f"@other{next(numbers)}:{FAR}"))

    with pytest.raises(PolicyServerFailed):
        guarded.say()

    assert len(guarded.source.asked) == MOST_ASKED


def test_two_who_send_at_once_are_asked_about_one_after_the_other(guarded: Guarded) -> None:
    held: Deferred[None] = Deferred()
    guarded.source.held = held
    sending = [
        Deferred.fromCoroutine(
            guarded.world.sending.send_message(ALICE, guarded.room_id, "m.room.message", {"body": body}, None)
        )
        for body in ("first", "second", "third")
    ]
    assert len(guarded.source.asked) == 1

    guarded.source.held = None
    held.callback(None)

    assert all(one.called for one in sending)
    assert len(guarded.source.asked) == 3
    assert [event["content"]["body"] for event in guarded.newest()[:3]] == ["third", "second", "first"]


def test_not_all_the_world_waits_for_one_policy_server(guarded: Guarded) -> None:
    guarded.world.join(BOB, guarded.room_id)
    held: Deferred[None] = Deferred()
    guarded.source.held = held
    message = guarded.world.sending.send_message
    sending = [
        Deferred.fromCoroutine(message(ALICE, guarded.room_id, "m.room.message", {"body": str(number)}, None))
        for number in range(MOST_WAITING + 1)
    ]
    failures: list[Failure] = []
    sending[-1].addErrback(failures.append)
    leaving = Deferred.fromCoroutine(guarded.world.membership.leave(BOB, guarded.room_id, "too slow"))

    assert [one.called for one in sending] == [*[False] * MOST_WAITING, True]
    assert isinstance(failures[0].value, PolicyServerFailed)
    guarded.source.held = None
    held.callback(None)
    assert all(one.called for one in sending)
    assert leaving.called
    assert guarded.membership(BOB) == "leave"


@pytest.mark.parametrize("how", ["is away", "refuses", "answers nonsense"])
def test_everybody_may_leave_though_the_policy_server(guarded: Guarded, how: str) -> None:
    world, source = guarded.world, guarded.source
    world.join(BOB, guarded.room_id)
    source.is_away, source.refuses = how == "is away", how == "refuses"
    source.answer = {} if how == "answers nonsense" else None
    source.asked.clear()

    now(world.membership.leave(BOB, guarded.room_id, "buy spam!"))

    left = guarded.newest()[0]
    assert (left["state_key"], left["content"]) == (BOB, {"membership": "leave"})
    assert guarded.membership(BOB) == "leave"
    assert not guarded.is_signed(guarded.event(left["event_id"]))
    assert source.asked[0]["content"] == {"membership": "leave", "reason": "buy spam!"}


def test_a_leave_that_is_signed_says_why(guarded: Guarded) -> None:
    guarded.world.join(BOB, guarded.room_id)

    now(guarded.world.membership.leave(BOB, guarded.room_id, "tea time"))

    left = guarded.newest()[0]
    assert left["content"] == {"membership": "leave", "reason": "tea time"}
    assert guarded.is_signed(guarded.event(left["event_id"]))


def test_nobody_is_removed_without_the_policy_server(guarded: Guarded) -> None:
    guarded.world.join(BOB, guarded.room_id)
    guarded.source.is_away = True

    with pytest.raises(PolicyServerFailed):
        guarded.world.join(CAROL, guarded.room_id)
    with pytest.raises(PolicyServerFailed):
        now(guarded.world.membership.kick(ALICE, guarded.room_id, BOB, None))

    assert guarded.membership(BOB) == "join"


def test_a_changed_profile_is_brought_into_those_rooms_that_let_it(guarded: Guarded) -> None:
    world = guarded.world
    register(world, "alice")
    free = world.create_room(ALICE)
    guarded.source.refuses = True

    now(world.profiles.set_field(Requester(ALICE, PHONE, 1), ALICE, "displayname", "Alice"))

    assert world.history(ALICE, free)[0]["content"]["displayname"] == "Alice"
    assert guarded.newest()[0]["type"] == "m.room.policy"
    assert now(world.profiles.field(ALICE, "displayname")) == "Alice"


def test_each_of_several_events_of_one_write_is_shown(guarded: Guarded) -> None:
    replacement = now(guarded.world.upgrades.upgrade(ALICE, guarded.room_id, "12"))

    types = [event["type"] for event in guarded.source.asked]
    assert types[0] == "m.room.tombstone"
    assert "m.room.power_levels" in types
    assert guarded.newest()[1]["content"]["replacement_room"] == replacement


def test_a_room_whose_policy_server_refuses_the_tombstone_is_not_upgraded(guarded: Guarded) -> None:
    before = now(guarded.world.membership.joined_rooms(ALICE))
    guarded.source.refuses = True

    with pytest.raises(NotRecommended):
        now(guarded.world.upgrades.upgrade(ALICE, guarded.room_id, "12"))

    assert now(guarded.world.membership.joined_rooms(ALICE)) == before


def test_an_invited_user_who_comes_is_asked_about_twice(guarded: Guarded) -> None:
    now(guarded.world.membership.invite(ALICE, guarded.room_id, BOB, None))
    now(guarded.world.membership.join(BOB, guarded.room_id, None))

    assert guarded.membership(BOB) == "join"
    assert len(guarded.source.asked) == 2


def test_what_is_built_beside_the_approval_fails_in_any_room(world: World) -> None:
    room_id = world.create_room(ALICE)

    def build(tx: Any) -> object:
        write = world.writer.open(tx, room_id)
        assert write is not None
        return world.event_creation.build(write, Draft("m.room.message", ALICE, {}))

    with pytest.raises(LookupError):
        world.sync_database.write(build)


def join_remotely_signed(guarded: Guarded, user_id: UserID) -> None:
    """Let a user of another server join, with the policy server's signature."""
    world = guarded.world
    content = {"membership": "join"}
    event = remote_event(world, user_id, guarded.room_id, "m.room.member", content, user_id).event
    take(world, parse_and_encode(sign_event(event.pdu, event.version, FAR, KEY), event.version))
