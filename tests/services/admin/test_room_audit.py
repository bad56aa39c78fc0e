"""A sound room has no fault; of a damaged one the audit says what is wrong, whatever was damaged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from homeserver.core import state_map
from homeserver.core.auth_selection import auth_types_for
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.services.admin.room_audit import Fault, KnownKeys, OwnKeys, RoomAudit
from homeserver.services.errors import NotFound
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, find_event, insert_event
from homeserver.storage.rooms import PLACE_STEP, find_head, insert_root, swap_head
from homeserver.storage.state_nodes import store_nodes
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

OTHER_KEY = SigningKey("other", bytes(range(32)))


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

    for at in range(0, len(pdu), 37):
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
        "nothing is built on",
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
        "UPDATE events SET verdict = 2 WHERE type = 'm.room.topic'",
    ),
    "a message that is said to be rejected": (
        "it is said to be rejected, and the rules allow it",
        "UPDATE events SET verdict = 2 WHERE place = (SELECT MAX(place) FROM events)",
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
        "nothing is built on",
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
    "another head": ("its heads are ['$nothing']", "UPDATE rooms SET heads = CAST('[\"$nothing\"]' AS BYTES)"),
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


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_damaged_is_named(world: World, name: str) -> None:
    expected, sql = DAMAGES[name]
    room_id = lively_room(world, "10")
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "other news"}))
    world.send(ALICE, room_id, "very last")
    assert audited(world, room_id).fault is None

    is_sqlite = world.sync_database.dialect.name == "sqlite"
    run(world, sql.replace("BYTES", "BLOB" if is_sqlite else "BYTEA"))

    assert expected in str(fault(world, room_id))


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
        key: SigningKey | None = None,
    ) -> EncodedEvent:
        """An event on top of others, or of the room's head, with the auth events of the state after the first."""
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
            prev_events=tuple((stored.event.event_id, b"") for stored in below),
            auth_events=tuple((event_id, b"") for event_id in self.world.sync_database.read(auth)),
            depth=max(stored.event.depth for stored in below) + 1,
            origin_server_ts=self.world.clock.now_ms(),
        )
        server = ServerName(sender.partition(":")[2])
        return build_event(template, version, server, key or self.world.key)

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
        root_before: bytes | None,
        *,
        verdict: Verdict = Verdict.ACCEPTED,
        form: Form = Form.FULL,
        current_root: bytes | None = None,
        heads: tuple[EventID, ...] | None = None,
        is_outlier: bool = False,
    ) -> StoredEvent:
        """Store an event as it is. The room's heads and state are those given, or what follows from the event."""
        stored: list[StoredEvent] = []
        head_event = self.head()

        def write(tx: Transaction) -> None:
            tx.at_position(("events", "room_roots"), at)

        def at(tx: Transaction, position: int) -> None:
            head = find_head(tx, self.room_id)
            assert head is not None
            event = encoded.event
            replaced, root_after = None, None
            if event.state_key is not None and root_before is not None and verdict is not Verdict.REJECTED:
                key = (event.type, event.state_key)
                states = self.world.states
                change = {key: event.event_id}
                update = states.with_nodes(tx, self.room_id, lambda nodes: state_map.update(nodes, root_before, change))
                replaced = states.event_id(tx, self.room_id, root_before, *key)
                store_nodes(tx, self.room_id, update.new_nodes)
                root_after = update.root
            one = replace(
                head_event,
                nid=EventNid(tx.next_ids("event_nid")),
                event=event,
                log_position=None if is_outlier else position,
                place=None if is_outlier else head.last_place + PLACE_STEP,
                verdict=verdict,
                form=form,
                redacted_by=None,
                replaces_state=replaced,
                thread_id=None,
                transaction=None,
                root_before=root_before,
                root_after=root_after,
            )
            insert_event(tx, one, encoded.pdu_json)
            stored.append(one)
            if is_outlier:
                return
            new_heads = heads or (head.heads if verdict else (event.event_id,))
            new_root = current_root or (head.current_root if verdict else (one.root or head.current_root))
            moved = replace(
                head,
                heads=new_heads,
                current_root=new_root,
                last_place=one.place or 0,
                depth=head.depth if verdict is Verdict.REJECTED else max(head.depth, event.depth),
            )
            swap_head(tx, moved)
            if new_root != head.current_root:
                insert_root(tx, self.room_id, log_position=position, root=new_root, written_ms=1)

        self.world.sync_database.write(write)
        return stored[-1]

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
    before = forge.head()
    taken = forge.built(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")

    forge.put(taken, before.root)

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

    forge.put(late, after.root)

    reason = "the state before it does not allow it: the sender is not in the room"
    assert forge.fault() == f"{late.event.event_id}: {reason}"


def test_a_rejected_event_is_sound_while_the_rules_refuse_it(forge: Forge) -> None:
    before = forge.head()
    taken = forge.built(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    forge.put(taken, before.root, verdict=Verdict.REJECTED)

    forge.world.send(ALICE, forge.room_id)

    assert forge.fault() is None


def test_a_soft_failed_event_is_sound_and_no_head(forge: Forge) -> None:
    before = forge.head()
    forge.world.send(ALICE, forge.room_id)
    late = forge.built(BOB, "m.room.message", said("from the past"), on=(before,))
    forge.put(late, before.root, verdict=Verdict.SOFT_FAILED)

    forge.world.send(ALICE, forge.room_id)

    assert forge.fault() is None


def test_events_of_another_server_are_verified_where_its_key_is_known(forge: Forge) -> None:
    mallory = UserID("@mallory:elsewhere.example")
    before = forge.head()
    forge.put(forge.built(mallory, "m.room.member", {"membership": "join"}, mallory, key=OTHER_KEY), before.root)
    add_member_row(forge, mallory)

    class BothKeys(OwnKeys):
        def of_server(self, tx: Transaction, server_name: ServerName) -> tuple[VerifyKey, ...]:
            known = tuple(super().of_server(tx, server_name))
            return known or (OTHER_KEY.verify_key,)

    alone = audited(forge.world, forge.room_id)
    both = audited(forge.world, forge.room_id, BothKeys(SERVER, forge.world.key))

    assert (alone.fault, alone.counts.unverified) == (None, 1)
    assert (both.fault, both.counts.unverified) == (None, 0)
    wrong = SigningKey("other", bytes(32))
    forge.put(forge.built(mallory, "m.room.message", said("x"), key=wrong), forge.head().root)
    assert "its signature of elsewhere.example is wrong" in str(
        audited(forge.world, forge.room_id, BothKeys(SERVER, forge.world.key)).fault
    )


def add_member_row(forge: Forge, user_id: UserID) -> None:
    head = forge.head()
    run(
        forge.world,
        "INSERT INTO memberships (room_id, user_id, membership, event_id, sender, place, log_position, is_local,"
        " is_forgotten) VALUES (:room, :user_id, 'join', :event, :user_id, :place, :position, :no, :no)",
        room=forge.room_id,
        user_id=user_id,
        event=head.event.event_id,
        place=head.place,
        position=head.log_position,
        no=False,
    )


def test_an_event_that_came_with_a_wrong_hash_is_sound_as_long_as_it_is_redacted(forge: Forge) -> None:
    before = forge.head()
    sent = forge.built(BOB, "m.room.message", said("what was signed"))
    redacted = redact(sent.event.pdu, sent.event.version)
    kept = EncodedEvent(replace(sent.event, pdu=redacted, content={}), encode_for(sent.event.version, redacted))
    stored = forge.put(kept, before.root, form=Form.WRONG_HASH)
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
    target = forge.put(forge.built(ALICE, "m.room.message", said("mine")), forge.head().root)
    mallory = UserID("@mallory:elsewhere.example")
    forge.put(forge.built(mallory, "m.room.member", {"membership": "join"}, mallory, key=OTHER_KEY), forge.head().root)
    add_member_row(forge, mallory)
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
    forge.put(redaction, forge.head().root)
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
    before_the_gap = forge.head()
    world.send(ALICE, forge.room_id)
    lost = event_of(world, forge.room_id, "m.room.message")
    now(world.sending.set_state(ALICE, forge.room_id, "m.room.topic", "", {"topic": "after the gap"}))
    run(world, "DELETE FROM events WHERE event_id = :event_id", event_id=lost.event.event_id)
    assert "is not here" in str(forge.fault())

    after = event_of(world, forge.room_id, "m.room.topic").event.event_id
    run(world, "UPDATE events SET root_given_by = 'elsewhere.example' WHERE event_id = :event_id", event_id=after)
    heads = orjson.dumps([before_the_gap.event.event_id, after])
    run(world, "UPDATE rooms SET heads = :heads WHERE room_id = :room", heads=heads, room=forge.room_id)

    assert forge.fault() is None
    run(world, "UPDATE events SET root_before = :root WHERE event_id = :event_id", root=EMPTY_ROOT, event_id=after)
    assert "the state after it is not the one before with the event in it" in str(forge.fault())


def test_outliers_are_audited_too(forge: Forge) -> None:
    lone = forge.built(BOB, "org.example.lone", {}, "")
    taken = forge.built(BOB, "m.room.message", said("hello"))

    forge.put(taken, None, is_outlier=True)
    assert forge.fault() is None

    forge.put(lone, None, is_outlier=True)
    assert f"{lone.event.event_id}: its auth events do not allow it" in str(forge.fault())


def forked(forge: Forge) -> tuple[StoredEvent, StoredEvent]:
    """Two heads that set the same topic; the later one wins."""
    levels = {"users": {ALICE: 100, BOB: 50}, "state_default": 50}
    now(forge.world.sending.set_state(ALICE, forge.room_id, "m.room.power_levels", "", levels))
    before = forge.head()
    hers = forge.built(ALICE, "m.room.topic", {"topic": "hers"}, "")
    forge.world.clock.advance(60)
    his = forge.built(BOB, "m.room.topic", {"topic": "his"}, "")
    first = forge.put(hers, before.root)
    second = forge.put(his, before.root, heads=(hers.event.event_id, his.event.event_id))
    return first, second


def test_the_current_state_is_what_those_of_the_heads_make_together(forge: Forge) -> None:
    first, _ = forked(forge)
    assert forge.fault() is None

    run(forge.world, "UPDATE rooms SET current_root = :root WHERE room_id = :room", root=first.root, room=forge.room_id)

    assert forge.fault() == "the current state: it is not the one after the room's last events"


def test_states_are_merged_where_the_graph_comes_together(forge: Forge) -> None:
    first, second = forked(forge)
    together = forge.built(ALICE, "m.room.message", said("together"), on=(second, first))
    joining = forge.put(together, second.root).event.event_id
    assert forge.fault() is None

    run(forge.world, "UPDATE events SET root_before = :root WHERE event_id = :id", root=first.root, id=joining)

    assert forge.fault() == f"{joining}: the state before it is not the one after what it is built on"
