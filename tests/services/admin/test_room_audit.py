"""A sound room has no fault; of a damaged one the audit says what is wrong, whatever was damaged."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core.auth_selection import auth_types_for
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.services.admin.room_audit import Fault, KnownKeys, RoomAudit
from homeserver.services.errors import NotFound
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.receipt import Received
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, StoredEvent, Verdict, find_event
from homeserver.storage.rooms import find_head
from tests.conftest import LargeRun, examples
from tests.forked_rooms import ALICE as REMOTE_ALICE
from tests.forked_rooms import ONE, ForkedRoom, forked_rooms
from tests.partial_rooms import PartialRoom
from tests.poured_rooms import PouredRoom, fresh_server
from tests.scenes import Scene
from tests.services.admin.damageable_room import DamageableRoom, KeysOfAll
from tests.services.admin.damaged import audit_of_damaged, fault_of_damaged
from tests.services.admin.damages import BLIND, OF_ROOMS, Damage, damages_of, one_of_each_table, sampled
from tests.services.admin.own_keys import OwnKeys
from tests.services.rooms.test_remote_invites import receive
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

OTHER_KEY = SigningKey("other", bytes(range(32)))
ELSEWHERE = ServerName("elsewhere.example")


def audited(world: World, room_id: RoomID, keys: KnownKeys | None = None) -> RoomAudit:
    audit = RoomAudit(room_id, keys or OwnKeys(SERVER, world.key), SERVER)
    while world.sync_database.read(audit.go_on):
        pass
    return audit


def fault(world: World, room_id: RoomID) -> Fault:
    """The fault that an audit finds."""
    found = audited(world, room_id).fault
    assert found is not None
    return found


def lively_room(world: World, version: str = "12") -> RoomID:
    """A room in which nearly everything happened that can be audited."""
    state = [InitialState("org.example.count", str(number), {"n": number}) for number in range(40)]
    room_id = world.create_room(preset="public_chat", name="Lively", initial_state=state, room_version=version)
    for user in (BOB, CAROL):
        world.join(user, room_id)
    first = world.send(ALICE, room_id, "first")
    world.send(BOB, room_id, "second")
    now(world.sending.redact(ALICE, room_id, first, {}, None))
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "news"}))
    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.invite(ALICE, room_id, BOB, None))
    now(world.membership.ban(ALICE, room_id, CAROL, "for the test"))
    world.send(ALICE, room_id, "last")
    return room_id


def run(world: World, sql: str, **parameters: Any) -> None:
    """Damage the database: some row must be hit."""
    assert world.sync_database.write(lambda tx: tx.run(sql, **parameters))


def event_of(world: World, room_id: RoomID, event_type: str, at: int = 0) -> StoredEvent:
    """One of the room's events of a type, in its order."""
    sql = "SELECT event_id FROM events WHERE room_id = :room AND type = :type ORDER BY place"
    event_ids = [row[0] for row in world.sync_database.read(lambda tx: tx.all(sql, room=room_id, type=event_type))]
    stored = world.sync_database.read(find_event, event_ids[at])
    assert stored is not None
    return stored


def rewrite(world: World, stored: StoredEvent, change: Callable[[dict[str, Any]], None]) -> None:
    """Change an event's stored content, as canonical JSON."""
    pdu = orjson.loads(orjson.dumps(stored.event.pdu))
    change(pdu)
    replace_pdu(world, stored, encode_for(stored.event.version, pdu))


def replace_pdu(world: World, stored: StoredEvent, pdu: bytes) -> None:
    run(world, "UPDATE events SET pdu = :pdu WHERE event_id = :event_id", pdu=pdu, event_id=stored.event.event_id)


def pdu_of(world: World, event_id: EventID) -> bytes:
    row = world.sync_database.read(lambda tx: tx.one("SELECT pdu FROM events WHERE event_id = :id", id=event_id))
    assert row is not None
    return bytes(row[0])


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_sound_room_of_any_version_has_no_fault(world: World, version: str) -> None:
    room_id = lively_room(world, version)

    audit = audited(world, room_id)

    assert audit.fault is None
    assert (audit.counts.members, audit.counts.unverified) == (3, 0)
    assert audit.counts.events > 55
    assert audit.counts.nodes > 40


def test_rooms_that_were_replaced_are_sound_both(world: World) -> None:
    room_id = lively_room(world, "10")

    replacement = now(world.upgrades.upgrade(ALICE, room_id, "12"))

    assert audited(world, room_id).fault is None
    assert audited(world, replacement).fault is None


def test_a_room_that_goes_on_meanwhile_is_sound(world: World) -> None:
    room_id = lively_room(world)
    audit = RoomAudit(room_id, OwnKeys(SERVER, world.key), SERVER)
    told = world.send(ALICE, room_id, "to be redacted meanwhile")

    slices = 0
    while world.sync_database.read(audit.go_on):
        slices += 1
        if slices == 2:
            now(world.sending.redact(ALICE, room_id, told, {}, None))
        if slices < 5:
            world.send(ALICE, room_id, "more")
            now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": str(slices)}))
            now(world.membership.invite(ALICE, room_id, ALICE.replace("alice", f"user{slices}"), None))  # type: ignore[arg-type]

    assert audit.fault is None
    assert slices >= 4


def test_a_large_state_is_gone_through_in_slices(world: World) -> None:
    state = [InitialState("org.example.count", str(number), {"n": number}) for number in range(100)]
    room_id = world.create_room(initial_state=state)
    for some in range(40):
        state_key = "x" * 50 + str(some)
        now(world.sending.set_state(ALICE, room_id, f"org.example.{some}", state_key, {"n": some}))

    assert audited(world, room_id).fault is None


@pytest.mark.parametrize("version", ["1", "12"])
def test_a_flipped_byte_is_found_wherever_it_is(world: World, version: str) -> None:
    room_id = lively_room(world, version)
    stored = event_of(world, room_id, "m.room.message", -1)
    pdu = pdu_of(world, stored.event.event_id)

    for at in range(0, len(pdu), 71):
        damaged = bytearray(pdu)
        damaged[at] ^= 1
        replace_pdu(world, stored, bytes(damaged))
        found = fault(world, room_id)
        assert found.subject == stored.event.event_id, (at, pdu[at - 10 : at + 10], found)

    replace_pdu(world, stored, pdu)
    assert audited(world, room_id).fault is None


def test_an_event_with_another_s_content_is_found(world: World) -> None:
    room_id = lively_room(world)
    other = event_of(world, room_id, "m.room.name")
    stored = event_of(world, room_id, "m.room.join_rules")

    replace_pdu(world, stored, pdu_of(world, other.event.event_id))

    assert str(fault(world, room_id)) == (
        f"{stored.event.event_id}: it is stored with the content of {other.event.event_id}"
    )


def test_a_changed_content_is_found_by_its_hash(world: World) -> None:
    room_id = lively_room(world)
    stored = event_of(world, room_id, "m.room.message", -1)

    rewrite(world, stored, lambda pdu: pdu["content"].update(body="never said"))

    assert fault(world, room_id) == Fault(stored.event.event_id, "its content hash is wrong")


def test_a_changed_signature_is_found(world: World) -> None:
    room_id = lively_room(world)
    stored = event_of(world, room_id, "m.room.message", -1)

    def forge(pdu: dict[str, Any]) -> None:
        signature = pdu["signatures"][SERVER][world.key.key_id]
        pdu["signatures"][SERVER][world.key.key_id] = signature[::-1]

    rewrite(world, stored, forge)
    assert fault(world, room_id).reason == f"its signature of {SERVER} is wrong"

    rewrite(world, stored, lambda pdu: pdu["signatures"].clear())
    assert fault(world, room_id).reason == f"it has no signature of {SERVER}"


def test_signatures_by_keys_that_are_not_known_are_counted(world: World) -> None:
    room_id = lively_room(world)

    class NoKeys:
        def of_server(self, _tx: Transaction, _server: ServerName) -> tuple[VerifyKey, ...]:
            return ()

    counts = audited(world, room_id, NoKeys()).counts

    assert counts.unverified == counts.events
    assert audited(world, room_id, OwnKeys(SERVER, OTHER_KEY)).counts.unverified == counts.events


DAMAGES: dict[str, tuple[str, str]] = {
    "a message that is gone": (
        "is not here",
        "DELETE FROM events WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "an event without what it is built on": ("is not here", "DELETE FROM events WHERE type = 'm.room.topic'"),
    "an event without its auth event": ("is not here", "DELETE FROM events WHERE type = 'm.room.power_levels'"),
    "a column that is not the event's own": (
        "its row has columns that are not its own",
        "UPDATE events SET sender = '@eve:example.org' WHERE type = 'm.room.topic'",
    ),
    "a verdict that is none": ("it is of verdict 7", "UPDATE events SET verdict = 7 WHERE type = 'm.room.topic'"),
    "an event that is said to be rejected": (
        "it was rejected, and changes the state",
        "UPDATE events SET verdict = 2, verdict_reason = 'it is bad' WHERE type = 'm.room.topic'",
    ),
    "an event that is said to be rejected for no reason": (
        "it was not accepted, and the reason not to is not noted",
        "UPDATE events SET verdict = 2 WHERE type = 'm.room.topic'",
    ),
    "an event that is said to be accepted for a reason": (
        "it was accepted, and the reason not to is noted",
        "UPDATE events SET verdict_reason = 'it is bad' WHERE type = 'm.room.topic'",
    ),
    "a message that is said to be rejected": (
        "it was rejected, and has a place in the room",
        "UPDATE events SET verdict = 2, verdict_reason = 'it is bad' WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "a message that is said to be redacted": (
        "has more than a redaction leaves",
        "UPDATE events SET form = 1, redacted_by = '$nothing' WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "a redacted event that is said to have had a wrong hash": (
        "and form 2, redacted by",
        "UPDATE events SET form = 2 WHERE form = 1",
    ),
    "an event redacted by what is no redaction": (
        "which is no redaction",
        "UPDATE events SET redacted_by = (SELECT event_id FROM events WHERE type = 'm.room.name') WHERE form = 1",
    ),
    "an event redacted by what is not here": (
        "which is not here",
        "UPDATE events SET redacted_by = '$nothing' WHERE form = 1",
    ),
    "an event at another place": (
        "stands after it",
        "UPDATE events SET place = -5 WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "news without a place": (
        "was not accepted, or was no news",
        "UPDATE events SET place = NULL WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "a node that is gone": (
        "it is missing",
        "DELETE FROM state_nodes WHERE digest = (SELECT current_root FROM rooms)",
    ),
    "another node": (
        "its content has another digest",
        "UPDATE state_nodes SET body = (SELECT o.body FROM state_nodes o WHERE o.digest <> state_nodes.digest"
        " ORDER BY o.digest LIMIT 1) WHERE digest = (SELECT current_root FROM rooms)",
    ),
    "another current state": (
        "the current state: it is not the one after the room's last events",
        "UPDATE rooms SET current_root = (SELECT root FROM room_roots ORDER BY log_position LIMIT 1)",
    ),
    "another state before an event": (
        "the state before it is not the one after what it is built on",
        "UPDATE events SET root_before = (SELECT root FROM room_roots ORDER BY log_position LIMIT 1)"
        " WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "another state after an event": (
        "the state after it is not the one before with the event in it",
        "UPDATE events SET root_after = root_before WHERE type = 'm.room.topic'",
    ),
    "an event without a state before it": (
        "there is no state before it",
        "UPDATE events SET root_before = NULL WHERE place = (SELECT MAX(place) FROM events)",
    ),
    "a state event without a state after it": (
        "it has no state after it",
        "UPDATE events SET root_after = NULL WHERE type = 'm.room.topic'",
    ),
    "an event that replaces another one": (
        "is said to replace None",
        "UPDATE events SET replaces_state = NULL WHERE replaces_state IS NOT NULL",
    ),
    "another head": ("its head $nothing is not here", "UPDATE rooms SET heads = CAST('[\"$nothing\"]' AS BYTES)"),
    "heads that are no list": ("its heads are not a list", "UPDATE rooms SET heads = CAST('{}' AS BYTES)"),
    "another depth": ("its depth is said to be", "UPDATE rooms SET depth = depth + 1"),
    "another last place": ("its last place is said to be", "UPDATE rooms SET last_place = last_place + 1"),
    "a version that there is not": ("does not support room version", "UPDATE rooms SET version = '0'"),
    "a room of another version": ("it is stored with the content", "UPDATE rooms SET version = '3'"),
    "a lost row of room_roots": (
        "the newest row of room_roots is another one",
        "DELETE FROM room_roots WHERE log_position = (SELECT MAX(log_position) FROM room_roots)",
    ),
    "another state in room_roots": (
        "room_roots has another state at its position",
        "UPDATE room_roots SET root = (SELECT o.root FROM room_roots o WHERE o.root <> room_roots.root LIMIT 1)"
        " WHERE log_position = (SELECT MIN(log_position) FROM events WHERE type = 'm.room.topic')",
    ),
    "a row of room_roots too many": (
        "room_roots has a position that is no event's",
        "INSERT INTO room_roots SELECT room_id, -log_position, root, written_ms FROM room_roots",
    ),
    "a member too many": (
        "the membership of @eve:example.org: it has a row, and no member event",
        "UPDATE memberships SET user_id = '@eve:example.org' WHERE user_id = '@bob:example.org'",
    ),
    "a member too few": (
        "@bob:example.org has a member event, and no row",
        "DELETE FROM memberships WHERE user_id = '@bob:example.org'",
    ),
    "a forged membership": (
        "the membership of @carol:example.org: its row has membership 'join', and ought to have 'ban'",
        "UPDATE memberships SET membership = 'join' WHERE user_id = '@carol:example.org'",
    ),
    "a forged name": (
        "its row has display_name 'Admin', and ought to have None",
        "UPDATE memberships SET display_name = 'Admin' WHERE user_id = '@alice:example.org'",
    ),
    "a member of another server": (
        "its row has is_local False, and ought to have True",
        "UPDATE memberships SET is_local = FALSE WHERE user_id = '@alice:example.org'",
    ),
    "an old membership": (
        "its row is older than its member event",
        "UPDATE memberships SET log_position = 1 WHERE user_id = '@carol:example.org'",
    ),
    "a lost change of membership": (
        "it went from leave",
        "DELETE FROM membership_changes WHERE user_id = '@bob:example.org' AND membership = 'leave'",
    ),
    "a lost last change of membership": (
        "its row says otherwise",
        "DELETE FROM membership_changes WHERE user_id = '@carol:example.org' AND membership = 'ban'",
    ),
}


@pytest.fixture(scope="module")
def shared_room(shared_world: World) -> RoomID:
    """A sound room for the tests that leave it as they find it."""
    room_id = lively_room(shared_world, "10")
    now(shared_world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "other news"}))
    shared_world.send(ALICE, room_id, "very last")
    assert audited(shared_world, room_id).fault is None
    return room_id


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_damaged_is_named(shared_world: World, shared_room: RoomID, name: str) -> None:
    expected, sql = DAMAGES[name]

    found = fault_of_damaged(shared_world, shared_room, OwnKeys(SERVER, shared_world.key), sql)

    assert expected in found


def test_a_room_that_is_not_here_cannot_be_audited(world: World) -> None:
    with pytest.raises(NotFound):
        audited(world, RoomID("!none:example.org"))


# --- Events as other servers may have sent them ---


class Forge:
    """Puts events into a room by hand: on top of what is named, whether the rules allow it or not."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.room_id = world.create_room(preset="public_chat", room_version="10")
        world.join(BOB, self.room_id)

    def built(
        self,
        sender: UserID,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        on: tuple[StoredEvent, ...] = (),
        after: EncodedEvent | None = None,
        key: SigningKey | None = None,
    ) -> EncodedEvent:
        """An event on top of others, or of the room's head, with the auth events of the state after the first.

        `after` is what it says to be built on instead.
        """
        below = on or (self.head(),)
        version = below[0].event.version
        wanted = auth_types_for(event_type, sender, state_key, content, version)

        def auth(tx: Transaction) -> list[EventID]:
            root = below[0].root or EMPTY_ROOT
            return [event.event_id for event in self.world.states.select(tx, self.room_id, root, wanted).values()]

        template = EventTemplate(
            room_id=self.room_id,
            type=event_type,
            sender=sender,
            content=content,
            state_key=state_key,
            prev_events=tuple((one.event.event_id, b"") for one in (below if after is None else (after,))),
            auth_events=tuple((event_id, b"") for event_id in self.world.sync_database.read(auth)),
            depth=max(stored.event.depth for stored in below) + 1,
            origin_server_ts=self.world.clock.now_ms(),
        )
        server = ServerName(sender.partition(":")[2])
        return build_event(template, version, server, key or self.world.key)

    def state_ids(self, tx: Transaction, root: bytes | None) -> list[EventID]:
        """The events of a whole state."""
        return [one.event.event_id for one in self.world.states.whole(tx, self.room_id, root or EMPTY_ROOT)]

    def head(self) -> StoredEvent:
        """The newest event."""

        def read(tx: Transaction) -> StoredEvent:
            head = find_head(tx, self.room_id)
            assert head is not None
            found = find_event(tx, head.heads[-1])
            assert found is not None
            return found

        return self.world.sync_database.read(read)

    def put(
        self,
        encoded: EncodedEvent,
        root_before: bytes | None = None,
        *,
        verdict: Verdict = Verdict.ACCEPTED,
        form: Form = Form.FULL,
    ) -> StoredEvent:
        """Give an event a place, unjudged; in the state after what it is built on, or in the one named."""

        def write(tx: Transaction) -> None:
            room = self.world.writer.open(tx, self.room_id)
            assert room is not None
            root = room.states.merged(encoded.event.prev_event_ids) if root_before is None else root_before
            room.place(encoded, form, verdict, root, None if verdict is Verdict.ACCEPTED else "as the test wants it")
            room.finish()

        self.world.sync_database.write(write)
        return self.stored(encoded)

    def put_alone(self, encoded: EncodedEvent) -> None:
        """Keep an event without the graph around it, unjudged."""

        def write(tx: Transaction) -> None:
            room = self.world.writer.open(tx, self.room_id)
            assert room is not None
            room.place_outlier(encoded, Form.FULL, Verdict.ACCEPTED, None)
            room.finish()

        self.world.sync_database.write(write)

    def stored(self, encoded: EncodedEvent) -> StoredEvent:
        """An event as it is kept."""
        stored = self.world.sync_database.read(find_event, encoded.event.event_id)
        assert stored is not None
        return stored

    def fault(self) -> str | None:
        """What an audit finds."""
        found = audited(self.world, self.room_id).fault
        return None if found is None else str(found)


@pytest.fixture
def forge(world: World) -> Forge:
    return Forge(world)


def said(text: str) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": text}


def test_an_event_that_the_rules_refuse_is_found_although_its_hash_and_signature_are_right(forge: Forge) -> None:
    taken = forge.built(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")

    forge.put(taken)

    assert forge.fault() == (
        f"{taken.event.event_id}: its auth events do not allow it: "
        "the sender's power level is too low for this type of event"
    )


def test_an_event_that_only_its_auth_events_allow_is_found(forge: Forge) -> None:
    joined = forge.head()
    now(forge.world.membership.kick(ALICE, forge.room_id, BOB, None))
    after = forge.head()
    early = forge.built(BOB, "m.room.message", said("still here"), on=(joined,)).event
    template = EventTemplate(
        room_id=forge.room_id,
        type=early.type,
        sender=BOB,
        content=early.content,
        prev_events=((after.event.event_id, b""),),
        auth_events=tuple((event_id, b"") for event_id in early.auth_event_ids),
        depth=after.event.depth + 1,
        origin_server_ts=1,
    )
    late = build_event(template, early.version, SERVER, forge.world.key)

    forge.put(late)

    reason = "the state before it does not allow it: the sender is not in the room"
    assert forge.fault() == f"{late.event.event_id}: {reason}"


def test_a_rejected_event_is_sound_while_the_rules_refuse_it(forge: Forge) -> None:
    taken = forge.built(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    forge.put(taken, verdict=Verdict.REJECTED)

    forge.world.send(ALICE, forge.room_id)

    assert forge.fault() is None


def test_an_event_that_was_rejected_for_no_reason_is_found(forge: Forge) -> None:
    taken = forge.put(forge.built(BOB, "m.room.message", said("hello")), verdict=Verdict.REJECTED)

    assert forge.fault() == f"{taken.event.event_id}: it is said to be rejected, and the rules allow it"


def test_a_soft_failed_event_is_sound_and_no_head(forge: Forge) -> None:
    before = forge.head()
    forge.world.send(ALICE, forge.room_id)
    late = forge.built(BOB, "m.room.message", said("from the past"), on=(before,))
    forge.put(late, verdict=Verdict.SOFT_FAILED)

    forge.world.send(ALICE, forge.room_id)

    assert forge.fault() is None


def test_events_of_another_server_are_verified_where_its_key_is_known(forge: Forge) -> None:
    mallory = UserID("@mallory:elsewhere.example")
    forge.put(forge.built(mallory, "m.room.member", {"membership": "join"}, mallory, key=OTHER_KEY))

    class BothKeys(OwnKeys):
        def of_server(self, tx: Transaction, server_name: ServerName) -> tuple[VerifyKey, ...]:
            known = tuple(super().of_server(tx, server_name))
            return known or (OTHER_KEY.verify_key,)

    alone = audited(forge.world, forge.room_id)
    both = audited(forge.world, forge.room_id, BothKeys(SERVER, forge.world.key))

    assert (alone.fault, alone.counts.unverified) == (None, 1)
    assert (both.fault, both.counts.unverified) == (None, 0)
    wrong = SigningKey("other", bytes(32))
    forge.put(forge.built(mallory, "m.room.message", said("x"), key=wrong))
    assert "its signature of elsewhere.example is wrong" in str(
        audited(forge.world, forge.room_id, BothKeys(SERVER, forge.world.key)).fault
    )


def test_an_event_that_came_with_a_wrong_hash_is_sound_as_long_as_it_is_redacted(forge: Forge) -> None:
    sent = forge.built(BOB, "m.room.message", said("what was signed"))
    redacted = redact(sent.event.pdu, sent.event.version)
    kept = EncodedEvent(replace(sent.event, pdu=redacted, content={}), encode_for(sent.event.version, redacted))
    stored = forge.put(kept, form=Form.WRONG_HASH)
    assert forge.fault() is None

    replace_pdu(forge.world, stored, encode_for(sent.event.version, {**sent.event.pdu, "content": said("other")}))

    assert "it is said to be redacted, and has more than a redaction leaves" in str(forge.fault())


def test_a_redacted_event_explains_refusals_that_follow_from_what_is_gone(forge: Forge) -> None:
    """Before version 11 the level to invite goes with the redaction of power levels."""
    world = forge.world
    levels = {**event_of(world, forge.room_id, "m.room.power_levels").event.content, "invite": 100}
    levels_id = now(world.sending.set_state(ALICE, forge.room_id, "m.room.power_levels", "", {**levels, "invite": 0}))
    now(world.membership.invite(BOB, forge.room_id, CAROL, None))
    assert forge.fault() is None

    now(world.sending.redact(ALICE, forge.room_id, levels_id, {}, None))

    assert forge.fault() is None


def test_an_event_whose_redaction_was_undone_is_found(forge: Forge) -> None:
    world = forge.world
    event_id = world.send(BOB, forge.room_id, "to be gone")
    stored = event_of(world, forge.room_id, "m.room.message")
    pdu = pdu_of(world, event_id)
    redaction = now(world.sending.redact(BOB, forge.room_id, event_id, {}, None))
    assert forge.fault() is None

    replace_pdu(world, stored, pdu)
    assert forge.fault() == f"{event_id}: it is said to be redacted, and has more than a redaction leaves"

    run(world, "UPDATE events SET form = 0, redacted_by = NULL WHERE event_id = :event_id", event_id=event_id)
    assert forge.fault() == f"{redaction}: it redacts {event_id}, which is kept whole"


def test_an_event_that_was_redacted_by_one_that_may_not_is_found(forge: Forge) -> None:
    world = forge.world
    target = forge.put(forge.built(ALICE, "m.room.message", said("mine")))
    mallory = UserID("@mallory:elsewhere.example")
    forge.put(forge.built(mallory, "m.room.member", {"membership": "join"}, mallory, key=OTHER_KEY))
    template = forge.built(mallory, "m.room.redaction", {}, key=OTHER_KEY).event
    redaction = build_event(
        EventTemplate(
            room_id=forge.room_id,
            type="m.room.redaction",
            sender=mallory,
            content={},
            redacts=target.event.event_id,
            prev_events=tuple((event_id, b"") for event_id in template.prev_event_ids),
            auth_events=tuple((event_id, b"") for event_id in template.auth_event_ids),
            depth=template.depth,
            origin_server_ts=1,
        ),
        template.version,
        ServerName("elsewhere.example"),
        OTHER_KEY,
    )
    forge.put(redaction)
    assert forge.fault() is None

    replace_pdu(world, target, encode_for(template.version, redact(target.event.pdu, template.version)))
    run(
        world,
        "UPDATE events SET form = 1, redacted_by = :by WHERE event_id = :event_id",
        by=redaction.event.event_id,
        event_id=target.event.event_id,
    )

    assert str(forge.fault()).endswith("which does not redact it")


def test_a_state_that_was_given_is_believed_and_one_that_only_stands_there_is_not(forge: Forge) -> None:
    world = forge.world
    known = forge.head()
    lost = forge.built(ALICE, "m.room.message", said("nobody brings this"))
    after = forge.built(ALICE, "m.room.topic", {"topic": "after the gap"}, "", after=lost)
    state = GivenState(tuple(world.sync_database.read(forge.state_ids, known.root)), ELSEWHERE)
    now(world.intake.take_at_gap(forge.room_id, known.event.version, Received(after, Form.FULL), state))
    assert forge.fault() is None

    def damage(**columns: Any) -> str | None:
        (column,) = columns
        kept = getattr(forge.stored(after), column)
        sql = f"UPDATE events SET {column} = :value WHERE event_id = :event_id"
        run(world, sql, value=columns[column], event_id=after.event.event_id)
        found = forge.fault()
        run(world, sql, value=kept, event_id=after.event.event_id)
        return found

    found = damage(root_before=EMPTY_ROOT)
    assert found == f"{after.event.event_id}: the state after it is not the one before with the event in it"
    found = damage(root_given_by=None)
    assert (
        found
        == f"{after.event.event_id}: the state before it is nobody's word, and it lacks some of what it is built on"
    )
    run(world, "DELETE FROM event_gaps")
    assert forge.fault() == (
        f"{after.event.event_id}: what it is built on, {lost.event.event_id}, is not here, and not noted as missing"
    )


def test_a_state_is_said_to_be_given_only_where_something_was_missing(forge: Forge) -> None:
    message = forge.world.send(ALICE, forge.room_id)

    run(forge.world, "UPDATE events SET root_given_by = 'elsewhere.example' WHERE event_id = :id", id=message)

    assert forge.fault() == (
        f"{message}: the state before it is said to be given by elsewhere.example, and it lacked nothing"
    )


def test_outliers_are_audited_too(forge: Forge) -> None:
    lone = forge.built(BOB, "org.example.lone", {}, "")
    taken = forge.built(BOB, "m.room.message", said("hello"))

    forge.put_alone(taken)
    assert forge.fault() is None

    forge.put_alone(lone)
    assert f"{lone.event.event_id}: its auth events do not allow it" in str(forge.fault())


def forked(forge: Forge) -> tuple[StoredEvent, StoredEvent]:
    """Two heads that set the same topic; the later one wins."""
    levels = {"users": {ALICE: 100, BOB: 50}, "state_default": 50}
    now(forge.world.sending.set_state(ALICE, forge.room_id, "m.room.power_levels", "", levels))
    hers = forge.built(ALICE, "m.room.topic", {"topic": "hers"}, "")
    forge.world.clock.advance(60)
    his = forge.built(BOB, "m.room.topic", {"topic": "his"}, "")
    return forge.put(hers), forge.put(his)


def test_the_current_state_is_what_those_of_the_heads_make_together(forge: Forge) -> None:
    first, _ = forked(forge)
    assert forge.fault() is None

    run(forge.world, "UPDATE rooms SET current_root = :root WHERE room_id = :room", root=first.root, room=forge.room_id)

    assert forge.fault() == "the current state: it is not the one after the room's last events"


def test_states_are_merged_where_the_graph_comes_together(forge: Forge) -> None:
    first, second = forked(forge)
    joining = forge.put(forge.built(ALICE, "m.room.message", said("together"), on=(second, first))).event.event_id
    assert forge.fault() is None

    run(forge.world, "UPDATE events SET root_before = :root WHERE event_id = :id", root=first.root, id=joining)

    assert forge.fault() == f"{joining}: the state before it is not the one after what it is built on"


def test_the_log_of_states_is_compared_with_the_heads_of_each_time(forge: Forge) -> None:
    first, second = forked(forge)
    forge.put(forge.built(ALICE, "m.room.message", said("together"), on=(second, first)))
    sql = "UPDATE room_roots SET root = :root WHERE log_position = :position"

    run(forge.world, sql, root=second.root_before, position=second.log_position)

    assert forge.fault() == f"{second.event.event_id}: room_roots has another state at its position"


# --- Rooms of several servers ---


@settings(max_examples=examples(20))
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_a_room_is_sound_in_whatever_order_its_events_come(room: ForkedRoom, random: Random) -> None:
    create, *others = room.events
    random.shuffle(others)
    with TemporaryDirectory() as folder:
        world = fresh_server(Path(folder), "server")
        try:
            poured = PouredRoom(world, room)
            poured.pour([create])
            for some in (others[: len(others) // 2], others[len(others) // 2 :]):
                poured.pour_in_parts(some, random)

                audit = audited(world, room.room_id, KeysOfAll())

                assert (audit.fault, audit.counts.unverified) == (None, 0)
        finally:
            world.close()


@settings(max_examples=examples(20))
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_a_room_of_which_only_parts_came_is_sound(room: ForkedRoom, random: Random) -> None:
    with TemporaryDirectory() as folder:
        world = fresh_server(Path(folder), "server")
        try:
            partial = PartialRoom(world, room)
            partial.begin(random)
            for _ in range(8):
                partial.step(random)

                audit = audited(world, room.room_id, KeysOfAll())

                assert (audit.fault, audit.counts.unverified) == (None, 0)
        finally:
            world.close()


@pytest.mark.parametrize("version", ["1", "12"])
def test_a_room_in_which_everything_happened_is_sound(world: World, version: str) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS[version])

    audit = audited(world, room.room_id, KeysOfAll())

    assert (audit.fault, audit.counts.unverified) == (None, 0)
    assert world.sync_database.read(empty_tables) == []


def empty_tables(tx: Transaction) -> list[str]:
    """Those of the tables that an audit goes through in which there is nothing."""
    return [table for table in OF_ROOMS if tx.one(f"SELECT 1 FROM {table}") is None]


def test_no_damage_passes_unnoticed(world: World) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS["10"])
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, Random(1))))

    damages = sampled(damages, Random(1))
    if world.sync_database.read(lambda tx: tx.dialect.name) == "postgresql":
        damages = one_of_each_table(damages, Random(1))
    unnoticed = unnoticed_of(world, room, damages)

    assert [str(damage) for damage in unnoticed if not any(blind.excuses(damage) for blind in BLIND)] == []


@pytest.mark.large
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_no_damage_whatever_passes_unnoticed(world: World, version: str, large_run: LargeRun) -> None:
    random = Random(f"{large_run.seed}/{version}")
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    damages = world.sync_database.read(lambda tx: list(damages_of(tx, room.room_id, random)))
    if not large_run.whole:
        damages = sampled(damages, random)
        if world.sync_database.read(lambda tx: tx.dialect.name) == "postgresql":
            damages = random.sample(damages, len(damages) // 8)  # each costs many rounds to the other process

    unnoticed = unnoticed_of(world, room, damages)

    assert [str(damage) for damage in unnoticed if not any(blind.excuses(damage) for blind in BLIND)] == []


def unnoticed_of(world: World, room: DamageableRoom, damages: Iterable[Damage]) -> list[Damage]:
    """Those of the damages of which an audit says nothing, not even that a key is not known. All are undone."""
    unnoticed: list[Damage] = []
    for damage in damages:
        audit = audit_of_damaged(world, room.room_id, KeysOfAll(), damage.apply)
        if audit is not None and audit.fault is None and audit.counts.unverified == 0:
            unnoticed.append(damage)
    return unnoticed


class KeysOfAllAndOwn(KeysOfAll):
    """The keys of all servers, this one among them."""

    def of_server(self, tx: Transaction, server_name: ServerName) -> tuple[VerifyKey, ...]:
        """See KnownKeys."""
        return (
            (SigningKey("test", bytes(32)).verify_key,) if server_name == SERVER else super().of_server(tx, server_name)
        )


def test_what_was_known_of_a_room_from_outside_is_no_fault(world: World) -> None:
    keys = KeysOfAllAndOwn()
    world.sync_database.write(insert_account, Account(ALICE, AccountKind.USER, 0))
    scene = Scene(join_rule="invite")
    room_id = world.others.open(scene, ONE)
    for is_known in (False, True):  # the second time, the room is known
        scene.last = scene.member(ALICE, "invite", sender=REMOTE_ALICE, after=[scene.last])
        receive(world, scene, scene.last)
        now(world.anywhere.leave(ALICE, room_id, None))
        scene.last = scene.member(ALICE, "invite", sender=REMOTE_ALICE, after=[scene.last])
        receive(world, scene, scene.last)
        if is_known:
            assert audited(world, room_id, keys).fault is None
        now(world.anywhere.join(ALICE, room_id, None))
        assert audited(world, room_id, keys).fault is None
        now(world.anywhere.leave(ALICE, room_id, None))
        scene.last = scene.member(ALICE, "leave", sender=REMOTE_ALICE, after=[scene.last])
        assert audited(world, room_id, keys).fault is None
