"""EDUs of other servers: each speaks for its own users, where they are, and nothing else is believed."""

from typing import Any

import orjson
import pytest

from homeserver.core.identifiers import DeviceID, EventID, RoomID, ServerName, UserID
from homeserver.services.federation import incoming_edus
from homeserver.services.rooms.typing import REMOTE_TIMEOUT_MS
from homeserver.storage.devices import insert_device
from homeserver.storage.receipts import Receipt, receipts_of_rooms
from homeserver.storage.to_device import messages_for_device
from tests.services.federation.others import FAR, FAY, NEAR, NED, join_remotely, leave_remotely
from tests.services.federation.receiving import Receiving
from tests.services.world import ALICE, BOB, World, now

PHONE, LAPTOP = DeviceID("PHONE"), DeviceID("LAPTOP")


class Speaking:
    """Alice's room, with Fay and Ned of other servers, who send EDUs about it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.receiving = Receiving(world)
        self.room_id = world.create_room(ALICE, preset="public_chat")
        for user_id in (FAY, NED):
            join_remotely(world, user_id, self.room_id)

    def say(self, edu_type: Any, content: Any, origin: ServerName = FAR) -> None:
        """Send one EDU."""
        self.receiving.send((), [{"edu_type": edu_type, "content": content}], origin=origin)

    def type(self, user_id: UserID, origin: ServerName = FAR, room_id: Any = None, *, is_typing: Any = True) -> None:
        """Say that a user types."""
        content = {"room_id": room_id or self.room_id, "user_id": user_id, "typing": is_typing}
        self.say("m.typing", content, origin)

    @property
    def typing(self) -> list[UserID]:
        """Who types, as Alice sees it."""
        return dict(self.world.typing.typing_since(ALICE, 0)).get(self.room_id, [])

    def read(self, user_id: UserID, event_id: Any, origin: ServerName = FAR, **data: Any) -> None:
        """Say up to where a user has read."""
        receipt = {"event_ids": [event_id], "data": {"ts": 5, **data}}
        self.say("m.receipt", {self.room_id: {"m.read": {user_id: receipt}}}, origin)

    @property
    def receipts(self) -> list[Receipt]:
        """All receipts in the room."""
        upto = self.world.sync_database.position
        return self.world.sync_database.read(receipts_of_rooms, [self.room_id], upto=upto)

    def keep_out(self, server: str) -> None:
        """Let the room's list name a server."""
        content = {"allow": ["*"], "deny": [server]}
        now(self.world.sending.set_state(ALICE, self.room_id, "m.room.server_acl", "", content))

    def add_device(self, user_id: UserID, device_id: DeviceID) -> None:
        """Let a user have a device."""

        def add(tx: Any) -> None:
            insert_device(tx, user_id, device_id, display_name=None, now_ms=1)

        self.world.sync_database.write(add)

    def inbox(self, user_id: UserID, device_id: DeviceID) -> list[Any]:
        """The messages that wait for a device."""
        waiting = self.world.sync_database.read(
            messages_for_device, user_id, device_id, after=0, upto=1 << 60, limit=100
        )
        return [orjson.loads(one.message) for one in waiting]


@pytest.fixture
def speaking(world: World) -> Speaking:
    return Speaking(world)


# Typing


def test_members_are_told_that_a_user_of_another_server_types(speaking: Speaking) -> None:
    speaking.type(FAY)
    speaking.type(NED, NEAR)
    assert speaking.typing == [FAY, NED]

    speaking.type(FAY, is_typing=False)
    assert speaking.typing == [NED]
    speaking.world.clock.advance(REMOTE_TIMEOUT_MS / 1000)

    assert speaking.typing == []


def test_who_leaves_types_no_more(speaking: Speaking) -> None:
    speaking.type(FAY)

    leave_remotely(speaking.world, FAY, speaking.room_id)

    assert speaking.typing == []
    speaking.type(FAY)
    assert speaking.typing == []


def test_a_server_does_not_type_for_users_of_others(speaking: Speaking) -> None:
    speaking.type(NED, FAR)
    speaking.type(ALICE, FAR)
    assert speaking.typing == []

    speaking.type(NED, NEAR)
    speaking.type(NED, FAR, is_typing=False)

    assert speaking.typing == [NED]


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"room_id": 1, "user_id": FAY, "typing": True},
        {"room_id": "!x:far.example", "user_id": FAY, "typing": True},
        {"room_id": "!x:far.example", "user_id": ["a"], "typing": True},
        {"room_id": "x", "user_id": FAY, "typing": True},
        {"room_id": "!x:far.example", "user_id": FAY, "typing": "yes"},
    ],
)
def test_what_is_no_typing_changes_nothing(speaking: Speaking, content: Any) -> None:
    speaking.say("m.typing", content)

    assert speaking.typing == []


def test_a_server_that_the_room_keeps_out_says_nothing_there(speaking: Speaking) -> None:
    event_id = speaking.world.send(ALICE, speaking.room_id)
    speaking.keep_out(FAR)

    speaking.type(FAY)
    speaking.read(FAY, event_id)

    assert speaking.typing == []
    assert speaking.receipts == []
    speaking.type(NED, NEAR)
    assert speaking.typing == [NED]


# Receipts


def test_a_receipt_of_another_server_is_kept_and_moves_forward_alone(speaking: Speaking) -> None:
    first, second = (speaking.world.send(ALICE, speaking.room_id) for _ in range(2))

    for event_id in (first, second, first):
        speaking.read(FAY, event_id)

    (receipt,) = speaking.receipts
    assert (receipt.user_id, receipt.event_id, receipt.ts) == (FAY, second, 5)
    assert receipt.place is not None


def test_a_receipt_for_a_thread_stands_beside_that_for_the_room(speaking: Speaking) -> None:
    event_id = speaking.world.send(ALICE, speaking.room_id)

    speaking.read(FAY, event_id)
    speaking.read(FAY, event_id, thread_id="main")
    speaking.read(FAY, event_id, thread_id="$" + "x" * 43)
    speaking.read(FAY, event_id, thread_id=event_id)  # nobody has answered to it

    assert {receipt.thread_id for receipt in speaking.receipts} == {None, "main"}


def test_a_receipt_for_an_event_that_is_not_here_yet_is_kept_but_not_for_any_number_of_threads(
    speaking: Speaking,
) -> None:
    unknown = EventID("$" + "u" * 43)

    speaking.read(FAY, unknown)
    for number in range(3):
        speaking.read(FAY, unknown, thread_id=f"${number:043}")
    assert [(receipt.event_id, receipt.place) for receipt in speaking.receipts] == [(unknown, None)]
    event_id = speaking.world.send(ALICE, speaking.room_id)
    speaking.read(FAY, event_id)

    assert [receipt.event_id for receipt in speaking.receipts] == [event_id]


def test_receipts_are_forged_by_nobody(speaking: Speaking) -> None:
    world = speaking.world
    event_id = world.send(ALICE, speaking.room_id)
    elsewhere = world.send(BOB, world.create_room(BOB))
    outsider = UserID(f"@outsider:{FAR}")

    speaking.read(ALICE, event_id, FAR)
    speaking.read(NED, event_id, FAR)
    speaking.read(outsider, event_id, FAR)
    speaking.read(FAY, elsewhere, FAR)

    assert speaking.receipts == []


@pytest.mark.parametrize(
    "receipt",
    [
        None,
        {},
        {"event_ids": [], "data": {"ts": 1}},
        {"event_ids": [1], "data": {"ts": 1}},
        {"event_ids": ["$x\0:far.example"], "data": {"ts": 1}},
        {"event_ids": ["$x:far.example"], "data": {}},
        {"event_ids": ["$x:far.example"], "data": {"ts": -1}},
        {"event_ids": ["$x:far.example"], "data": {"ts": 2**60}},
        {"event_ids": ["$x:far.example"], "data": {"ts": True}},
        {"event_ids": ["$x:far.example"], "data": {"ts": 1, "thread_id": 5}},
    ],
)
def test_what_is_no_receipt_is_passed_over_and_those_beside_it_are_not(speaking: Speaking, receipt: Any) -> None:
    event_id = speaking.world.send(ALICE, speaking.room_id)
    other = UserID(f"@other:{FAR}")
    join_remotely(speaking.world, other, speaking.room_id)
    good = {"event_ids": [event_id], "data": {"ts": 1}}

    speaking.say("m.receipt", {speaking.room_id: {"m.read": {FAY: receipt, other: good}, "m.else": 5}})

    assert [one.user_id for one in speaking.receipts] == [other]


def test_private_receipts_are_not_taken_from_others(speaking: Speaking) -> None:
    event_id = speaking.world.send(ALICE, speaking.room_id)
    receipt = {"event_ids": [event_id], "data": {"ts": 1}}

    speaking.say("m.receipt", {speaking.room_id: {"m.read.private": {FAY: receipt}}})

    assert speaking.receipts == []


def test_an_edu_moves_so_many_receipts_and_no_more(speaking: Speaking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_edus, "MOST_RECEIPTS", 2)
    event_id = speaking.world.send(ALICE, speaking.room_id)
    users = [UserID(f"@u{number}:{FAR}") for number in range(3)]
    for user_id in users:
        join_remotely(speaking.world, user_id, speaking.room_id)
    receipt = {"event_ids": [event_id], "data": {"ts": 1}}

    speaking.say("m.receipt", {speaking.room_id: {"m.read": dict.fromkeys(users, receipt)}})

    assert len(speaking.receipts) == 2


# Messages from device to device


def message(messages: Any, message_id: Any = "m1", sender: Any = FAY, event_type: Any = "m.test") -> dict[str, Any]:
    return {"sender": sender, "type": event_type, "message_id": message_id, "messages": messages}


def test_messages_reach_the_devices_that_exist(speaking: Speaking) -> None:
    for device_id in (PHONE, LAPTOP):
        speaking.add_device(ALICE, device_id)
    speaking.add_device(BOB, PHONE)
    messages = {
        ALICE: {PHONE: {"n": 1}, "NOWHERE": {"n": 2}},
        BOB: {"*": {"n": 3}},
        NED: {PHONE: {"n": 4}},
        "@nobody:example.org": {"*": {"n": 5}},
    }

    speaking.say("m.direct_to_device", message(messages))

    assert speaking.inbox(ALICE, PHONE) == [{"sender": FAY, "type": "m.test", "content": {"n": 1}}]
    assert speaking.inbox(ALICE, LAPTOP) == []
    assert [one["content"] for one in speaking.inbox(BOB, PHONE)] == [{"n": 3}]
    assert speaking.inbox(NED, PHONE) == []


def test_a_message_arrives_once_however_often_its_server_sends_it(speaking: Speaking) -> None:
    speaking.add_device(ALICE, PHONE)
    content = message({ALICE: {PHONE: {}}})

    speaking.say("m.direct_to_device", content)
    speaking.say("m.direct_to_device", content)
    assert len(speaking.inbox(ALICE, PHONE)) == 1
    speaking.say("m.direct_to_device", message({ALICE: {PHONE: {}}}, sender=NED), NEAR)

    assert len(speaking.inbox(ALICE, PHONE)) == 2


def test_a_transaction_of_messages_alone_counts_once(speaking: Speaking) -> None:
    speaking.add_device(ALICE, PHONE)
    for message_id in ("a", "b"):
        edu = {"edu_type": "m.direct_to_device", "content": message({ALICE: {PHONE: {}}}, message_id)}
        speaking.receiving.send((), [edu], origin=FAR, transaction_id="t")

    assert len(speaking.inbox(ALICE, PHONE)) == 1


@pytest.mark.parametrize(
    "content",
    [
        {},
        message({ALICE: {PHONE: {}}}, sender=NED),
        message({ALICE: {PHONE: {}}}, sender=ALICE),
        message({ALICE: {PHONE: {}}}, sender=5),
        message({ALICE: {PHONE: {}}}, message_id="x" * 33),
        message({ALICE: {PHONE: {}}}, message_id=None),
        message({ALICE: {PHONE: {}}}, event_type="x" * 256),
        message({ALICE: {PHONE: {}}}, event_type=["m.test"]),
        message({ALICE: {PHONE: {"body": "x" * 70_000}}}),
        message({ALICE: {PHONE: 1}}),
        message({ALICE: [PHONE]}),
        message([ALICE]),
        message({"alice": {PHONE: {}}}),
    ],
)
def test_forged_and_malformed_messages_reach_nobody(speaking: Speaking, content: Any) -> None:
    speaking.add_device(ALICE, PHONE)

    speaking.say("m.direct_to_device", content)

    assert speaking.inbox(ALICE, PHONE) == []
    assert speaking.receiving.edus.counts["m.direct_to_device", "refused"] == 1


# Presence


def seen(speaking: Speaking) -> dict[UserID, Any]:
    """Whom Alice sees, once all is told."""
    now(speaking.world.presence.tell())
    return dict(speaking.world.presence.presence_since(ALICE, 0))


def test_who_is_present_is_shown_as_the_users_server_says(speaking: Speaking) -> None:
    told = {"presence": "online", "last_active_ago": 5_000, "status_msg": "here", "currently_active": True}

    speaking.say("m.presence", {"push": [{"user_id": FAY, **told}]})
    speaking.say("m.presence", {"push": [{"user_id": NED, "presence": "unavailable"}]}, NEAR)

    assert seen(speaking) == {
        FAY: told,
        NED: {"presence": "unavailable", "last_active_ago": 0, "currently_active": False},
    }


def test_a_server_says_nothing_of_others_users_nor_of_those_who_are_nowhere(speaking: Speaking) -> None:
    push = [{"user_id": user_id, "presence": "online"} for user_id in (ALICE, NED, "@nobody:far.example")]

    speaking.say("m.presence", {"push": push})

    assert seen(speaking) == {}
    assert len(speaking.world.presence_views) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": 5},
        {"presence": "busy"},
        {"presence": None},
        {"presence": ["online"]},
        {"last_active_ago": "5"},
        {"last_active_ago": -1},
        {"last_active_ago": 2**60},
        {"last_active_ago": True},
        {"currently_active": "yes"},
        {"status_msg": 5},
        {"status_msg": "x" * 1_001},
        {"status_msg": "a\0b"},
    ],
)
def test_what_is_malformed_is_passed_over_and_those_after_it_are_not(speaking: Speaking, wrong: Any) -> None:
    other = UserID(f"@other:{FAR}")
    join_remotely(speaking.world, other, speaking.room_id)
    right = {"presence": "online", "last_active_ago": 0}

    push = [None, {"user_id": FAY, **right, **wrong}, {"user_id": other, **right}]
    contents: list[Any] = [{}, {"push": {}}, {"push": push}]
    for content in contents:
        speaking.say("m.presence", content)

    assert [*seen(speaking)] == [other]


def test_no_more_users_of_one_edu_are_heard_than_a_number(speaking: Speaking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_edus, "MOST_PRESENT", 1)
    nobody = {"user_id": f"@nobody:{FAR}", "presence": "online"}

    speaking.say("m.presence", {"push": [nobody, {"user_id": FAY, "presence": "online"}]})

    assert seen(speaking) == {}


# The others


def test_news_of_devices_and_keys_are_handed_on(speaking: Speaking) -> None:
    speaking.say("m.device_list_update", {"user_id": FAY})
    speaking.say("m.signing_key_update", {"user_id": NED}, NEAR)

    assert speaking.receiving.devices.heard == [
        ("devices", FAR, {"user_id": FAY}),
        ("keys", NEAR, {"user_id": NED}),
    ]


@pytest.mark.parametrize("edu", [{}, {"edu_type": 5}, {"edu_type": ["m.typing"], "content": {}}, None, "m.typing"])
def test_what_is_unknown_is_passed_over_and_those_after_it_are_not(speaking: Speaking, edu: Any) -> None:
    typing = {"room_id": speaking.room_id, "user_id": FAY, "typing": True}
    presence = {"edu_type": "m.presence", "content": {"push": []}}

    speaking.receiving.send(
        (), [edu, presence, {"edu_type": "x.y"}, {"edu_type": "m.typing", "content": typing}], origin=FAR
    )

    assert speaking.typing == [FAY]


def test_a_transaction_that_is_sent_again_says_nothing_again(speaking: Speaking) -> None:
    typing = {"edu_type": "m.typing", "content": {"room_id": speaking.room_id, "user_id": FAY, "typing": True}}
    to_device = {"edu_type": "m.direct_to_device", "content": message({})}
    speaking.receiving.send((), [typing, to_device], origin=FAR, transaction_id="t")
    speaking.type(FAY, is_typing=False)

    speaking.receiving.send((), [typing, to_device], origin=FAR, transaction_id="t")

    assert speaking.typing == []


def test_a_room_that_is_not_known_here_is_nothing_to_speak_of(speaking: Speaking) -> None:
    speaking.type(FAY, room_id=RoomID("!unknown:far.example"))

    assert speaking.world.typing.serial == 0
