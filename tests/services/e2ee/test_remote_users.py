"""Device lists of other servers' users: kept while they are told of, asked for when something was missed."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.e2ee.device_keys import DeviceKeys, QueriedKeys
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys
from homeserver.services.e2ee.remote_user_keys import RemoteUserKeys
from homeserver.services.e2ee.remote_users import (
    AGAIN_MS,
    CONTACT_S,
    FIRST_PAUSE_MS,
    HEARING,
    OVERHEARD_MS,
    Heard,
    RemoteUsers,
)
from homeserver.storage.remote_users import LOOKED_AT_EVERY_MS, find_list, remote_devices_of, sweep_unshared
from tests.fakes.key_servers import KeyServers, Person
from tests.services.e2ee.signed_keys import (
    LAPTOP,
    PHONE,
    cross_signing_key,
    device_keys,
    identity,
    public,
    publish_identity,
    signed,
)
from tests.services.federation.others import join_remotely, leave_remotely
from tests.services.world import ALICE, BOB, SERVER, World, now

FAR = ServerName("far.example")
FAY = UserID(f"@fay:{FAR}")
MASTER, SELF_SIGNING = KeyUsage.MASTER, KeyUsage.SELF_SIGNING


class Patience(SeededRandomness):
    """Waits for as long as may be."""

    def fraction(self) -> float:
        return 0.0


class Neighbours:
    """Alice, and Fay of another server, who has a phone; they share a room unless the test wants it otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.servers = KeyServers()
        client = FederationClient(self.servers, OpenGate(), SERVER, world.key, world.clock)
        self.users = RemoteUsers(world.database, world.device_lists, client, world.clock, Patience(), SERVER)
        elsewhere = RemoteUserKeys(world.database, RemoteDeviceKeys(client, world.clock), self.users, SERVER)
        self.keys = DeviceKeys(
            world.database, world.device_lists, elsewhere, world.key_visibility, world.news, world.clock, SERVER
        )
        self.fay: Person = self.servers.person(FAY)
        self.fay.devices[PHONE] = device_keys(FAY)
        self.room_id: RoomID = world.create_room(ALICE, preset="public_chat")

    def share(self) -> None:
        join_remotely(self.world, FAY, self.room_id)

    def query(self, viewer: UserID = ALICE, *device_ids: str) -> QueriedKeys:
        return now(self.keys.query(viewer, {FAY: list(device_ids)}))

    def devices(self) -> set[str]:
        return set(self.query().devices.get(FAY, {}))

    def asked(self) -> list[str]:
        """What Fay's server was asked since the last call."""
        operations = [operation for _, operation in self.servers.operations()]
        self.servers.asked.clear()
        return operations

    def run(self) -> None:
        now(self.users.ask_for_stale())

    def settle(self) -> None:
        """Have Fay's list kept, and fresh."""
        self.query()
        self.run()
        assert self.asked() == ["query", "devices"]

    def add(self, device_id: str, **more: Any) -> dict[str, Any]:
        """Fay gets a device, or another one; the update that tells of it."""
        self.fay.devices[device_id] = device_keys(FAY, device_id, **more)
        return self.update(device_id, keys=self.fay.devices[device_id])

    def update(self, device_id: str, **more: Any) -> dict[str, Any]:
        self.fay.stream_id += 1
        stream_id = self.fay.stream_id
        told = {"user_id": FAY, "device_id": device_id, "stream_id": stream_id, "prev_id": [stream_id - 1]}
        return {**told, **more}

    def hear(self, content: dict[str, Any], origin: ServerName = FAR) -> None:
        now(self.users.hear(origin, [Heard(content)]))

    def changed(self, since: int, user_id: UserID = ALICE) -> bool:
        """Whether a user is told that Fay's devices changed."""
        return FAY in now(self.world.device_lists.changes_since(user_id, since))[0]

    @property
    def position(self) -> int:
        return self.world.database.position


@pytest.fixture
def strangers(world: World) -> Neighbours:
    return Neighbours(world)


@pytest.fixture
def neighbours(world: World) -> Neighbours:
    made = Neighbours(world)
    made.share()
    return made


def test_who_shares_no_room_is_asked_for_each_time_and_nothing_is_kept(strangers: Neighbours) -> None:
    assert strangers.devices() == strangers.devices() == {PHONE}

    strangers.run()

    assert strangers.asked() == ["query", "query"]
    assert strangers.world.sync_database.read(remote_devices_of, [FAY]) == {}


def test_the_list_of_who_shares_a_room_is_asked_for_once_and_shown_from_then_on(neighbours: Neighbours) -> None:
    neighbours.fay.names[PHONE] = "Fay's phone"
    first = neighbours.query()

    neighbours.run()
    second = neighbours.query()
    third = neighbours.query(BOB, PHONE, "OTHER")

    assert neighbours.asked() == ["query", "devices"]
    assert first.devices == second.devices == third.devices
    assert second.devices[FAY][PHONE] == {
        **device_keys(FAY),
        "unsigned": {"device_display_name": "Fay's phone"},
    }
    assert neighbours.query(ALICE, "OTHER").devices == {FAY: {}}


def test_a_query_of_fresh_lists_is_one_read(neighbours: Neighbours) -> None:
    neighbours.settle()
    counts = neighbours.world.database.counts
    before = (counts.reads, counts.writes)

    neighbours.query()

    assert (counts.reads, counts.writes) == (before[0] + 1, before[1])


def test_an_update_that_follows_on_the_last_one_is_taken_and_told(neighbours: Neighbours) -> None:
    neighbours.settle()
    before = neighbours.position

    neighbours.hear(neighbours.add(LAPTOP))

    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE, LAPTOP}
    neighbours.run()
    assert neighbours.asked() == []


def test_a_device_that_went_is_gone(neighbours: Neighbours) -> None:
    neighbours.settle()
    before = neighbours.position
    del neighbours.fay.devices[PHONE]

    neighbours.hear(neighbours.update(PHONE, deleted=True))

    assert neighbours.changed(before)
    assert neighbours.devices() == set()
    assert neighbours.asked() == []


def test_the_same_update_again_is_no_news(neighbours: Neighbours) -> None:
    neighbours.settle()
    update = neighbours.add(LAPTOP)
    neighbours.hear(update)
    before = neighbours.position

    neighbours.hear(update)
    neighbours.run()

    assert not neighbours.changed(before)
    assert neighbours.asked() == []


def test_when_an_update_is_missing_the_server_is_asked_and_nothing_stale_is_shown_as_the_truth(
    neighbours: Neighbours,
) -> None:
    neighbours.settle()
    before = neighbours.position
    neighbours.add(LAPTOP)  # nobody hears of it
    late = neighbours.add("TABLET")

    neighbours.hear(late)

    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE, LAPTOP, "TABLET"}
    neighbours.run()
    assert neighbours.asked() == ["query", "devices"]
    assert neighbours.devices() == {PHONE, LAPTOP, "TABLET"}
    assert neighbours.asked() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream_id": "2"},
        {"stream_id": None},
        {"stream_id": True},
        {"stream_id": -1},
        {"stream_id": 2**60},
        {"prev_id": 1},
        {"prev_id": []},
        {"prev_id": ["1"]},
        {"prev_id": [1, 0]},
        {"device_id": ""},
        {"device_id": None},
        {"keys": []},
        {"keys": {"user_id": FAY}},
        {"keys": device_keys(UserID("@mal:far.example"), LAPTOP)},
    ],
)
def test_an_update_that_cannot_be_read_makes_the_list_stale(neighbours: Neighbours, wrong: dict[str, Any]) -> None:
    neighbours.settle()
    before = neighbours.position

    neighbours.hear({**neighbours.add(LAPTOP), **wrong})
    neighbours.run()

    assert neighbours.changed(before)
    assert neighbours.asked() == ["devices"]
    assert neighbours.devices() == {PHONE, LAPTOP}


@pytest.mark.parametrize("keys", [{}, {"keys": {}}, {"keys": {**device_keys(FAY, LAPTOP), "keys": {}}}])
def test_an_update_of_a_device_without_keys_is_taken_and_told_and_shown_to_nobody(
    neighbours: Neighbours, keys: dict[str, Any]
) -> None:
    neighbours.settle()
    before = neighbours.position

    neighbours.hear({**neighbours.update(LAPTOP, device_display_name="new"), **keys})
    neighbours.run()

    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE}
    assert neighbours.query(ALICE, LAPTOP).devices[FAY] == {}
    assert neighbours.asked() == []


@pytest.mark.parametrize("keys", [None, {}, {"device_keys": {}}, {**device_keys(FAY, LAPTOP), "keys": {}}, [], "keys"])
def test_a_device_without_usable_keys_keeps_nobody_from_the_rest_of_the_list(neighbours: Neighbours, keys: Any) -> None:
    neighbours.settle()
    neighbours.add("TABLET")
    neighbours.servers.tampers["devices"] = lambda answer: {
        **answer,
        "devices": [{"device_id": LAPTOP, "keys": keys}, *answer["devices"]],
    }
    before = neighbours.position

    neighbours.hear({**neighbours.update(LAPTOP), "keys": keys})
    neighbours.run()

    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE, "TABLET"}
    assert neighbours.asked() == ["devices"]


@pytest.mark.parametrize("user", [None, 1, "fay", "@fay:elsewhere.example", ALICE, f"@bob:{SERVER}"])
def test_a_server_has_no_say_in_users_of_others(neighbours: Neighbours, user: Any) -> None:
    neighbours.settle()
    before = neighbours.position
    content = {**neighbours.add(LAPTOP), "user_id": user}

    neighbours.hear(content)
    now(neighbours.users.hear(FAR, [Heard({**identity(FAY), "user_id": user}, is_of_keys=True)]))
    neighbours.hear({**content, "user_id": FAY}, ServerName("mal.example"))

    assert neighbours.position == before
    assert neighbours.devices() == {PHONE}


def test_nothing_is_kept_or_told_of_who_shares_no_room(strangers: Neighbours) -> None:
    before = strangers.position

    strangers.hear(strangers.add(LAPTOP))
    now(strangers.users.hear(FAR, [Heard({**identity(FAY), "user_id": FAY}, is_of_keys=True)]))

    assert strangers.position == before
    assert strangers.world.sync_database.read(find_list, FAY) is None


def test_updates_of_users_of_whom_no_list_is_kept_are_told(neighbours: Neighbours) -> None:
    before = neighbours.position

    neighbours.hear(neighbours.add(LAPTOP))

    assert neighbours.changed(before)
    assert not neighbours.changed(before, BOB)
    assert neighbours.world.sync_database.read(find_list, FAY) is None


def test_a_server_that_does_not_answer_is_asked_again_after_pauses_that_grow(neighbours: Neighbours) -> None:
    neighbours.settle()
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    neighbours.servers.failures[FAR] = Unreachable("gone")

    pauses_s = (FIRST_PAUSE_MS / 1000, 2 * FIRST_PAUSE_MS / 1000)
    neighbours.run()
    for pause_s in pauses_s:
        neighbours.world.clock.advance(pause_s - 1)
        neighbours.run()
        assert neighbours.asked() == ["devices"]
        neighbours.world.clock.advance(1)
        neighbours.run()
    neighbours.servers.failures.clear()
    neighbours.world.clock.advance(4 * FIRST_PAUSE_MS / 1000)
    neighbours.run()

    assert neighbours.asked() == ["devices", "devices"]
    assert neighbours.devices() == {PHONE}
    assert neighbours.asked() == []


def test_a_server_that_is_there_again_is_asked_before_long(neighbours: Neighbours) -> None:
    neighbours.settle()
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    neighbours.servers.failures[FAR] = Unreachable("gone")
    for _ in range(6):
        neighbours.run()
        neighbours.world.clock.advance(32 * FIRST_PAUSE_MS / 1000)
    neighbours.run()
    neighbours.servers.failures.clear()
    neighbours.asked()

    neighbours.users.note_reachable(ServerName("near.example"))
    neighbours.users.note_reachable(None)
    neighbours.world.clock.advance(CONTACT_S)
    neighbours.run()
    assert neighbours.asked() == []
    neighbours.users.note_reachable(FAR)
    neighbours.world.clock.advance(CONTACT_S)
    neighbours.run()

    assert neighbours.asked() == ["devices"]
    assert neighbours.devices() == {PHONE}


def test_of_a_server_that_tells_of_too_many_changes_the_list_is_asked_for_once(neighbours: Neighbours) -> None:
    neighbours.settle()
    most = int(HEARING.burst)
    news = [Heard(neighbours.update(PHONE, keys=device_keys(FAY), device_display_name=f"{n}")) for n in range(most)]
    for start in range(0, most, 100):
        now(neighbours.users.hear(FAR, news[start : start + 100]))
    before = neighbours.position

    for _ in range(20):
        neighbours.hear(neighbours.add(LAPTOP))
        neighbours.run()
    told_at_once = neighbours.changed(before)
    asked_at_once = neighbours.asked()
    neighbours.world.clock.advance(OVERHEARD_MS / 1000)
    neighbours.run()

    assert not told_at_once
    assert asked_at_once == []
    assert neighbours.asked() == ["devices"]
    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE, LAPTOP}


def test_a_server_that_tells_of_too_much_keeps_no_other_from_being_heard(neighbours: Neighbours) -> None:
    neighbours.settle()
    loud = ServerName("loud.example")
    for number in range(100):
        some = [Heard({"user_id": f"@x{number}.{each}:{loud}"}) for each in range(100)]
        now(neighbours.users.hear(loud, some))

    neighbours.hear(neighbours.add(LAPTOP))

    assert neighbours.devices() == {PHONE, LAPTOP}
    assert neighbours.asked() == []


def test_many_changes_that_came_together_are_one_write(neighbours: Neighbours) -> None:
    neighbours.settle()
    news = [Heard(neighbours.add(f"D{number}")) for number in range(10)]
    counts = neighbours.world.database.counts
    written = counts.writes

    now(neighbours.users.hear(FAR, news))

    assert counts.writes == written + 1
    assert neighbours.devices() == {PHONE, *(f"D{number}" for number in range(10))}


def test_while_a_server_does_not_answer_what_was_known_last_is_shown_with_the_failure(neighbours: Neighbours) -> None:
    neighbours.settle()
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    neighbours.servers.failures[FAR] = Unreachable("gone")

    found = neighbours.query()

    assert found.devices[FAY].keys() == {PHONE}
    assert found.unreachable == {FAR}


def test_what_is_heard_while_a_list_is_asked_for_keeps_it_stale(neighbours: Neighbours) -> None:
    neighbours.query()
    neighbours.servers.held[FAR] = Deferred()
    asking = Deferred.fromCoroutine(neighbours.users.ask_for_stale())
    answer = neighbours.servers.held.pop(FAR)
    older = dict(neighbours.fay.devices)
    update = neighbours.add(LAPTOP)
    neighbours.hear(update)
    newer, neighbours.fay.devices = neighbours.fay.devices, older

    answer.callback(None)
    neighbours.fay.devices = newer

    assert asking.called
    assert neighbours.devices() == {PHONE, LAPTOP}
    neighbours.run()
    assert neighbours.asked() == ["query", "devices", "query"]
    neighbours.world.clock.advance(AGAIN_MS / 1000)
    neighbours.run()
    assert neighbours.asked() == ["devices"]
    assert neighbours.devices() == {PHONE, LAPTOP}


def test_what_a_list_has_beyond_what_was_shown_is_told(neighbours: Neighbours) -> None:
    neighbours.query()
    before = neighbours.position
    neighbours.run()
    was_told = neighbours.changed(before)
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    before = neighbours.position
    neighbours.add(LAPTOP)

    neighbours.run()

    assert not was_told
    assert neighbours.changed(before)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"devices": []},
        {"devices": [], "stream_id": "1"},
        {"devices": [], "stream_id": 1, "user_id": "@mal:far.example"},
        {"devices": {}, "stream_id": 1},
    ],
)
def test_a_list_that_makes_no_sense_is_none(neighbours: Neighbours, answer: Any) -> None:
    neighbours.settle()
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    neighbours.servers.tampers["devices"] = lambda _: answer

    neighbours.run()

    assert neighbours.world.sync_database.read(remote_devices_of, [FAY])[FAY].keys() == {PHONE}
    assert neighbours.devices() == {PHONE}
    assert neighbours.asked() == ["devices", "query"]


def test_a_list_is_no_longer_believed_when_the_last_room_was_left_in_between(neighbours: Neighbours) -> None:
    """Nobody told of what happened meanwhile."""
    neighbours.settle()
    leave_remotely(neighbours.world, FAY, neighbours.room_id)
    neighbours.add(LAPTOP)
    neighbours.share()

    assert neighbours.devices() == {PHONE, LAPTOP}
    assert neighbours.asked() == ["query"]
    neighbours.run()
    assert neighbours.devices() == {PHONE, LAPTOP}
    assert neighbours.asked() == ["devices"]


def test_who_comes_and_goes_is_told_as_changed_and_left(neighbours: Neighbours) -> None:
    neighbours.settle()
    before = neighbours.position

    leave_remotely(neighbours.world, FAY, neighbours.room_id)
    between = neighbours.position
    neighbours.share()

    assert now(neighbours.world.device_lists.changes_since(ALICE, between)) == ({FAY}, set())
    world = Neighbours(neighbours.world)
    world.share()
    leave_remotely(neighbours.world, FAY, neighbours.room_id)
    leave_remotely(neighbours.world, FAY, world.room_id)
    assert now(neighbours.world.device_lists.changes_since(ALICE, before)) == (set(), {FAY})


def test_what_is_kept_goes_when_no_room_is_shared_any_more(neighbours: Neighbours) -> None:
    neighbours.fay.master = identity(FAY)["master_key"]
    neighbours.settle()
    database, clock = neighbours.world.sync_database, neighbours.world.clock
    clock.advance(LOOKED_AT_EVERY_MS / 1000 + 1)
    kept = database.write(sweep_unshared, clock.now_ms(), 10)
    leave_remotely(neighbours.world, FAY, neighbours.room_id)

    too_early = database.write(sweep_unshared, clock.now_ms(), 10)
    clock.advance(LOOKED_AT_EVERY_MS / 1000 + 1)
    gone = database.write(sweep_unshared, clock.now_ms(), 10)

    assert (kept, too_early, gone) == (0, 0, 3)  # the list, the phone, the master key
    assert database.read(find_list, FAY) is None
    assert database.read(remote_devices_of, [FAY]) == {}


def test_cross_signing_keys_are_kept_with_the_list(neighbours: Neighbours) -> None:
    keys = identity(FAY)
    neighbours.fay.master = signed(keys["master_key"], FAY, f"{FAY} {PHONE}", PHONE)
    neighbours.fay.self_signing = keys["self_signing_key"]
    neighbours.settle()

    found = neighbours.query().cross_signing

    assert found == {MASTER: {FAY: neighbours.fay.master}, SELF_SIGNING: {FAY: neighbours.fay.self_signing}}
    assert neighbours.asked() == []


def test_other_cross_signing_keys_are_taken_and_end_what_hung_on_the_old_ones(neighbours: Neighbours) -> None:
    keys, other = identity(FAY), identity(FAY, "2")
    neighbours.fay.master, neighbours.fay.self_signing = keys["master_key"], keys["self_signing_key"]
    neighbours.settle()
    before = neighbours.position

    now(neighbours.users.hear(FAR, [Heard({"user_id": FAY, "master_key": other["master_key"]}, is_of_keys=True)]))
    with_master = neighbours.query().cross_signing
    update = {"user_id": FAY, "self_signing_key": other["self_signing_key"]}
    now(neighbours.users.hear(FAR, [Heard(update, is_of_keys=True)]))
    with_both = neighbours.query().cross_signing

    assert neighbours.changed(before)
    assert with_master.keys() == {MASTER}
    assert with_master[MASTER][FAY]["keys"] == other["master_key"]["keys"]
    assert with_both[SELF_SIGNING][FAY] == other["self_signing_key"]
    before = neighbours.position
    now(neighbours.users.hear(FAR, [Heard(update, is_of_keys=True)]))
    assert neighbours.position == before
    assert neighbours.asked() == []


@pytest.mark.parametrize(
    "told",
    [
        {"self_signing_key": cross_signing_key(FAY, "self_signing", "forged")},
        {"self_signing_key": signed(cross_signing_key(FAY, "self_signing", "forged"), FAY, "not the master")},
        {"master_key": cross_signing_key(FAY, "user_signing")},
        {"master_key": cross_signing_key(ALICE, "master")},
        {"master_key": 1},
    ],
)
def test_no_cross_signing_key_is_taken_that_is_not_signed_as_it_must_be(
    neighbours: Neighbours, told: dict[str, Any]
) -> None:
    keys = identity(FAY)
    neighbours.fay.master, neighbours.fay.self_signing = keys["master_key"], keys["self_signing_key"]
    neighbours.settle()
    shown = neighbours.query().cross_signing

    now(neighbours.users.hear(FAR, [Heard({"user_id": FAY, **told}, is_of_keys=True)]))
    neighbours.run()

    assert neighbours.query().cross_signing == shown
    assert neighbours.asked() == ["devices"]


def test_a_user_can_verify_a_user_of_another_server_and_alone_sees_it(neighbours: Neighbours) -> None:
    neighbours.fay.master = identity(FAY)["master_key"]
    publish_identity(neighbours.world, ALICE)
    neighbours.settle()
    verified = signed(cross_signing_key(FAY, "master"), ALICE, f"{ALICE} user_signing")
    key_id = public(f"{FAY} master")

    failures = now(neighbours.world.cross_signing.upload_signatures(ALICE, {FAY: {key_id: verified}}))

    assert failures == {}
    assert neighbours.query(ALICE).cross_signing[MASTER][FAY]["signatures"] == verified["signatures"]
    assert "signatures" not in neighbours.query(BOB).cross_signing[MASTER][FAY]
    neighbours.hear(neighbours.update(PHONE, prev_id=[]))
    assert neighbours.query(ALICE).cross_signing[MASTER][FAY]["signatures"] == verified["signatures"]


def test_when_lists_are_in_doubt_each_is_asked_for_once_more(neighbours: Neighbours) -> None:
    neighbours.settle()
    neighbours.add(LAPTOP)  # which is told of, and then forgotten here
    before = neighbours.position

    now(neighbours.users.doubt_all())
    neighbours.run()

    assert neighbours.asked() == ["devices"]
    assert neighbours.changed(before)
    assert neighbours.devices() == {PHONE, LAPTOP}
    neighbours.run()
    assert neighbours.asked() == []
