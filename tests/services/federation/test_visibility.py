"""What servers see of events: whole, or redacted with the graph left as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.core.event_format import parse_event
from homeserver.core.hashing import has_valid_content_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.services.events.receipt import Received
from homeserver.services.federation.visibility import MEMBERS_PER_READ
from homeserver.storage.events import Form
from homeserver.storage.rooms import find_head
from tests.services.federation.others import FAR, FAY, NEAR, NED, invite, join_remotely, leave_remotely, remote_event
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, SERVER, now


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def pdu(serving: Serving, server: ServerName, room_id: RoomID, event_id: EventID) -> Any:
    """What the server gets of one event."""
    database = serving.world.sync_database
    head = database.read(find_head, room_id)
    assert head is not None
    stored = database.read(lambda tx: serving.world.states.load(tx, [event_id]))[event_id]
    (one,) = database.read(serving.visibility.pdus_for, head, server, [stored])
    assert parse_event(orjson.loads(one), stored.event.version).event_id == event_id
    return orjson.loads(one)


def is_whole(serving: Serving, server: ServerName, room_id: RoomID, event_id: EventID) -> bool:
    return "body" in pdu(serving, server, room_id, event_id)["content"]


@pytest.mark.parametrize("visibility", ["world_readable", "shared"])
def test_open_history_is_whole_for_who_came_later(serving: Serving, visibility: str) -> None:
    room_id = serving.room(visibility)
    event_id = serving.world.send(ALICE, room_id)

    join_remotely(serving.world, FAY, room_id)

    assert is_whole(serving, FAR, room_id, event_id)


@pytest.mark.parametrize("visibility", ["joined", "invited"])
def test_closed_history_is_redacted_for_who_came_later(serving: Serving, visibility: str) -> None:
    room_id = serving.room(visibility)
    event_id = serving.world.send(ALICE, room_id)

    join_remotely(serving.world, FAY, room_id)

    shown = pdu(serving, FAR, room_id, event_id)
    assert shown["content"] == {}
    assert shown["prev_events"]
    assert shown["signatures"]


@pytest.mark.parametrize("visibility", ["joined", "invited"])
def test_what_is_said_while_a_server_is_there_stays_whole_for_it(serving: Serving, visibility: str) -> None:
    room_id = serving.room(visibility)
    join_remotely(serving.world, FAY, room_id)
    join_remotely(serving.world, NED, room_id)

    event_id = serving.world.send(ALICE, room_id)

    assert is_whole(serving, FAR, room_id, event_id)
    leave_remotely(serving.world, FAY, room_id)
    assert is_whole(serving, FAR, room_id, event_id)


def test_what_is_said_after_the_last_of_a_server_left_is_redacted_for_it(serving: Serving) -> None:
    room_id = serving.room("joined")
    join_remotely(serving.world, FAY, room_id)
    leave_remotely(serving.world, FAY, room_id)

    event_id = serving.world.send(ALICE, room_id)
    join_remotely(serving.world, FAY, room_id)

    assert not is_whole(serving, FAR, room_id, event_id)


@pytest.mark.parametrize(("visibility", "sees"), [("invited", True), ("joined", False)])
def test_an_invite_shows_what_is_said_after_it_where_it_is_to(serving: Serving, visibility: str, sees: bool) -> None:
    room_id = serving.room(visibility)
    invite(serving.world, ALICE, room_id, FAY)

    event_id = serving.world.send(ALICE, room_id)
    join_remotely(serving.world, FAY, room_id)

    assert is_whole(serving, FAR, room_id, event_id) is sees


def test_one_server_does_not_see_by_the_membership_of_another(serving: Serving) -> None:
    room_id = serving.room("joined")
    join_remotely(serving.world, NED, room_id)
    event_id = serving.world.send(ALICE, room_id)

    join_remotely(serving.world, FAY, room_id)

    assert is_whole(serving, NEAR, room_id, event_id)
    assert not is_whole(serving, FAR, room_id, event_id)


def test_the_current_state_is_whole_and_what_was_before_it_is_not(serving: Serving) -> None:
    room_id = serving.room("joined")
    old = serving.set_state(room_id, "m.room.topic", {"topic": "secrets"})
    new = serving.set_state(room_id, "m.room.topic", {"topic": "news"})

    join_remotely(serving.world, FAY, room_id)

    assert pdu(serving, FAR, room_id, old)["content"] == {}
    assert pdu(serving, FAR, room_id, new)["content"] == {"topic": "news"}


def test_the_change_of_the_visibility_shows_itself_by_what_is_more_open(serving: Serving) -> None:
    room_id = serving.room("joined")
    opening = serving.set_state(room_id, "m.room.history_visibility", {"history_visibility": "shared"})
    closing = serving.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
    serving.set_state(room_id, "m.room.history_visibility", {"history_visibility": "invited"})

    join_remotely(serving.world, FAY, room_id)

    for event_id in (opening, closing):
        assert "history_visibility" in pdu(serving, FAR, room_id, event_id)["content"]


def test_somebody_who_is_still_there_counts_however_many_others_of_the_server_left(serving: Serving) -> None:
    room_id = serving.room("joined")
    users = [type(FAY)(f"@u{number}:{FAR}") for number in range(MEMBERS_PER_READ + 2)]
    for user_id in users:
        join_remotely(serving.world, user_id, room_id)
    event_id = serving.world.send(ALICE, room_id)

    for user_id in users[1:]:
        leave_remotely(serving.world, user_id, room_id)

    assert is_whole(serving, FAR, room_id, event_id)


def test_a_redacted_message_is_what_it_is_now(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)

    now(serving.world.sending.redact(ALICE, room_id, event_id, {}, None))

    assert not is_whole(serving, FAR, room_id, event_id)


def test_the_hash_of_a_whole_event_is_right(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)

    shown = pdu(serving, FAR, room_id, event_id)

    head = serving.world.sync_database.read(find_head, room_id)
    assert head is not None
    assert has_valid_content_hash(shown, head.version)


def test_where_members_are_not_known_open_history_is_whole(serving: Serving) -> None:
    room_id = serving.room()
    joined = join_remotely(serving.world, FAY, room_id)
    event_id = serving.world.send(ALICE, room_id)

    serving.make_partial(room_id)

    assert is_whole(serving, FAR, room_id, event_id)
    assert pdu(serving, FAR, room_id, joined)["content"] == {"membership": "join"}


def test_an_event_that_is_known_without_its_room_shows_what_authorises(serving: Serving) -> None:
    room_id = serving.room()
    content = {"membership": "join", "displayname": "Fay"}
    outlier = remote_event(serving.world, FAY, room_id, "m.room.member", content, FAY)
    received = [Received(outlier, Form.FULL)]
    now(serving.world.intake.take_outliers(room_id, outlier.event.version, received))

    assert pdu(serving, FAR, room_id, outlier.event.event_id)["content"] == {"membership": "join"}


# Users who were erased


def said_by_an_erased_user(serving: Serving) -> tuple[RoomID, EventID]:
    """Something that was said in an open room while Fay was there, by a user who was erased since."""
    user_id = serving.named("dora", "Dora")
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    serving.world.join(user_id, room_id)
    event_id = serving.world.send(user_id, room_id)
    now(serving.world.deactivation.deactivate(user_id, erase=True))
    return room_id, event_id


def test_what_an_erased_user_said_is_whole_for_servers_that_were_there_alone(serving: Serving) -> None:
    room_id, event_id = said_by_an_erased_user(serving)
    join_remotely(serving.world, NED, room_id)

    assert is_whole(serving, FAR, room_id, event_id)
    assert not is_whole(serving, NEAR, room_id, event_id)
    assert pdu(serving, NEAR, room_id, event_id)["signatures"].keys() == {SERVER}


def test_a_server_that_comes_back_has_what_was_said_before_it_went(serving: Serving) -> None:
    room_id, event_id = said_by_an_erased_user(serving)
    leave_remotely(serving.world, FAY, room_id)
    join_remotely(serving.world, FAY, room_id)

    assert is_whole(serving, FAR, room_id, event_id)


def test_state_that_an_erased_user_left_is_whole_while_it_holds(serving: Serving) -> None:
    user_id = serving.named("dora", "Dora")
    room_id = serving.room(creator=user_id, power_levels={"state_default": 0})
    serving.world.join(ALICE, room_id)
    topics = [
        now(serving.world.sending.set_state(user_id, room_id, "m.room.topic", "", {"topic": topic}))
        for topic in ("old", "new")
    ]
    now(serving.world.deactivation.deactivate(user_id, erase=True))
    join_remotely(serving.world, NED, room_id)

    contents = [pdu(serving, NEAR, room_id, event_id)["content"] for event_id in topics]

    assert contents == [{}, {"topic": "new"}]
