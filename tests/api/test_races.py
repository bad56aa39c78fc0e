"""What comes of requests that arrive at once: one wins, none is lost, nothing is given out twice."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final, TypeVar

from tests.api.client import PASSWORD, Client, meanwhile, numbers
from tests.api.test_key_backups import ONE, create, key
from tests.services.e2ee.signed_keys import device_keys, one_time_key

T = TypeVar("T")
AT_ONCE: Final = 8

# Any: JSON, throughout.


def at_once(*works: Callable[[], T]) -> list[T]:
    """Begin everything at the same moment; what each returned."""
    gate = Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        gate.wait(timeout=60)
        return work()

    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        return [future.result() for future in [pool.submit(begin, work) for work in works]]


def statuses(clients: Sequence[Client], method: str, *path: str, content: bytes = b"{}") -> list[int]:
    """Send the same request in several clients' names at once; how each was answered."""

    def ask(client: Client) -> Callable[[], int]:
        return lambda: client.send(method, *path, content=content).status

    return at_once(*map(ask, clients))


def ids(events: list[Any]) -> list[str]:
    return [event["event_id"] for event in events]


def test_messages_of_many_senders_at_once_are_all_there_in_one_order_for_all(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = alice.token()
    clients = [alice, bob] * (AT_ONCE // 2)

    def talk(client: Client, speaker: int) -> Callable[[], list[str]]:
        message = {"msgtype": "m.text", "body": "x"}
        return lambda: [client.send_event(room_id, "m.room.message", message, f"{speaker}.{n}") for n in range(5)]

    sent = at_once(*(talk(client, speaker) for speaker, client in enumerate(clients)))

    whole = {"room": {"timeline": {"limit": 100}}}
    told = [ids(c.sync(since, filter=whole)["rooms"]["join"][room_id]["timeline"]["events"]) for c in (alice, bob)]
    assert sorted(told[0]) == sorted(event_id for events in sent for event_id in events)
    assert told[0] == told[1] == ids(alice.messages(room_id, limit=100)["chunk"])[: len(told[0])][::-1]
    for events in sent:
        assert [event_id for event_id in told[0] if event_id in events] == events


def test_who_follows_by_long_polls_misses_nothing_that_is_said_at_once(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    count = AT_ONCE * 4

    def follow() -> list[str]:
        token, heard = since, list[str]()
        while len(heard) < count:
            news = bob.sync(token, timeout_ms=60_000, filter={"room": {"timeline": {"limit": 100}}})
            token = news["next_batch"]
            heard += ids(news.get("rooms", {}).get("join", {}).get(room_id, {}).get("timeline", {}).get("events", []))
        return heard

    def talk() -> list[str]:
        return [alice.login_again().say(room_id, "x") for _ in range(4)]

    with meanwhile(follow) as following:
        sent = [event_id for events in at_once(*[talk] * AT_ONCE) for event_id in events]

    assert sorted(following.result()) == sorted(sent)


def test_the_same_state_set_by_many_at_once_ends_in_one_value_for_all(alice: Client, bob: Client) -> None:
    levels = {"state_default": 0}
    room_id = alice.create_room_with(bob, power_level_content_override=levels)

    def describe(client: Client, text: str) -> Callable[[], str]:
        return lambda: client.set_state(room_id, "m.room.topic", {"topic": text})

    sent = at_once(*(describe(client, str(number)) for number, client in enumerate([alice, bob] * (AT_ONCE // 2))))

    current = {event["type"]: event for event in alice.get("rooms", room_id, "state")}["m.room.topic"]
    newest = next(event for event in bob.messages(room_id)["chunk"] if event["type"] == "m.room.topic")
    assert current["event_id"] in sent
    assert newest["event_id"] == current["event_id"]


def test_a_name_is_registered_once(nobody: Client) -> None:
    name = f"wanted.{next(numbers)}"
    sessions = [nobody.post("register", body={}, status=401)["session"] for _ in range(AT_ONCE)]

    def register(session: str) -> Callable[[], int]:
        auth = {"type": "m.login.dummy", "session": session}
        body = (
            f'{{"username":"{name}","password":"{PASSWORD}","auth":{{"type":"{auth["type"]}","session":"{session}"}}}}'
        )
        return lambda: nobody.send("POST", "register", content=body.encode()).status

    assert sorted(at_once(*map(register, sessions))) == [200] + [400] * (AT_ONCE - 1)


def test_an_alias_is_given_once(alice: Client) -> None:
    name = f"wanted-{next(numbers)}"
    content = f'{{"room_alias_name":"{name}"}}'.encode()

    answers = statuses([alice] * AT_ONCE, "POST", "createRoom", content=content)

    assert sorted(answers) == [200] + [400] * (AT_ONCE - 1)
    assert len(alice.get("joined_rooms")["joined_rooms"]) == 1


def test_one_who_joins_many_times_at_once_is_in_the_room_once(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(preset="public_chat")
    since = alice.token()

    answers = statuses([bob] * AT_ONCE, "POST", "rooms", room_id, "join")

    assert answers == [200] * AT_ONCE
    (event,) = alice.sync(since)["rooms"]["join"][room_id]["timeline"]["events"]
    assert event["state_key"] == bob.user_id


def test_a_ban_and_a_join_at_once_leave_the_user_out(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(preset="public_chat")

    def ban() -> int:
        return alice.send("POST", "rooms", room_id, "ban", content=f'{{"user_id":"{bob.user_id}"}}'.encode()).status

    def join() -> int:
        return bob.send("POST", "rooms", room_id, "join", content=b"{}").status

    banned, joined = at_once(ban, join)

    assert banned == 200
    assert joined in (200, 403)
    assert alice.state(room_id, "m.room.member", bob.user_id)["membership"] == "ban"
    assert bob.get("joined_rooms")["joined_rooms"] == []


def test_a_one_time_key_is_claimed_by_one(alice: Client, bob: Client) -> None:
    keys = {f"signed_curve25519:{n}": one_time_key(bob.user_id, f"key{n}", bob.device_id) for n in range(AT_ONCE * 2)}
    bob.post("keys", "upload", body={"device_keys": device_keys(bob.user_id, bob.device_id), "one_time_keys": keys})
    wanted = {"one_time_keys": {bob.user_id: {bob.device_id: "signed_curve25519"}}}

    def claim() -> list[str]:
        answers = [alice.post("keys", "claim", body=wanted)["one_time_keys"] for _ in range(2)]
        return [name for answer in answers for name in answer[bob.user_id][bob.device_id]]

    claimed = [name for taken in at_once(*[claim] * AT_ONCE) for name in taken]

    assert sorted(claimed) == sorted(keys)


def test_a_login_and_the_end_of_all_sessions_at_once_leave_no_half_of_a_session(alice: Client) -> None:
    def login() -> Client:
        return alice.login_again()

    def end() -> Client:
        alice.post("logout", "all")
        return alice

    *others, _ = at_once(*[login] * (AT_ONCE - 1), end)

    after = alice.login_again()
    devices = {device["device_id"] for device in after.get("devices")["devices"]}
    alive = {other.device_id for other in others if other.send("GET", "account", "whoami").status == 200}
    assert devices == alive | {after.device_id}


def test_versions_of_a_key_backup_that_devices_make_at_once_all_differ_and_the_newest_is_current(
    alice: Client,
) -> None:
    laptop = alice.login_again()

    versions = at_once(*[lambda: create(alice), lambda: create(laptop)] * (AT_ONCE // 2))

    assert len(set(versions)) == AT_ONCE
    assert alice.get("room_keys", "version")["version"] == max(versions, key=int)


def test_keys_that_devices_back_up_at_once_are_counted_once_each_and_of_two_the_better_is_kept(alice: Client) -> None:
    devices = [alice, *(alice.login_again() for _ in range(3))]
    version = create(alice)
    before = alice.get("room_keys", "version")

    def back_up(number: int) -> Callable[[], Any]:
        own = {f"own{number}-{part}": key() for part in range(3)}
        shared = {"shared": key(str(number), first_message_index=number)}
        body = {"sessions": {**own, **shared}}
        client = devices[number % len(devices)]
        return lambda: client.put("room_keys", "keys", ONE, query={"version": version}, body=body)

    answers = at_once(*map(back_up, range(AT_ONCE)))

    after = alice.get("room_keys", "version")
    sessions = alice.get("room_keys", "keys", ONE, query={"version": version})["sessions"]
    assert after["count"] == len(sessions) == 3 * AT_ONCE + 1
    assert sessions["shared"]["first_message_index"] == 0
    etags = [answer["etag"] for answer in answers]
    assert len({before["etag"], *etags}) == 1 + AT_ONCE
    assert (after["count"], after["etag"]) in [(answer["count"], answer["etag"]) for answer in answers]


def test_a_backup_that_is_deleted_while_keys_are_added_has_none_of_them(alice: Client) -> None:
    version = create(alice)

    def back_up(number: int) -> Callable[[], int]:
        body = json.dumps(key()).encode()
        path = ("room_keys", "keys", ONE, f"s{number}")
        return lambda: alice.send("PUT", *path, content=body, query={"version": version}).status

    def delete() -> int:
        return alice.send("DELETE", "room_keys", "version", version).status

    *added, deleted = at_once(*map(back_up, range(AT_ONCE - 1)), delete)

    assert set(added) <= {200, 404}
    assert deleted == 200
    alice.get("room_keys", "keys", query={"version": version}, status=404, errcode="M_NOT_FOUND")
    renewed = create(alice)
    assert alice.get("room_keys", "version")["count"] == 0
    assert alice.get("room_keys", "keys", query={"version": renewed}) == {"rooms": {}}


def test_of_keys_that_are_added_while_a_new_version_is_made_those_that_are_late_are_told_which_it_is(
    alice: Client,
) -> None:
    old = create(alice)

    def back_up(number: int) -> Callable[[], Any]:
        body = json.dumps(key()).encode()
        path = ("room_keys", "keys", ONE, f"s{number}")
        return lambda: alice.send("PUT", *path, content=body, query={"version": old})

    *answers, new = at_once(*map(back_up, range(AT_ONCE - 1)), lambda: create(alice))

    refused = [answer.json for answer in answers if answer.status != 200]
    assert all(answer["errcode"] == "M_WRONG_ROOM_KEYS_VERSION" for answer in refused)
    assert {answer["current_version"] for answer in refused} <= {new}
    assert alice.get("room_keys", "version", old)["count"] == len(answers) - len(refused)
    assert alice.get("room_keys", "version")["count"] == 0
