"""Attacks on events, state and the graph of rooms that broke other servers, each in the form in which it came.

What resolution itself withstands is in tests/core/test_state_resolution_attacks.py, what is refused before an event
meets its room in tests/services/events/test_receipt.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

import homeserver
from homeserver.core.event import Event
from homeserver.core.event_format import depth_limit
from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import ROOM_VERSIONS, V11, V12, RoomVersion
from homeserver.services.errors import NotFound
from homeserver.services.events.intake import EVENTS_PER_WRITE, MOST_WAITING, Outcome
from homeserver.services.events.judging import HEADS_LIMIT
from homeserver.services.events.receipt import Received
from homeserver.storage.events import Form, Verdict
from homeserver.storage.memberships import find_membership
from tests.core.rooms import VERSIONS, versions_where
from tests.hostile.stranger import EVIL, MALLORY, TRENT, Stranger, founded_by_stranger, receipt_of
from tests.postgres import Postgres
from tests.poured_rooms import fresh_server
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, SERVER, World, now, shown

# Any: JSON, throughout.

NAME: Final = ("m.room.name", "")
LEVELS: Final = ("m.room.power_levels", "")
GIVEN: Final = (Outcome.REJECTED, Outcome.DROPPED)
chosen_ids = versions_where("event_ids_are_hashes", holds=False)
EVERYDAY: Final = ("1", "6", "11", "12")  # whose graphs and rules differ most; the others in large runs
every_version = pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, id=f"v{version.name}", marks=[] if version.name in EVERYDAY else [pytest.mark.large])
        for version in VERSIONS
    ],
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server's services on a fresh database."""
    made = fresh_server(tmp_path, "homeserver")
    yield made
    made.close()


def public_room(world: World, version: RoomVersion, **wishes: Any) -> RoomID:
    """A room of Alice's with Bob in it, into which anybody may come."""
    room_id = world.create_room(ALICE, room_version=version.name, preset="public_chat", **wishes)
    world.join(BOB, room_id)
    return room_id


def invaded(world: World, version: RoomVersion, **wishes: Any) -> Stranger:
    """A room of Alice's that Mallory has joined."""
    return Stranger.in_room(world, public_room(world, version, **wishes))


def check_is_shown_to_nobody(world: World, event: Event, since: str) -> None:
    """Fail if any way to read a room shows its members the event."""
    room_id, event_id = event.room_id, event.event_id
    viewer = world.viewer(BOB)
    answers: list[Any] = [
        world.history(BOB, room_id),
        [shown(one) for one in now(world.timeline.state(viewer, room_id))],
        [
            shown(one)
            for one in now(world.timeline.members(viewer, room_id, at=None, membership=None, not_membership=None))
        ],
        sync(world, BOB),
        sync(world, BOB, since),
    ]
    for answer in answers:
        assert event_id.encode() not in orjson.dumps(answer)
    with pytest.raises(NotFound):
        now(world.timeline.event(viewer, room_id, event_id))
    with pytest.raises(NotFound):
        now(world.timeline.context(viewer, room_id, event_id, 10, RoomEventFilter()))


def check_is_alive(stranger: Stranger) -> None:
    """Fail unless people of both servers can still speak in the room, and hear each other."""
    world, room_id = stranger.world, stranger.room_id
    event_id = world.send(ALICE, room_id, "still here")
    answer = stranger.say("so am I")
    assert stranger.bring(answer) is Outcome.ACCEPTED
    assert {event["event_id"] for event in world.history(BOB, room_id, limit=2)} == {event_id, answer.event_id}


# --- What the rules refuse ---


@every_version
def test_an_event_that_its_auth_events_forbid_is_rejected_and_shown_to_nobody(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    before, since = stranger.state(), sync(world, BOB)["next_batch"]
    name = stranger.build("m.room.name", {"name": "mine"}, "")

    assert stranger.bring(name) is Outcome.REJECTED

    assert stranger.state() == before
    check_is_shown_to_nobody(world, name, since)
    check_is_alive(stranger)


@every_version
def test_an_event_without_the_power_levels_among_its_auth_events_is_rejected(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    before = stranger.state()
    auth = [before["m.room.member", MALLORY]]
    if not version.room_id_is_create_hash:
        auth.append(before["m.room.create", ""])
    # Where no power levels are, everybody may set state.
    name = stranger.build("m.room.name", {"name": "mine"}, "", auth=auth)

    assert stranger.bring(name) is Outcome.REJECTED

    assert stranger.state() == before


@every_version
def test_a_rejected_event_is_no_state_however_much_is_built_on_it(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    before, since = stranger.state(), sync(world, BOB)["next_batch"]
    takeover = stranger.build("m.room.power_levels", {"users": {MALLORY: 100}}, "")
    on_it = stranger.say(after=[takeover.event_id])
    auth = [event_id for key, event_id in before.items() if key in (("m.room.member", MALLORY), ("m.room.create", ""))]
    if version.room_id_is_create_hash:
        auth.remove(before["m.room.create", ""])
    by_its_power = stranger.build(
        "m.room.name", {"name": "mine"}, "", after=[on_it.event_id], auth=[*auth, takeover.event_id]
    )

    outcomes = stranger.bring_all([takeover, on_it, by_its_power])

    assert outcomes == {
        takeover.event_id: Outcome.REJECTED,
        on_it.event_id: Outcome.ACCEPTED,
        by_its_power.event_id: Outcome.REJECTED,
    }
    assert stranger.state() == before
    for rejected in (takeover, by_its_power):
        check_is_shown_to_nobody(world, rejected, since)
    check_is_alive(stranger)


@every_version
def test_an_event_that_lists_a_rejected_one_is_rejected_though_the_state_would_have_it(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    state = stranger.state()
    forged = stranger.build("m.room.power_levels", {"users": {MALLORY: 100}}, "")
    auth = [state["m.room.member", MALLORY], forged.event_id]
    if not version.room_id_is_create_hash:
        auth.append(state["m.room.create", ""])
    harmless = stranger.say(auth=auth)

    assert stranger.bring(forged) is Outcome.REJECTED
    assert stranger.bring(harmless) is Outcome.REJECTED


LEVELS_OF_GARBAGE: Final[tuple[dict[str, Any], ...]] = (
    {"users": {TRENT: 1.5}},
    {"users": {TRENT: True}},
    {"users": {TRENT: None}},
    {"users": {TRENT: [100]}},
    {"users": {TRENT: " +1_0 "}},
    {"users": {TRENT: "1e9"}},
    {"users": {"": 0, "trent": 1}},
    {"users": [MALLORY]},
    {"users": None},
    {"events": "everything"},
    {"events": {"m.room.name": {}}},
    {"notifications": {"room": []}},
    {"users_default": "0x10"},
    {"users_default": {}},
    {"ban": [], "kick": "", "redact": None},
    {"state_default": "-0"},
    {"events_default": -(2**53) + 1},
)


@every_version
def test_no_garbage_in_power_levels_makes_a_room_unusable(version: RoomVersion, world: World) -> None:
    creator = {} if version.privileged_creators else {ALICE: 100}
    stranger = invaded(world, version, power_levels={"users": {**creator, MALLORY: 100}})
    for content in LEVELS_OF_GARBAGE:
        if version.strict_canonical_json and "1.5" in str(content):
            continue  # no event of this room version can hold it
        current = stranger.stored(stranger.state()[LEVELS]).event.content
        whole = {**current, **content}
        if isinstance(content.get("users"), dict):
            whole["users"] = {**current["users"], **content["users"]}

        outcome = stranger.bring(stranger.build("m.room.power_levels", whole, ""))

        assert outcome is Outcome.REJECTED or not version.integer_power_levels or "events_default" in content, content
        now(world.sending.set_state(ALICE, stranger.room_id, "m.room.name", "", {"name": str(content)}))
        check_is_alive(stranger)


# --- Other rooms ---


@every_version
def test_an_event_that_events_of_another_room_authorise_is_rejected(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    theirs, _, _ = founded_by_stranger(world, version)
    assert theirs.bring(theirs.member(TRENT, "invite", sender=MALLORY)) is Outcome.ACCEPTED
    power = [event_id for key, event_id in theirs.state().items() if key == ("m.room.member", MALLORY)]
    if not version.room_id_is_create_hash:
        power.append(theirs.state()["m.room.create", ""])
    before, since = stranger.state(), sync(world, BOB)["next_batch"]
    own = stranger.say().auth_event_ids
    claims = [
        stranger.build("m.room.name", {"name": "mine"}, "", auth=power),
        stranger.say(auth=power),
        # What is said of Trent there has no say here, though all the others are of this room.
        stranger.member(TRENT, "join", auth=[*own[:-1], theirs.state()["m.room.member", TRENT]]),
    ]

    for claim in claims:
        assert stranger.bring_outliers(claim) == {claim.event_id: Outcome.REJECTED}
        assert stranger.bring(claim) is Outcome.REJECTED

        assert stranger.state() == before
        check_is_shown_to_nobody(world, claim, since)
    check_is_alive(stranger)


@every_version
def test_an_event_that_is_built_on_another_room_is_not_kept(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    message = stranger.say()
    assert stranger.bring(message) is Outcome.ACCEPTED
    now(world.membership.ban(ALICE, stranger.room_id, MALLORY, None))
    theirs, _, _ = founded_by_stranger(world, version)
    heads, state = stranger.head, stranger.state()
    assert theirs.head is not None
    # There she is in the room, and not banned.
    evasion = stranger.say(after=theirs.head.heads, auth=message.auth_event_ids)
    both = stranger.say(after=[*theirs.head.heads, *(heads.heads if heads else ())], auth=message.auth_event_ids)

    assert stranger.bring(evasion) is Outcome.DROPPED
    assert stranger.bring(both) is Outcome.DROPPED
    assert stranger.bring_at_gap(evasion) is Outcome.DROPPED

    assert stranger.head == heads
    assert stranger.state() == state
    assert stranger.find_stored(evasion.event_id) is None
    world.send(ALICE, stranger.room_id, "still here")


@every_version
def test_an_event_of_another_room_than_it_is_brought_for_is_not_kept(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    other = Stranger.in_room(world, public_room(world, version))
    message = other.say()

    assert stranger.bring(message) is Outcome.DROPPED
    assert stranger.bring_outliers(message) == {message.event_id: Outcome.DROPPED}
    assert stranger.bring_at_gap(message) is Outcome.DROPPED

    assert stranger.find_stored(message.event_id) is None


@every_version
def test_nothing_is_redacted_from_another_room(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    theirs, _, _ = founded_by_stranger(world, version)
    target = world.send(ALICE, stranger.room_id, "precious")
    redaction = theirs.redact(target)

    theirs.bring(redaction)

    assert stranger.stored(target).form is Form.FULL


# --- States that are reset ---


@every_version
def test_a_given_state_that_is_a_part_of_the_true_one_takes_nothing_from_the_room(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    whole = stranger.state()
    unknown = stranger.say()  # which nobody will ever see
    parts = [{key: event_id for key, event_id in whole.items() if key != left_out} for left_out in whole]
    parts.append({key: event_id for key, event_id in whole.items() if key[0] in ("m.room.create", "m.room.member")})
    for part in parts:
        message = stranger.say(str(part), after=[unknown.event_id])

        stranger.bring_at_gap(message, part.values())

        assert stranger.state() == whole
    check_is_alive(stranger)


@every_version
@pytest.mark.parametrize("is_late", [False, True])
def test_a_state_that_was_given_wrongly_does_not_come_into_force_when_the_gap_closes(
    version: RoomVersion, world: World, is_late: bool
) -> None:
    stranger = invaded(world, version)
    assert stranger.bring(stranger.member(TRENT, "join")) is Outcome.ACCEPTED
    free = stranger.state()
    now(world.membership.ban(ALICE, stranger.room_id, TRENT, None))
    banned = stranger.state()
    missing = stranger.say("missing")  # on top of the ban
    claim = stranger.say("claim", after=[missing.event_id])

    assert stranger.bring_at_gap(claim, free.values()) is Outcome.ACCEPTED
    if is_late:
        assert stranger.bring(stranger.say("on top", after=[claim.event_id])) is Outcome.ACCEPTED
    assert stranger.bring(missing) is Outcome.ACCEPTED

    assert stranger.state() == banned
    check_is_alive(stranger)
    assert stranger.state() == banned


@every_version
def test_a_demoted_admin_gets_no_power_back_by_building_on_the_past(version: RoomVersion, world: World) -> None:
    creator = {} if version.privileged_creators else {ALICE: 100}
    stranger = invaded(world, version, power_levels={"users": {**creator, MALLORY: 99}})
    past = stranger.head
    assert past is not None
    state = stranger.state()
    auth = [state[key] for key in (LEVELS, ("m.room.member", MALLORY))]
    if not version.room_id_is_create_hash:
        auth.append(state["m.room.create", ""])
    content = {**stranger.stored(state[LEVELS]).event.content, "users": creator}
    now(world.sending.set_state(ALICE, stranger.room_id, *LEVELS, content))
    honest, since = stranger.state(), sync(world, BOB)["next_batch"]
    revolt = {**content, "users": {**creator, TRENT: 99, MALLORY: 99}}
    claims = [
        stranger.build("m.room.power_levels", revolt, "", after=past.heads, auth=auth),
        stranger.build("m.room.power_levels", revolt, "", after=past.heads, auth=auth, depth=depth_limit(version)),
        stranger.build("m.room.member", {"membership": "ban"}, ALICE, after=past.heads, auth=auth),
        stranger.build("m.room.name", {"name": "mine"}, "", after=past.heads, auth=auth),
    ]

    for claim in claims:
        outcome = stranger.bring(claim)
        # A message of hers that is built on both, as though her server had known no better.
        stranger.bring(stranger.say(after=[claim.event_id, *(stranger.head.heads if stranger.head else ())]))

        assert outcome in (Outcome.SOFT_FAILED, Outcome.REJECTED)
        if version is not ROOM_VERSIONS["1"]:  # whose resolution believes in depth
            assert stranger.state() == honest
            check_is_shown_to_nobody(world, claim, since)
            check_is_alive(stranger)


@every_version
def test_a_second_create_event_begins_nothing_in_a_room_that_has_begun(version: RoomVersion, world: World) -> None:
    theirs, create, _ = founded_by_stranger(world, version)
    before = theirs.state()
    content = {**create.content, "m.federate": False, "predecessor": {}}
    other = theirs.build("m.room.create", content, "", after=(), auth=(), depth=1)
    late = theirs.build("m.room.create", content, "", auth=()) if not version.room_id_is_create_hash else other

    for again in (other, late):
        assert theirs.bring(again) in GIVEN
        assert theirs.bring_outliers(again)[again.event_id] in GIVEN
        assert theirs.bring_at_gap(again) in GIVEN

    assert theirs.state() == before


# --- Soft failures ---


@every_version
def test_what_a_banned_user_says_from_before_the_ban_is_kept_and_shown_to_nobody(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    evasion = stranger.say("from before", depth=depth_limit(version))
    mine = stranger.member(MALLORY, "leave")
    now(world.membership.ban(ALICE, stranger.room_id, MALLORY, None))
    heads, before, since = stranger.head, stranger.state(), sync(world, BOB)["next_batch"]
    assert heads is not None

    assert stranger.bring(evasion) is Outcome.SOFT_FAILED
    assert stranger.bring(mine) is Outcome.SOFT_FAILED

    assert stranger.head is not None
    assert stranger.head.heads == heads.heads  # so nothing of this server's is built on them
    assert stranger.state() == before
    for event in (evasion, mine):
        check_is_shown_to_nobody(world, event, since)
        assert stranger.stored(event.event_id).verdict is Verdict.SOFT_FAILED  # for other servers that ask
        assert stranger.stored(event.event_id).event.pdu == event.pdu
    after = world.send(ALICE, stranger.room_id, "gone")
    assert stranger.stored(after).event.prev_event_ids == heads.heads
    assert stranger.stored(after).event.depth == heads.depth + 1


@every_version
def test_a_page_full_of_what_is_shown_to_nobody_does_not_end_the_history(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    event_id = world.send(ALICE, stranger.room_id, "before")
    evasions = [stranger.say(str(number)) for number in range(EVENTS_PER_WRITE)]
    refused = [stranger.build("m.room.name", {"name": str(number)}, "") for number in range(EVENTS_PER_WRITE)]
    now(world.membership.ban(ALICE, stranger.room_id, MALLORY, None))

    outcomes = stranger.bring_all([*evasions, *refused])

    assert set(outcomes.values()) == {Outcome.SOFT_FAILED, Outcome.REJECTED}
    assert event_id in [event["event_id"] for event in world.history(BOB, stranger.room_id, limit=2)]


# --- Memberships without consent ---


@every_version
def test_nobody_is_made_to_join_leave_or_knock(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    carol, dave = UserID(f"@carol:{SERVER}"), UserID(f"@dave:{EVIL}")
    before = stranger.state()
    third_party = {"membership": "invite", "third_party_invite": {"signed": {"mxid": carol, "token": "t"}}}
    claims: list[tuple[dict[str, Any], str]] = [
        ({"membership": "join"}, carol),
        ({"membership": "join", "join_authorised_via_users_server": MALLORY}, carol),
        ({"membership": "join"}, TRENT),
        ({"membership": "leave"}, ALICE),
        ({"membership": "leave"}, BOB),
        ({"membership": "ban"}, BOB),
        ({"membership": "knock"}, carol),
        ({"membership": "knock"}, BOB),
        ({"membership": "leave"}, dave),
        ({"membership": "invite"}, BOB),
        (third_party, carol),
        (third_party, BOB),
        ({"membership": "owner"}, MALLORY),
        ({"membership": ["join"]}, MALLORY),
        ({}, MALLORY),
        ({"membership": "join"}, ""),
        ({"membership": "join"}, "@"),
    ]

    for content, user in claims:
        assert stranger.bring(stranger.build("m.room.member", content, user)) is Outcome.REJECTED, content
    assert stranger.bring(stranger.build("m.room.member", {"membership": "join"}, None)) is Outcome.REJECTED

    assert stranger.state() == before
    row = world.sync_database.read(find_membership, stranger.room_id, BOB)
    assert row is not None
    assert row.membership == "join"


@every_version
def test_an_event_in_the_name_of_this_servers_users_is_refused(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    before = stranger.state()

    for forged in (
        stranger.say(sender=ALICE),
        stranger.member(BOB, "leave"),
        stranger.build("m.room.power_levels", {"users": {MALLORY: 100}}, "", sender=ALICE),
    ):
        assert stranger.bring(forged) is Outcome.DROPPED
        assert stranger.bring_at_gap(forged) is Outcome.DROPPED
        assert stranger.bring_outliers(forged) == {forged.event_id: Outcome.DROPPED}
        assert stranger.find_stored(forged.event_id) is None
    assert stranger.state() == before


def test_only_what_receipt_has_checked_can_be_taken_in() -> None:
    makers = {}
    for path in Path(homeserver.__file__).parent.rglob("*.py"):
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        if "Received" in calls:
            makers[path.name] = calls.count("Received")

    # And what it has checked before: those that wait, those to which another server has added its signature, those of a
    # room that was given, which are put aside until all are there, and those of rows that are damaged otherwise, whose
    # signatures are checked again.
    assert makers == {
        "receipt.py": 1,
        "intake.py": 1,
        "policy_servers.py": 1,
        "remote_invites.py": 1,
        "given_rooms.py": 1,
        "event_restoring.py": 1,
    }


@every_version
def test_a_forged_ancestor_does_not_set_free_what_waits_for_the_true_one(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    ancestor = stranger.say("true")
    waiting = stranger.say(after=[ancestor.event_id])
    assert stranger.bring(waiting) is Outcome.WAITING
    receipt = receipt_of(world)
    unsigned = {**ancestor.pdu, "signatures": {}}
    changed = {**ancestor.pdu, "content": {"msgtype": "m.text", "body": "forged"}}
    moved = {**ancestor.pdu, "depth": 1}

    judged = now(receipt.check([unsigned, changed, moved], version))

    assert [getattr(one, "form", None) for one in judged] == [None, Form.WRONG_HASH, None]
    assert stranger.bring(ancestor) is Outcome.ACCEPTED
    assert stranger.stored(waiting.event_id).verdict is Verdict.ACCEPTED


# --- Redactions ---


@every_version
def test_a_user_without_power_redacts_nothing_of_another_server(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    target = world.send(ALICE, stranger.room_id, "precious")
    topic = now(world.sending.set_state(ALICE, stranger.room_id, "m.room.topic", "", {"topic": "precious"}))

    for event_id in (target, topic, stranger.state()[LEVELS], stranger.state()["m.room.member", ALICE]):
        stranger.bring(stranger.redact(event_id))
        early = stranger.redact(EventID("$" + "e" * 43 if version.event_ids_are_hashes else f"$early:{SERVER}"))
        stranger.bring(early)

        assert stranger.stored(event_id).form is Form.FULL
    check_is_alive(stranger)


@chosen_ids
def test_a_redaction_with_an_id_of_the_server_that_it_robs_is_refused(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    target = world.send(ALICE, stranger.room_id, "precious")
    redaction = stranger.redact(target, event_id=f"$mine:{SERVER}")

    assert stranger.bring(redaction) is Outcome.DROPPED

    assert stranger.stored(target).form is Form.FULL


@every_version
def test_no_redaction_takes_the_create_event_away(version: RoomVersion, world: World) -> None:
    creator = {} if version.privileged_creators else {ALICE: 100}
    stranger = invaded(world, version, power_levels={"users": {**creator, MALLORY: 100}})
    create_id = stranger.state()["m.room.create", ""]

    assert stranger.bring(stranger.redact(create_id)) is Outcome.ACCEPTED

    create = stranger.stored(create_id)
    assert create.form is Form.FULL
    assert create.event.content["room_version"] == version.name
    check_is_alive(stranger)


@chosen_ids
def test_redactions_that_go_round_in_a_circle_end(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    ids = [EventID(f"${number}:{EVIL}") for number in range(3)]
    circle = [stranger.redact(ids[(number + 1) % 3], event_id=ids[number]) for number in range(3)]
    itself = stranger.redact(EventID(f"$self:{EVIL}"), event_id=f"$self:{EVIL}")

    outcomes = stranger.bring_all([*circle, itself])

    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    assert world.history(BOB, stranger.room_id)
    for event_id in ids:
        shown(now(world.timeline.event(world.viewer(BOB), stranger.room_id, event_id)))
    check_is_alive(stranger)


# --- Graphs that are made to be expensive, or that are none ---


@every_version
def test_an_event_of_the_greatest_depth_does_not_end_the_room(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    deepest = stranger.say(depth=depth_limit(version))

    assert stranger.bring(deepest) is Outcome.ACCEPTED

    event_id = world.send(ALICE, stranger.room_id, "on top")
    assert stranger.stored(event_id).event.depth == depth_limit(version)
    assert stranger.stored(event_id).event.prev_event_ids == (deepest.event_id,)
    assert stranger.bring(stranger.say(depth=0)) is Outcome.ACCEPTED
    check_is_alive(stranger)


@every_version
def test_an_auth_event_that_is_listed_twice_makes_an_event_rejected(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    auth = stranger.say().auth_event_ids

    for listed in ([*auth, auth[0]], [auth[0]] * 10, [*auth, stranger.state()["m.room.member", BOB]]):
        assert stranger.bring(stranger.say(auth=listed)) is Outcome.REJECTED
    joined = stranger.state()["m.room.member", MALLORY]
    assert stranger.bring(stranger.say(after=[joined] * 20)) is Outcome.ACCEPTED
    check_is_alive(stranger)


@pytest.mark.parametrize("version", [V11, V12], ids=lambda version: f"v{version.name}")
def test_a_long_line_of_events_that_comes_backwards_is_judged_in_the_end(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    line = [stranger.say("0")]
    for number in range(1, 400):
        line.append(stranger.say(str(number), after=[line[-1].event_id]))

    assert set(stranger.bring_all(reversed(line[1:])).values()) == {Outcome.WAITING}
    outcomes = stranger.bring_all(line[:1])

    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    assert len(outcomes) == len(line)
    assert stranger.head is not None
    assert stranger.head.heads == (line[-1].event_id,)
    assert world.sync_database.read(rows_that_wait, stranger.room_id) == (0, 0)


def test_events_without_ancestors_are_kept_up_to_a_bound_and_so_is_what_they_lack(world: World) -> None:
    stranger = invaded(world, V11)
    auth = stranger.say().auth_event_ids
    junk = [
        stranger.say(str(number), auth=auth, after=[EventID(f"${number:05}{other:038}") for other in range(20)])
        for number in range(MOST_WAITING + 100)
    ]

    assert set(stranger.bring_all(junk).values()) == {Outcome.WAITING}

    assert world.sync_database.read(rows_that_wait, stranger.room_id) == (MOST_WAITING, 20 * MOST_WAITING)
    check_is_alive(stranger)


def rows_that_wait(tx: Any, room_id: RoomID) -> tuple[int, int]:
    """How many events of a room wait, and how many gaps there are."""
    waiting = tx.one("SELECT COUNT(*) FROM waiting_events WHERE room_id = :room_id", room_id=room_id)
    gaps = tx.one("SELECT COUNT(*) FROM event_gaps WHERE room_id = :room_id", room_id=room_id)
    return waiting[0], gaps[0]


@every_version
def test_a_hundred_branches_leave_as_many_heads_as_a_room_may_have(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    assert stranger.head is not None
    base = stranger.head.heads
    branches = [stranger.say(str(number), after=base) for number in range(100)]

    stranger.bring_all(branches)

    assert len(stranger.head.heads) <= HEADS_LIMIT
    event_id = world.send(ALICE, stranger.room_id, "together")
    assert len(stranger.stored(event_id).event.prev_event_ids) <= HEADS_LIMIT
    assert stranger.head.heads == (event_id,)
    check_is_alive(stranger)


@chosen_ids
def test_events_that_are_built_on_each_other_are_never_judged(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    before = stranger.head
    ids = [EventID(f"${number}:{EVIL}") for number in range(3)]
    circle = [stranger.say(event_id=ids[number], after=[ids[(number + 1) % 3]]) for number in range(3)]
    by_each_other = [
        stranger.say(event_id=f"$a{number}:{EVIL}", auth=[EventID(f"$a{1 - number}:{EVIL}")]) for number in range(2)
    ]
    itself = stranger.say(event_id=f"$self:{EVIL}", after=[EventID(f"$self:{EVIL}")])
    by_itself = stranger.say(event_id=f"$own:{EVIL}", auth=[EventID(f"$own:{EVIL}")])

    outcomes = stranger.bring_all([*circle, *by_each_other, itself, by_itself])

    assert set(outcomes.values()) == {Outcome.WAITING, Outcome.DROPPED}
    assert outcomes[itself.event_id] is outcomes[by_itself.event_id] is Outcome.DROPPED
    assert stranger.head == before
    assert set(stranger.bring_outliers(*by_each_other, by_itself).values()) == {Outcome.DROPPED}
    check_is_alive(stranger)


@chosen_ids
def test_an_event_that_is_built_on_itself_is_not_taken_on_the_word_of_another_server(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    before = stranger.head
    itself = stranger.say(event_id=f"$self:{EVIL}", after=[EventID(f"$self:{EVIL}")])

    assert stranger.bring_at_gap(itself) is Outcome.DROPPED

    assert stranger.head == before


@chosen_ids
@pytest.mark.parametrize("honest", [0, 1, 3])
def test_a_circle_that_closes_over_a_gap_takes_no_head_away(version: RoomVersion, world: World, honest: int) -> None:
    stranger = invaded(world, version)
    assert stranger.head is not None
    last = EventID(f"$last:{EVIL}")
    first = stranger.say("first", event_id=f"$first:{EVIL}", after=[last, *stranger.head.heads])
    assert stranger.bring_at_gap(first) is Outcome.ACCEPTED
    for number in range(honest):
        world.send(ALICE, stranger.room_id, str(number))
    heads, state = stranger.head.heads, stranger.state()
    closing = stranger.say("last", event_id=last)
    assert closing.prev_event_ids == heads

    assert stranger.bring(closing) is Outcome.DROPPED
    assert stranger.bring_at_gap(closing) is Outcome.DROPPED

    assert stranger.head.heads == heads
    assert stranger.state() == state
    check_is_alive(stranger)


@chosen_ids
def test_a_circle_that_comes_all_at_once_takes_no_head_away(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    assert stranger.head is not None
    last = EventID(f"$last:{EVIL}")
    first = stranger.say("first", event_id=f"$first:{EVIL}", after=[last, *stranger.head.heads])
    assert stranger.bring_at_gap(first) is Outcome.ACCEPTED
    heads, state = stranger.head.heads, stranger.state()
    between = stranger.say("between", event_id=f"$between:{EVIL}")
    closing = stranger.say("last", event_id=last, after=[between.event_id])

    outcomes = stranger.bring_all([between, closing])

    assert outcomes == {between.event_id: Outcome.ACCEPTED, closing.event_id: Outcome.DROPPED}
    assert heads == (first.event_id,)
    assert stranger.head.heads == (between.event_id,)
    assert stranger.state() == state
    check_is_alive(stranger)


@every_version
def test_an_event_that_lacks_what_authorises_it_is_not_taken_at_a_gap(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    before = stranger.head
    unknown = stranger.member(TRENT, "join")
    auth = [*stranger.say().auth_event_ids[:-1], unknown.event_id]
    message = stranger.say(after=[unknown.event_id], auth=auth)

    assert stranger.bring_at_gap(message) is Outcome.DROPPED

    assert stranger.head == before
    assert stranger.find_stored(message.event_id) is None


# --- IDs that two events share ---


@chosen_ids
def test_of_two_events_of_one_id_the_first_is_the_one(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    first = stranger.say("first", event_id=f"$same:{EVIL}")
    second = stranger.build("m.room.topic", {"topic": "second"}, "", event_id=f"$same:{EVIL}")

    assert stranger.bring(first) is Outcome.ACCEPTED
    assert stranger.bring(second) is Outcome.DROPPED
    assert stranger.bring_at_gap(second) is Outcome.DROPPED
    assert stranger.bring_outliers(second) == {second.event_id: Outcome.DROPPED}

    assert stranger.stored(first.event_id).event.pdu == first.pdu


@chosen_ids
def test_an_event_that_is_known_by_its_auth_events_alone_becomes_no_other_one(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    first = stranger.say("first", event_id=f"$same:{EVIL}")
    second = stranger.say("second", event_id=f"$same:{EVIL}")
    assert stranger.bring_outliers(first) == {first.event_id: Outcome.ACCEPTED}

    assert stranger.bring(second) is Outcome.DROPPED
    assert stranger.bring_at_gap(second) is Outcome.DROPPED
    assert stranger.stored(first.event_id).event.pdu == first.pdu
    assert stranger.bring(first) is Outcome.ACCEPTED


@chosen_ids
def test_an_event_that_came_without_its_content_is_completed_by_no_other_one(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    first = stranger.say("first", event_id=f"$same:{EVIL}")
    second = stranger.say("second", event_id=f"$same:{EVIL}")
    receipt = receipt_of(world)
    judged = now(receipt.check([redact(first.pdu, version)], version))
    bare = [one for one in judged if isinstance(one, Received)]
    now(world.intake.take(stranger.room_id, version, bare, received_from=EVIL))
    assert stranger.stored(first.event_id).form is Form.WRONG_HASH

    assert stranger.bring(second) is Outcome.DROPPED
    assert stranger.stored(first.event_id).form is Form.WRONG_HASH
    assert stranger.bring(first) is Outcome.ACCEPTED

    assert stranger.stored(first.event_id).event.pdu == first.pdu


@chosen_ids
def test_an_id_that_is_taken_in_another_room_is_taken(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    other = Stranger.in_room(world, public_room(world, version))
    alone = other.say("alone", event_id=f"$alone:{EVIL}")
    placed = other.say("placed", event_id=f"$placed:{EVIL}")
    other.bring_outliers(alone)
    other.bring(placed)

    for known in (alone, placed):
        again = stranger.say("again", event_id=known.event_id)
        assert stranger.bring(again) is Outcome.DROPPED
        assert stranger.bring_at_gap(again) is Outcome.DROPPED
        assert stranger.bring_outliers(again) == {known.event_id: Outcome.DROPPED}
        assert other.stored(known.event_id).event.pdu == known.pdu
    check_is_alive(stranger)


@chosen_ids
def test_versions_of_a_waiting_event_of_one_id_lack_no_more_than_one_of_them(
    version: RoomVersion, world: World
) -> None:
    stranger = invaded(world, version)
    for number in range(30):
        lost = [EventID(f"${number}.{other}:{EVIL}") for other in range(20)]
        assert stranger.bring(stranger.say(event_id=f"$same:{EVIL}", after=lost)) is Outcome.WAITING

    assert world.sync_database.read(rows_that_wait, stranger.room_id) == (1, 20)


@chosen_ids
def test_events_whose_ids_are_taken_while_they_wait_wait_no_more(version: RoomVersion, world: World) -> None:
    stranger = invaded(world, version)
    other = Stranger.in_room(world, public_room(world, version))
    lost = stranger.say("lost", event_id=f"$lost:{EVIL}")
    ids = [f"$both{number}:{EVIL}" for number in range(EVENTS_PER_WRITE)]
    waiting = [stranger.say(event_id=event_id, after=[lost.event_id]) for event_id in ids]
    honest = stranger.say("honest", after=[lost.event_id])
    stranger.bring_all([*waiting, honest])
    other.bring_all([other.say(event_id=event_id) for event_id in ids])

    outcomes = stranger.bring_all([lost])

    assert {outcomes[one.event_id] for one in waiting} == {Outcome.DROPPED}
    assert outcomes[honest.event_id] is outcomes[lost.event_id] is Outcome.ACCEPTED
    assert world.sync_database.read(rows_that_wait, stranger.room_id) == (0, 0)
    check_is_alive(stranger)


# --- What storage has no place for ---


@pytest.fixture
def postgresql_world(postgres: Postgres) -> Iterator[World]:
    """A server's services on PostgreSQL."""
    url = postgres.url_of_new_database()
    made = World(postgres.backend(url))
    yield made
    made.close()
    postgres.give_back(url)


@every_version
@pytest.mark.parametrize("which", ["world", "postgresql_world"])
def test_no_character_in_an_event_keeps_it_from_being_stored(
    version: RoomVersion, which: str, request: pytest.FixtureRequest
) -> None:
    world: World = request.getfixturevalue(which)
    stranger = invaded(world, version, power_levels={"state_default": 0})
    relation = {"rel_type": "\0", "event_id": stranger.state()[LEVELS], "key": "\0"}
    odd = [
        stranger.build("\0", {"\0": "\0"}, "\0"),
        stranger.build("m.room.name", {"name": "\0"}, ""),
        stranger.build("m.room.canonical_alias", {"alias": "#\0:x", "alt_aliases": ["\0"]}, ""),
        stranger.build("m.reaction", {"m.relates_to": relation}),
        stranger.build("m.room.message", {"m.relates_to": {**relation, "rel_type": "m.thread"}}),
        stranger.build("m.room.member", {"membership": "join", "displayname": "\0", "avatar_url": "\0"}, MALLORY),
        stranger.build("m.room.member", {"membership": "invite"}, f"@\0:{SERVER}"),
        stranger.build("m.room.member", {"membership": "invite"}, "\0"),
        stranger.say(origin_server_ts=-(2**53) + 1),
        stranger.say("\N{GRINNING FACE}\u0001\uffff"),
    ]

    for event in odd:
        assert stranger.bring(event) in (Outcome.ACCEPTED, Outcome.REJECTED)

    check_is_alive(stranger)
