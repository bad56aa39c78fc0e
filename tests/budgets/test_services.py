"""What the services may cost once they are warm, in transactions and crossings of threads."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import DeviceID, RoomID, UserID, parse_user_id
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.receipts import READ, Marker
from homeserver.services.rooms.relations import RelationsQuestion
from homeserver.services.sync.request import Answer, SyncRequest
from homeserver.storage.database import Transaction
from homeserver.storage.devices import insert_device
from tests.budgets.costs import NOTHING, ONE_READ, ONE_WRITE, Cost, cost_of
from tests.fakes.policy_source import KEY as POLICY_KEY
from tests.services.accounts.people import register, whose
from tests.services.federation.others import FAR, FAY, join_remotely
from tests.services.rooms.related import edit, reply
from tests.services.world import ALICE, BOB, CAROL, PHONE, SERVER, World, now

POLLS = 50
DEVICES = 100
ALGORITHM = "signed_curve25519"


def cost(world: World, use_case: Callable[[], Coroutine[Any, Any, object]]) -> Cost:
    """What a use case costs that has nothing to wait for but the database."""
    return cost_of(world.sync_database.counts, lambda: now(use_case()))


def people(number: int) -> list[UserID]:
    """So many users."""
    return [parse_user_id(f"@user{index}:{SERVER}") for index in range(number)]


def poll(user_id: UserID, since: SyncToken | None, timeout_ms: int = 0) -> SyncRequest:
    """A sync of the user's phone."""
    return SyncRequest(viewer=Viewer(user_id, PHONE), since=since, timeout_ms=timeout_ms)


def token_of(world: World, user_id: UserID) -> SyncToken:
    """The token of a sync of now, which makes the user's memory warm."""
    return now(world.long_poll.sync(poll(user_id, None))).next_batch


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room of Alice, Bob and Carol in which something was said."""
    room_id = world.create_room(ALICE, preset="public_chat")
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    world.send(ALICE, room_id, "warm", "before")
    return room_id


def with_devices(world: World, number: int) -> list[tuple[UserID, DeviceID]]:
    """So many users with a device each, which has published its keys."""
    devices = [(user_id, PHONE) for user_id in people(number)]

    def insert(tx: Transaction) -> None:
        for user_id, device_id in devices:
            insert_device(tx, user_id, device_id, display_name=None, now_ms=0)

    world.sync_database.write(insert)
    for user_id, device_id in devices:
        signatures = {user_id: {f"ed25519:{device_id}": "signature"}}
        device_keys = {
            "user_id": user_id,
            "device_id": device_id,
            "algorithms": [],
            "keys": {f"ed25519:{device_id}": "key"},
            "signatures": signatures,
        }
        one_time_keys = {f"{ALGORITHM}:AAAA": {"key": "key", "signatures": signatures}}
        now(world.device_keys.upload(user_id, device_id, device_keys=device_keys, one_time_keys=one_time_keys))
    return devices


# --- Rooms ---


@pytest.mark.parametrize("transaction_id", [None, "txn"])
def test_a_message_is_one_write(world: World, room_id: RoomID, transaction_id: str | None) -> None:
    spent = cost_of(world.sync_database.counts, lambda: world.send(ALICE, room_id, "hello", transaction_id))

    assert spent == ONE_WRITE


def test_a_message_that_was_sent_already_is_one_write(world: World, room_id: RoomID) -> None:
    spent = cost_of(world.sync_database.counts, lambda: world.send(ALICE, room_id, "warm", "before"))

    assert spent == ONE_WRITE


def test_a_message_that_a_policy_server_signs_is_two_writes(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    join_remotely(world, FAY, room_id)
    policy = {"via": FAR, "public_keys": {"ed25519": POLICY_KEY.verify_key.to_base64()}}
    now(world.sending.set_state(ALICE, room_id, "m.room.policy", "", policy))

    spent = cost_of(world.sync_database.counts, lambda: world.send(ALICE, room_id))

    assert spent == Cost(writes=2, batches=2, hops=2)


def test_a_message_costs_the_same_in_a_large_room(world: World, room_id: RoomID) -> None:
    for user_id in people(100):
        world.join(user_id, room_id)

    spent = cost_of(world.sync_database.counts, lambda: world.send(ALICE, room_id))

    assert spent == ONE_WRITE


@pytest.mark.parametrize(
    "change",
    [
        lambda world, room_id: world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "news"}),
        lambda world, room_id: world.membership.leave(BOB, room_id, None),
        lambda world, room_id: world.membership.kick(ALICE, room_id, BOB, "for the test"),
        lambda world, room_id: world.membership.ban(ALICE, room_id, BOB, None),
        lambda world, room_id: world.membership.invite(ALICE, room_id, UserID("@dave:example.org"), None),
        lambda world, room_id: world.membership.join(UserID("@dave:example.org"), room_id, None),
    ],
    ids=["state", "leave", "kick", "ban", "invite", "join"],
)
def test_a_change_of_state_is_one_write(
    world: World, room_id: RoomID, change: Callable[[World, RoomID], Coroutine[Any, Any, object]]
) -> None:
    assert cost(world, lambda: change(world, room_id)) == ONE_WRITE


def test_a_room_is_made_in_one_write(world: World) -> None:
    world.create_room(ALICE)

    spent = cost_of(
        world.sync_database.counts,
        lambda: world.create_room(ALICE, preset="public_chat", name="Room", topic="All", invite=[BOB, CAROL]),
    )

    assert spent == ONE_WRITE


@pytest.mark.parametrize("backwards", [True, False])
def test_a_page_of_history_is_one_read(world: World, room_id: RoomID, *, backwards: bool) -> None:
    for number in range(60):
        world.send(ALICE, room_id, str(number))

    spent = cost(
        world,
        lambda: world.timeline.messages(
            Viewer(BOB, PHONE),
            room_id,
            begin=None,
            end=None,
            backwards=backwards,
            limit=50,
            event_filter=RoomEventFilter(),
        ),
    )

    assert spent == ONE_READ


def test_a_thread_and_what_relates_to_it_are_one_read_each(world: World, room_id: RoomID) -> None:
    root = world.send(ALICE, room_id)
    for number in range(3):
        edit(world, BOB, room_id, reply(world, BOB, room_id, root), str(number))
    carol = Viewer(CAROL, PHONE)

    spent = [
        cost(world, lambda: world.timeline.event(carol, room_id, root)),
        cost(world, lambda: world.relations.related(carol, room_id, root, RelationsQuestion(recurse=True))),
        cost(world, lambda: world.threads.threads(carol, room_id, with_viewer=False, begin=None, limit=None)),
    ]

    assert spent == [ONE_READ] * 3


def test_a_message_in_a_thread_is_one_write(world: World, room_id: RoomID) -> None:
    root = world.send(ALICE, room_id)

    assert cost_of(world.sync_database.counts, lambda: reply(world, BOB, room_id, root)) == ONE_WRITE


def test_a_timeline_with_a_gap_is_read_only_if_something_in_it_relates_to_something(
    world: World, room_id: RoomID
) -> None:
    def catches_up() -> Cost:
        return cost(world, lambda: world.long_poll.sync(poll(BOB, since)))

    since = token_of(world, BOB)
    sent = [world.send(ALICE, room_id, str(number)) for number in range(20)]
    without = catches_up()
    reply(world, ALICE, room_id, sent[-1])

    assert (without, catches_up()) == (NOTHING, ONE_READ)


def test_a_receipt_is_one_write(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)

    assert cost(world, lambda: world.receipts.mark(BOB, room_id, [Marker(READ, event_id)])) == ONE_WRITE


def test_typing_costs_nothing_once_the_room_is_known(world: World, room_id: RoomID) -> None:
    def types(*, is_typing: bool) -> Cost:
        return cost(world, lambda: world.typing.set_typing(BOB, BOB, room_id, is_typing=is_typing))

    first = types(is_typing=True)

    assert first == ONE_READ
    assert [types(is_typing=is_typing) for is_typing in (True, False, True)] == [NOTHING] * 3


# --- Syncs ---


def wait(world: World, users: list[UserID], tokens: list[SyncToken]) -> list[Answer]:
    """Long polls of these users; their answers appear in the list."""
    answers: list[Answer] = []
    for user_id, token in zip(users, tokens, strict=True):
        Deferred.fromCoroutine(world.long_poll.sync(poll(user_id, token, 30_000))).addCallback(answers.append)
    return answers


def test_an_event_wakes_many_long_polls_without_a_read(world: World, room_id: RoomID) -> None:
    users = people(POLLS)
    for user_id in users:
        world.join(user_id, room_id)
    answers = wait(world, users, [token_of(world, user_id) for user_id in users])

    def send() -> None:
        world.send(ALICE, room_id)
        world.clock.advance(0)

    assert cost_of(world.sync_database.counts, send) == ONE_WRITE
    assert len(answers) == POLLS
    assert all(room_id in answer.body["rooms"]["join"] for answer in answers)


def test_who_is_in_many_rooms_hears_of_each_without_a_read(world: World, room_id: RoomID) -> None:
    rooms = [room_id, *(world.create_room(ALICE, preset="public_chat") for _ in range(3))]
    for joined in rooms[1:]:
        world.join(BOB, joined)
    token = token_of(world, BOB)

    def hear_of(joined: RoomID) -> Answer:
        world.send(ALICE, joined)
        before = world.database.counts.reads
        answer = now(world.long_poll.sync(poll(BOB, token)))
        assert world.database.counts.reads == before
        return answer

    for joined in (*rooms, *rooms):
        answer = hear_of(joined)
        token = answer.next_batch

    section = answer.body["rooms"]["join"][rooms[-1]]
    assert section["unread_notifications"]["notification_count"] == 2


def test_a_receipt_wakes_long_polls_without_a_read(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)
    users = [ALICE, CAROL]
    answers = wait(world, users, [token_of(world, user_id) for user_id in users])

    def mark() -> None:
        now(world.receipts.mark(BOB, room_id, [Marker(READ, event_id)]))
        world.clock.advance(0)

    assert cost_of(world.sync_database.counts, mark) == ONE_WRITE
    assert len(answers) == len(users)


def test_typing_wakes_long_polls_without_a_read(world: World, room_id: RoomID) -> None:
    now(world.typing.set_typing(BOB, BOB, room_id, is_typing=True))
    answers = wait(world, [ALICE], [token_of(world, ALICE)])

    def stop() -> None:
        now(world.typing.set_typing(BOB, BOB, room_id, is_typing=False))
        world.clock.advance(0)

    assert cost_of(world.sync_database.counts, stop) == NOTHING
    assert len(answers) == 1


def test_a_sync_for_which_nothing_happened_costs_nothing(world: World, room_id: RoomID) -> None:
    token = token_of(world, BOB)

    assert cost(world, lambda: world.long_poll.sync(poll(BOB, token))) == NOTHING


def test_what_happens_elsewhere_costs_a_sync_nothing(world: World, room_id: RoomID) -> None:
    elsewhere = world.create_room(CAROL)
    token = token_of(world, BOB)
    world.send(CAROL, elsewhere)

    assert cost(world, lambda: world.long_poll.sync(poll(BOB, token))) == NOTHING


def test_a_timeout_costs_nothing(world: World, room_id: RoomID) -> None:
    answers = wait(world, [BOB], [token_of(world, BOB)])

    spent = cost_of(world.sync_database.counts, lambda: world.clock.advance(30))

    assert spent == NOTHING
    assert [answer.is_empty for answer in answers] == [True]


def comes(world: World, *user_ids: UserID) -> None:
    """Let users be online, and whoever it concerns be told."""
    for user_id in user_ids:
        world.presence.set_status(user_id, PHONE, user_id, "online", None)
    now(world.presence.tell())
    world.clock.advance(0)


def test_presence_of_many_wakes_long_polls_by_one_read(world: World, room_id: RoomID) -> None:
    users = people(POLLS)
    for user_id in users:
        world.join(user_id, room_id)
    answers = wait(world, users, [token_of(world, user_id) for user_id in users])

    spent = cost_of(world.sync_database.counts, lambda: comes(world, ALICE, BOB, CAROL))

    assert spent == ONE_READ
    assert [len(answer.body["presence"]["events"]) for answer in answers] == [3] * POLLS


def test_presence_of_strangers_costs_who_waits_nothing(world: World, room_id: RoomID) -> None:
    stranger = UserID("@stranger:example.org")
    world.create_room(stranger)
    answers = wait(world, [BOB], [token_of(world, BOB)])
    waiting = len(world.bell)

    spent = cost_of(world.sync_database.counts, lambda: comes(world, stranger))

    assert spent == ONE_READ  # who is to be told
    assert (answers, len(world.bell)) == ([], waiting)
    assert cost_of(world.sync_database.counts, lambda: world.clock.advance(30)) == NOTHING
    assert [answer.is_empty for answer in answers] == [True]


def test_polling_costs_nothing_while_nothing_changes(world: World, room_id: RoomID) -> None:
    comes(world, BOB)

    def polls() -> None:
        for _ in range(10):
            with world.presence.polling(BOB, PHONE, None):
                world.clock.advance(5)
            now(world.presence.tell())

    assert cost_of(world.sync_database.counts, polls) == NOTHING


def test_an_initial_sync_of_many_rooms_is_one_read(world: World) -> None:
    for _ in range(20):
        world.create_room(ALICE)

    assert cost(world, lambda: world.long_poll.sync(poll(ALICE, None))) == ONE_READ


# --- Devices ---


def test_a_message_for_many_devices_is_one_write(world: World) -> None:
    devices = with_devices(world, DEVICES)
    messages = {user_id: {device_id: {"body": "secret"}} for user_id, device_id in devices}

    spent = cost(world, lambda: world.to_device.send(ALICE, PHONE, "m.room.encrypted", "txn", messages))

    assert spent == ONE_WRITE


def test_the_keys_of_many_devices_are_one_read(world: World) -> None:
    devices = with_devices(world, DEVICES)

    spent = cost(world, lambda: world.device_keys.query(ALICE, {user_id: [] for user_id, _ in devices}))

    assert spent == ONE_READ


def test_claiming_a_key_of_many_devices_is_one_write(world: World) -> None:
    devices = with_devices(world, DEVICES)
    claims = {user_id: {device_id: ALGORITHM} for user_id, device_id in devices}

    assert cost(world, lambda: world.device_keys.claim(claims)) == ONE_WRITE


def test_what_many_devices_have_received_is_deleted_in_one_write(world: World) -> None:
    devices = with_devices(world, DEVICES)
    tokens = {user_id: token_of(world, user_id) for user_id, _ in devices}
    messages = {user_id: {device_id: {"body": "secret"}} for user_id, device_id in devices}
    now(world.to_device.send(ALICE, PHONE, "m.room.encrypted", "txn", messages))
    received = {user_id: now(world.long_poll.sync(poll(user_id, token))) for user_id, token in tokens.items()}
    for user_id, answer in received.items():
        now(world.long_poll.sync(poll(user_id, answer.next_batch)))

    assert all(len(answer.body["to_device"]["events"]) == 1 for answer in received.values())
    assert cost(world, world.long_poll.flush_acknowledged) == ONE_WRITE


def test_polls_of_a_device_that_received_nothing_leave_nothing_to_delete(world: World, room_id: RoomID) -> None:
    token = token_of(world, BOB)
    now(world.long_poll.sync(poll(BOB, token)))
    now(world.long_poll.flush_acknowledged())  # what was there before this server started

    world.send(ALICE, room_id)
    later = now(world.long_poll.sync(poll(BOB, token))).next_batch
    now(world.long_poll.sync(poll(BOB, later)))

    assert cost(world, world.long_poll.flush_acknowledged) == NOTHING


# --- Accounts ---


def test_a_token_that_is_known_costs_nothing(world: World) -> None:
    token = register(world, "dave").tokens.access_token
    whose(world, token)

    assert cost_of(world.sync_database.counts, lambda: whose(world, token)) == NOTHING


def test_many_devices_that_were_seen_are_noted_in_one_write(world: World) -> None:
    sessions = [register(world, f"user{number}") for number in range(20)]
    for session in sessions * 3:
        requester = whose(world, session.tokens.access_token)
        assert requester is not None
        world.device_activity.note(requester, "192.0.2.1", lambda _: "A client")

    assert cost(world, world.device_activity.flush) == ONE_WRITE
    assert cost(world, world.device_activity.flush) == NOTHING
