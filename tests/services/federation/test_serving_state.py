"""States before events, and auth chains: complete, of the right room, and for those who are in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import room_version
from homeserver.services.errors import Forbidden, NotFound, UnableDueToPartialState
from homeserver.services.federation.serving_state import EVENTS_PER_READ
from tests.services.federation.others import FAR, FAY, NEAR, NED, join_remotely
from tests.services.federation.serving import Serving, read
from tests.services.world import ALICE, BOB, now

NO_ID = EventID("$" + "A" * 43)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def state(serving: Serving, room_id: RoomID, event_id: EventID) -> Any:
    return read(now(serving.states.state(FAR, room_id, event_id)))


def state_ids(serving: Serving, room_id: RoomID, event_id: EventID) -> Any:
    return read(now(serving.states.state_ids(FAR, room_id, event_id)))


def auth_chain(serving: Serving, room_id: RoomID, event_id: EventID) -> Any:
    return read(now(serving.states.auth_chain(FAR, room_id, event_id)))["auth_chain"]


def keys(pdus: Any) -> list[tuple[str, str]]:
    return sorted((pdu["type"], pdu["state_key"]) for pdu in pdus)


@pytest.mark.parametrize("version", ["1", "6", "10", "12"])
def test_a_state_is_that_before_the_event_with_all_that_authorises_it(serving: Serving, version: str) -> None:
    room_id = serving.room(room_version=version)
    serving.let_in(room_id, FAR)
    serving.set_state(room_id, "m.room.topic", {"topic": "before"})
    changed = serving.set_state(room_id, "m.room.topic", {"topic": "after"})

    answer = state(serving, room_id, changed)

    topics = [pdu["content"]["topic"] for pdu in answer["pdus"] if pdu["type"] == "m.room.topic"]
    assert topics == ["before"]
    parsed = [parse_event(pdu, room_version(version)) for pdu in (*answer["pdus"], *answer["auth_chain"])]
    here = {event.event_id for event in parsed}
    assert all(named in here for event in parsed for named in event.auth_event_ids)
    ids = state_ids(serving, room_id, changed)
    assert {*ids["pdu_ids"], *ids["auth_chain_ids"]} == here
    assert len(ids["pdu_ids"]) == len(set(ids["pdu_ids"])) == len(answer["pdus"])


def test_a_state_of_many_slices_is_whole(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    members = [("org.example.thing", str(number)) for number in range(EVENTS_PER_READ + 1)]
    for event_type, state_key in members:
        serving.set_state(room_id, event_type, {}, state_key)
    newest = serving.world.send(ALICE, room_id)

    found = keys(state(serving, room_id, newest)["pdus"])

    assert [key for key in found if key[0] == "org.example.thing"] == sorted(members)


def test_ids_are_those_of_the_state_also_where_its_events_would_be_shown_redacted(serving: Serving) -> None:
    room_id = serving.room("joined", room_version="10")
    serving.set_state(room_id, "m.room.topic", {"topic": "before"})
    before = serving.set_state(room_id, "m.room.topic", {"topic": "after"})
    join_remotely(serving.world, FAY, room_id)

    whole, ids = state(serving, room_id, before), state_ids(serving, room_id, before)

    for pdus, named in (("pdus", "pdu_ids"), ("auth_chain", "auth_chain_ids")):
        assert [parse_event(pdu, room_version("10")).event_id for pdu in whole[pdus]] == ids[named]


def test_the_auth_chain_of_an_event_goes_down_to_the_beginning(serving: Serving) -> None:
    room_id = serving.room(room_version="11")
    join_remotely(serving.world, FAY, room_id)
    serving.world.join(BOB, room_id)

    chain = auth_chain(serving, room_id, serving.world.send(BOB, room_id))

    assert keys(chain) == sorted(
        [
            ("m.room.create", ""),
            ("m.room.join_rules", ""),
            ("m.room.member", ALICE),
            ("m.room.member", BOB),
            ("m.room.power_levels", ""),
        ]
    )


def test_a_state_from_before_a_server_could_see_shows_of_old_events_what_authorises(serving: Serving) -> None:
    room_id = serving.room("joined")
    serving.set_state(room_id, "m.room.topic", {"topic": "secrets"})
    serving.set_state(room_id, "m.room.name", {"name": "lasting"})
    event_id = serving.world.send(ALICE, room_id)
    serving.set_state(room_id, "m.room.topic", {"topic": "news"})
    join_remotely(serving.world, FAY, room_id)

    pdus = {pdu["type"]: pdu for pdu in state(serving, room_id, event_id)["pdus"]}

    assert pdus["m.room.topic"]["content"] == {}
    assert pdus["m.room.name"]["content"] == {"name": "lasting"}
    assert pdus["m.room.member"]["content"]["membership"] == "join"
    assert pdus["m.room.create"]["content"]
    ids = state_ids(serving, room_id, event_id)
    assert len(ids["pdu_ids"]) == len(state(serving, room_id, event_id)["pdus"])


def test_an_event_of_another_room_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    room_id, other = serving.room(), serving.room()
    join_remotely(serving.world, FAY, room_id)
    join_remotely(serving.world, NED, other)
    elsewhere = serving.world.send(ALICE, other)

    refusals = []
    for asking in (serving.states.state, serving.states.state_ids, serving.states.auth_chain):
        for event_id in (elsewhere, NO_ID):
            with pytest.raises(NotFound) as refused:
                now(asking(FAR, room_id, event_id))
            refusals.append(refused.value.reason)

    assert len(set(refusals)) == 1


def test_a_room_without_the_server_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    room_id = serving.room("world_readable")
    event_id = serving.world.send(ALICE, room_id)

    refusals = []
    for asking in (serving.states.state, serving.states.state_ids, serving.states.auth_chain):
        for asked in (room_id, RoomID("!nowhere:example.org")):
            with pytest.raises(Forbidden) as refused:
                now(asking(FAR, asked, event_id))
            refusals.append(refused.value.reason)

    assert len(set(refusals)) == 1


def test_a_server_that_is_shut_out_gets_no_state(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)
    serving.shut_out(room_id, FAR)

    for asking in (serving.states.state, serving.states.state_ids, serving.states.auth_chain):
        with pytest.raises(Forbidden):
            now(asking(FAR, room_id, event_id))


def test_of_a_room_whose_state_is_not_all_here_there_is_none_to_give(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)
    before = auth_chain(serving, room_id, event_id)

    serving.make_partial(room_id)

    for asking in (serving.states.state, serving.states.state_ids):
        with pytest.raises(UnableDueToPartialState):
            now(asking(FAR, room_id, event_id))
    assert auth_chain(serving, room_id, event_id) == before


def test_whether_a_server_is_in_a_room_whose_members_are_not_all_known_is_not_said(serving: Serving) -> None:
    room_id = serving.room()
    event_id = serving.world.send(ALICE, room_id)

    for asking in (serving.states.state, serving.states.state_ids, serving.states.auth_chain):
        with pytest.raises(Forbidden):
            now(asking(FAR, room_id, event_id))
    serving.make_partial(room_id)

    for asking in (serving.states.state, serving.states.state_ids, serving.states.auth_chain):
        with pytest.raises(UnableDueToPartialState):
            now(asking(FAR, room_id, event_id))


def test_newcomers_get_no_more_of_what_erased_users_sent_than_they_need(serving: Serving) -> None:
    world, user_id = serving.world, serving.named("dora", "Dora")
    room_id = serving.room()
    join_remotely(world, FAY, room_id)
    world.join(user_id, room_id)
    before = world.send(ALICE, room_id)
    now(world.deactivation.deactivate(user_id, erase=True))
    join_remotely(world, NED, room_id)

    known, new = (read(now(serving.states.state(server, room_id, before))) for server in (FAR, NEAR))

    [there] = [pdu for pdu in known["pdus"] if pdu.get("state_key") == user_id]
    [here] = [pdu for pdu in new["pdus"] if pdu.get("state_key") == user_id]
    assert (there["content"]["displayname"], here["content"]) == ("Dora", {"membership": "join"})
    assert there["signatures"] == here["signatures"]
    others = [[pdu for pdu in told["pdus"] if pdu["sender"] != user_id] for told in (known, new)]
    assert others[0] == others[1]
    left = EventID(serving.world.history(ALICE, room_id)[1]["event_id"])
    assert "Dora" in str(read(now(serving.states.auth_chain(FAR, room_id, left))))
    assert "Dora" not in str(read(now(serving.states.auth_chain(NEAR, room_id, left))))
