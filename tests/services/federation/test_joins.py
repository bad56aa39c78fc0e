"""Joins of users of other servers: what they are given to begin with, and what they are told when they are in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.core.room_versions import ROOM_VERSIONS, room_version
from homeserver.core.signing import SigningKey, sign_event, verify_event_signature
from homeserver.services.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParameter,
    LimitExceeded,
    NotFound,
    PolicyServerFailed,
    RefusedByPolicyServer,
    UnableDueToPartialState,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)
from homeserver.services.rate_limits import Counted
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.events import events_by_id
from homeserver.storage.outgoing_events import positions_for
from tests.fakes.policy_source import KEY as POLICY_KEY
from tests.services.federation.others import FAR, FAY, KEY, NEAR, NED, invite, join_remotely, leave_remotely
from tests.services.federation.serving import Serving, finished, read
from tests.services.world import ALICE, BOB, SERVER, now

# Any: JSON.

VERSIONS = list(ROOM_VERSIONS)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def make(serving: Serving, room_id: RoomID, user_id: UserID = FAY, versions: list[str] | None = None) -> Any:
    return read(now(serving.joins.make(FAR, room_id, user_id, versions or VERSIONS)))


def send(serving: Serving, room_id: RoomID, event_id: EventID, pdu: Any, **options: Any) -> Any:
    return read(now(serving.joins.send(FAR, room_id, event_id, pdu, **options)))


def join(serving: Serving, room_id: RoomID, **options: Any) -> Any:
    """The whole of a join."""
    encoded = finished(make(serving, room_id), FAY, "join")
    return send(serving, room_id, encoded.event.event_id, encoded.event.pdu, **options)


def restricted(serving: Serving, version: str = "10", **more: Any) -> tuple[RoomID, RoomID]:
    """A room into which the members of another one are let, and that one."""
    lobby = serving.room()
    allow = [{"type": "m.room_membership", "room_id": lobby}]
    rules = InitialState("m.room.join_rules", "", {"join_rule": "restricted", "allow": allow})
    room_id = serving.world.create_room(ALICE, room_version=version, initial_state=[rules], **more)
    return room_id, lobby


@pytest.mark.parametrize("version", VERSIONS)
def test_a_user_of_another_server_joins(serving: Serving, version: str) -> None:
    room_id = serving.room(room_version=version)
    serving.world.join(BOB, room_id)

    answer = join(serving, room_id)

    assert serving.member(room_id, FAY) == "join"
    assert answer["origin"] == SERVER
    assert answer["members_omitted"] is False
    state = [parse_event(pdu, room_version(version)) for pdu in answer["state"]]
    chain = [parse_event(pdu, room_version(version)) for pdu in answer["auth_chain"]]
    joined = parse_event(answer["event"], room_version(version))
    here = {event.event_id for event in (*state, *chain)}
    assert all(named in here for event in (*state, *chain, joined) for named in event.auth_event_ids)
    assert {event.state_key for event in state if event.type == "m.room.member"} == {ALICE, BOB}


def test_a_join_is_passed_on_to_the_others_and_not_to_where_it_comes_from(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, NED, room_id)
    before = serving.world.sync_database.read(lambda tx: tx.log_position)

    join(serving, room_id)

    def positions(tx: Any) -> Any:
        return [positions_for(tx, server, after=before, upto=tx.log_position, most=10) for server in (NEAR, FAR)]

    near, far = serving.world.sync_database.read(positions)
    assert len(near) == 1
    assert far == []


def test_taking_a_join_again_answers_the_same(serving: Serving) -> None:
    room_id = serving.room()
    encoded = finished(make(serving, room_id), FAY, "join")

    first = send(serving, room_id, encoded.event.event_id, encoded.event.pdu)
    serving.set_state(room_id, "m.room.topic", {"topic": "since"})
    again = send(serving, room_id, encoded.event.event_id, encoded.event.pdu)

    assert again == first


def test_members_can_be_left_out_but_not_those_who_authorise(serving: Serving) -> None:
    room_id = serving.room(name="named")
    serving.world.join(BOB, room_id)

    answer = join(serving, room_id, omits_members=True)

    assert answer["members_omitted"] is True
    assert answer["servers_in_room"] == [SERVER]
    assert all(pdu["type"] != "m.room.member" for pdu in answer["state"])
    assert [pdu["state_key"] for pdu in answer["auth_chain"] if pdu["type"] == "m.room.member"] == [ALICE]
    in_state = [pdu["type"] for pdu in answer["state"]]
    assert all(pdu["type"] not in in_state for pdu in answer["auth_chain"] if pdu["type"] == "m.room.create")


def test_of_a_room_without_a_name_those_are_told_by_whom_it_is_called(serving: Serving) -> None:
    room_id = serving.room()
    serving.world.join(BOB, room_id)

    answer = join(serving, room_id, omits_members=True)

    assert {pdu["state_key"] for pdu in answer["state"] if pdu["type"] == "m.room.member"} == {ALICE, BOB}


def test_a_version_that_the_server_does_not_know_is_named(serving: Serving) -> None:
    room_id = serving.room(room_version="11")

    with pytest.raises(IncompatibleRoomVersion) as refused:
        make(serving, room_id, versions=["1", "10"])

    assert refused.value.room_version == "11"


def test_nobody_gets_templates_for_users_of_others(serving: Serving) -> None:
    room_id = serving.room()

    with pytest.raises(Forbidden):
        make(serving, room_id, NED)
    with pytest.raises(Forbidden):
        make(serving, room_id, ALICE)


def test_a_room_that_is_not_here_is_not_found(serving: Serving) -> None:
    with pytest.raises(NotFound):
        make(serving, RoomID("!nowhere:example.org"))
    with pytest.raises(NotFound):
        send(serving, RoomID("!nowhere:example.org"), EventID("$a"), {})


def test_a_room_that_everybody_here_left_is_not_found(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, NED, room_id)
    now(serving.world.membership.leave(ALICE, room_id, None))

    with pytest.raises(NotFound):
        make(serving, room_id)


def test_a_server_that_is_shut_out_does_not_come_in(serving: Serving) -> None:
    room_id = serving.room()
    encoded = finished(make(serving, room_id), FAY, "join")
    serving.shut_out(room_id, FAR)

    with pytest.raises(Forbidden):
        make(serving, room_id)
    with pytest.raises(Forbidden):
        send(serving, room_id, encoded.event.event_id, encoded.event.pdu)
    assert serving.member(room_id, FAY) is None


def test_who_is_banned_or_not_invited_gets_no_template(serving: Serving) -> None:
    closed = serving.world.create_room(ALICE, preset="private_chat")
    public = serving.room()
    now(serving.world.membership.ban(ALICE, public, FAY, None))

    for room_id in (closed, public):
        with pytest.raises(AuthRejected):
            make(serving, room_id)


def test_who_is_invited_joins_a_closed_room(serving: Serving) -> None:
    room_id = serving.world.create_room(ALICE, preset="private_chat")
    invite(serving.world, ALICE, room_id, FAY)

    join(serving, room_id)

    assert serving.member(room_id, FAY) == "join"


def test_a_join_that_the_room_no_longer_allows_is_refused(serving: Serving) -> None:
    room_id = serving.room()
    encoded = finished(make(serving, room_id), FAY, "join")
    now(serving.world.membership.ban(ALICE, room_id, FAY, None))

    with pytest.raises(Forbidden):
        send(serving, room_id, encoded.event.event_id, encoded.event.pdu)

    assert serving.member(room_id, FAY) == "ban"


def forged(serving: Serving, room_id: RoomID, key: SigningKey = KEY, **changes: Any) -> tuple[EventID, Any]:
    """An event like the join from the template, but for some of its fields, well hashed and signed."""
    answer = make(serving, room_id)
    event, version = answer["event"], room_version(answer["room_version"])
    fields = {
        "room_id": room_id,
        "type": "m.room.member",
        "sender": FAY,
        "content": {"membership": "join"},
        "state_key": FAY,
        "prev_events": tuple((one, b"") for one in event["prev_events"]),
        "auth_events": tuple((one, b"") for one in event["auth_events"]),
        "depth": event["depth"],
        "origin_server_ts": event["origin_server_ts"],
        **changes,
    }
    encoded = build_event(EventTemplate(**fields), version, FAR, key)
    return encoded.event.event_id, encoded.event.pdu


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type": "m.room.topic"}, InvalidParameter),
        ({"content": {"membership": "invite"}}, InvalidParameter),
        ({"content": {}}, InvalidParameter),
        ({"state_key": UserID(f"@other:{FAR}")}, InvalidParameter),
        ({"state_key": None}, InvalidParameter),
        ({"sender": NED, "state_key": NED}, Forbidden),
        ({"sender": ALICE, "state_key": ALICE}, Forbidden),
        ({"prev_events": (("$" + "A" * 43, b""),)}, InvalidParameter),
        ({"prev_events": ()}, InvalidParameter),
        ({"auth_events": (("$" + "A" * 43, b""),)}, InvalidParameter),
    ],
)
def test_what_is_no_join_of_the_server_is_refused(serving: Serving, changes: Any, error: type[Exception]) -> None:
    room_id = serving.room()
    event_id, pdu = forged(serving, room_id, **changes)
    before = serving.world.sync_database.read(lambda tx: tx.log_position)

    with pytest.raises(error):
        send(serving, room_id, event_id, pdu)

    assert serving.world.sync_database.read(lambda tx: tx.log_position) == before


def test_the_path_names_the_room_and_the_event(serving: Serving) -> None:
    room_id, other = serving.room(), serving.room()
    event_id, pdu = forged(serving, room_id)

    with pytest.raises(InvalidParameter):
        send(serving, other, event_id, pdu)
    with pytest.raises(InvalidParameter):
        send(serving, room_id, EventID("$" + "A" * 43), pdu)
    assert serving.member(room_id, FAY) is None


def test_a_join_that_is_signed_by_another_key_or_changed_is_refused(serving: Serving) -> None:
    room_id = serving.room()
    event_id, pdu = forged(serving, room_id, SigningKey("test", b"\x09" * 32))
    with pytest.raises(Forbidden):
        send(serving, room_id, event_id, pdu)

    event_id, pdu = forged(serving, room_id)
    with pytest.raises(InvalidParameter):
        send(serving, room_id, event_id, {**pdu, "content": {"membership": "join", "displayname": "not hashed"}})

    assert serving.member(room_id, FAY) is None


@pytest.mark.parametrize("version", ["8", "10", "12"])
def test_a_restricted_join_is_signed_by_this_server_too(serving: Serving, version: str) -> None:
    room_id, lobby = restricted(serving, version)
    join_remotely(serving.world, FAY, lobby)
    template = make(serving, room_id)
    assert template["event"]["content"]["join_authorised_via_users_server"] == ALICE

    encoded = finished(template, FAY, "join")
    answer = send(serving, room_id, encoded.event.event_id, encoded.event.pdu)

    verify_event_signature(answer["event"], encoded.event.version, SERVER, serving.world.key.verify_key)
    verify_event_signature(answer["event"], encoded.event.version, FAR, KEY.verify_key)
    assert serving.member(room_id, FAY) == "join"


def test_who_is_in_none_of_the_rooms_is_refused(serving: Serving) -> None:
    room_id, lobby = restricted(serving)

    with pytest.raises(Forbidden):
        make(serving, room_id)

    join_remotely(serving.world, FAY, lobby)
    encoded = finished(make(serving, room_id), FAY, "join")
    leave_remotely(serving.world, FAY, lobby)
    with pytest.raises(Forbidden):
        send(serving, room_id, encoded.event.event_id, encoded.event.pdu)
    assert serving.member(room_id, FAY) is None


def test_a_server_that_is_not_in_the_rooms_any_more_cannot_tell(serving: Serving) -> None:
    room_id, lobby = restricted(serving)
    join_remotely(serving.world, FAY, lobby)
    now(serving.world.membership.leave(ALICE, lobby, None))

    with pytest.raises(UnableToAuthoriseJoin):
        make(serving, room_id)


def test_a_server_of_which_nobody_may_invite_says_so(serving: Serving) -> None:
    room_id, lobby = restricted(serving, power_levels={"invite": 101, "users": {ALICE: 100}})
    join_remotely(serving.world, FAY, lobby)

    with pytest.raises(UnableToGrantJoin):
        make(serving, room_id)


def test_nothing_is_signed_in_the_name_of_one_who_is_not_there(serving: Serving) -> None:
    room_id, lobby = restricted(serving)
    join_remotely(serving.world, FAY, lobby)
    content = {"membership": "join", "join_authorised_via_users_server": BOB}

    with pytest.raises(Forbidden):
        send(serving, room_id, *forged(serving, room_id, content=content))

    assert serving.member(room_id, FAY) is None


def test_a_signature_in_this_servers_name_is_not_believed(serving: Serving) -> None:
    room_id, lobby = restricted(serving)
    join_remotely(serving.world, FAY, lobby)
    encoded = finished(make(serving, room_id), FAY, "join")
    signed = sign_event(encoded.event.pdu, encoded.event.version, SERVER, SigningKey("test", b"\x09" * 32))

    answer = send(serving, room_id, encoded.event.event_id, signed)

    verify_event_signature(answer["event"], encoded.event.version, SERVER, serving.world.key.verify_key)


def test_into_a_room_whose_state_is_not_all_here_nobody_is_let(serving: Serving) -> None:
    room_id = serving.room()
    encoded = finished(make(serving, room_id), FAY, "join")

    serving.make_partial(room_id)

    with pytest.raises(UnableDueToPartialState):
        make(serving, room_id)
    with pytest.raises(UnableDueToPartialState):
        send(serving, room_id, encoded.event.event_id, encoded.event.pdu)


def guarded(serving: Serving) -> RoomID:
    """A room whose policy server is a third one, which is in it."""
    room_id = serving.room(room_version="11")
    join_remotely(serving.world, NED, room_id)
    policy = {"via": NEAR, "public_keys": {"ed25519": POLICY_KEY.verify_key.to_base64()}}
    serving.set_state(room_id, "m.room.policy", policy)
    return room_id


def test_a_join_into_a_room_with_a_policy_server_is_signed_by_it_on_the_way(serving: Serving) -> None:
    room_id = guarded(serving)

    answer = join(serving, room_id)

    assert serving.member(room_id, FAY) == "join"
    assert len(serving.world.policy_source.asked) == 1
    verify_event_signature(answer["event"], room_version("11"), NEAR, POLICY_KEY.verify_key)


def test_a_join_that_has_the_policy_servers_signature_is_not_shown_again(serving: Serving) -> None:
    room_id = guarded(serving)
    event = finished(make(serving, room_id), FAY, "join").event

    send(serving, room_id, event.event_id, sign_event(event.pdu, event.version, NEAR, POLICY_KEY))

    assert serving.member(room_id, FAY) == "join"
    assert serving.world.policy_source.asked == []


def test_a_join_that_the_policy_server_refuses_leaves_nothing_behind(serving: Serving) -> None:
    room_id = guarded(serving)
    serving.world.policy_source.refuses = True
    event = finished(make(serving, room_id), FAY, "join").event

    with pytest.raises(RefusedByPolicyServer):
        send(serving, room_id, event.event_id, event.pdu)

    assert serving.member(room_id, FAY) is None
    assert serving.world.sync_database.read(events_by_id, [event.event_id]) == {}


def test_while_the_policy_server_is_away_nobody_comes_in(serving: Serving) -> None:
    room_id = guarded(serving)
    serving.world.policy_source.is_away = True

    with pytest.raises(PolicyServerFailed):
        join(serving, room_id)

    assert serving.member(room_id, FAY) is None


def test_a_server_that_is_new_in_a_room_is_not_told_the_names_of_erased_users(serving: Serving) -> None:
    world, user_id = serving.world, serving.named("dora", "Dora")
    room_id = serving.room()
    world.join(user_id, room_id)
    now(world.deactivation.deactivate(user_id, erase=True))
    encoded = finished(make(serving, room_id), FAY, "join")

    answers = [send(serving, room_id, encoded.event.event_id, encoded.event.pdu) for _ in range(2)]

    assert answers[0] == answers[1]
    of_dora = [
        pdu["content"] for pdu in (*answers[0]["state"], *answers[0]["auth_chain"]) if pdu.get("state_key") == user_id
    ]
    assert of_dora == [{"membership": "leave"}, {"membership": "join"}]


def test_what_holds_comes_after_what_it_replaced(serving: Serving) -> None:
    room_id = serving.room(room_version="10")
    for level in (60, 70):
        serving.set_state(room_id, "m.room.power_levels", {"users": {ALICE: 100}, "ban": level})

    chain = join(serving, room_id)["auth_chain"]

    levels = [pdu["content"]["ban"] for pdu in chain if pdu["type"] == "m.room.power_levels"]
    assert sorted(levels) == [50, 60, 70]
    assert levels[-1] == 70


@pytest.mark.parametrize("name", ["joins_by_server", "joins_to_room"])
def test_so_many_join_a_room_through_this_server_and_the_next_one_waits(tmp_path: Path, name: str) -> None:
    serving = Serving(tmp_path, {Counted(name): RateLimit(0.001, 1)})
    room_id, another = serving.room(), serving.room()
    waiting = finished(make(serving, room_id), FAY, "join")
    join(serving, room_id)

    with pytest.raises(LimitExceeded):
        send(serving, room_id, waiting.event.event_id, waiting.event.pdu)
    with pytest.raises(LimitExceeded):
        make(serving, room_id)

    join(serving, another)
    serving.world.clock.advance(1_000)
    join(serving, room_id)
    serving.close()


def test_who_asks_in_vain_keeps_no_other_server_out(tmp_path: Path) -> None:
    serving = Serving(tmp_path, {Counted.JOINS_BY_SERVER: RateLimit(1, 2), Counted.JOINS_TO_ROOM: RateLimit(1, 2)})
    room_id = serving.room()
    for _ in range(2):
        with pytest.raises(InvalidParameter):
            send(serving, room_id, EventID("$another"), finished(make(serving, room_id), FAY, "join").event.pdu)

    with pytest.raises(LimitExceeded):
        make(serving, room_id)

    assert read(now(serving.joins.make(NEAR, room_id, NED, VERSIONS)))["event"]["sender"] == NED
    serving.close()
