"""Keeps the devices and keys of other servers' users who share a room with a local user, as their servers tell them.

A server tells of each change of a device and names the change before it. When one is missing here, or cannot be read,
the user's list is stale: it is not shown as the truth, and is asked for as a whole until the server has answered; a
server that could not be reached is asked again soon after it is. Of a server that tells of more changes than may be,
nothing more is looked at than whose they are: those lists are asked for once, after a while.
Spec: server-server-api/#device-management
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final

from homeserver.core.cross_signing import CrossSigningKey, KeyUsage, VerifiedSignature
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import DeviceID, KeyID, ServerName, UserID, parse_user_id, server_name_of_user
from homeserver.core.rate_limits import Bucket, RateLimit, take
from homeserver.core.remote_keys import (
    MOST_DEVICES,
    RemoteDevice,
    RemoteIdentity,
    parse_listed_devices,
    parse_remote_device,
    parse_remote_identity,
)
from homeserver.outbound.errors import RemoteError, RemoteNonsense
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops
from homeserver.runtime.parallel import in_parallel
from homeserver.runtime.randomness import Randomness
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.remote_device_keys import RemoteKeysOfUser
from homeserver.storage.cross_signing import (
    cross_signing_keys_of,
    delete_cross_signing_key,
    forget_signatures_by,
    forget_signatures_on,
    key_signatures_on,
    replace_key_signatures,
    store_cross_signing_keys,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.remote_users import (
    RemoteDeviceList,
    bring_forward,
    delete_remote_devices,
    doubt_lists,
    due_lists,
    find_list,
    lists_of,
    next_due_ms,
    remote_devices_of,
    store_list,
    store_remote_devices,
    users_in_rooms_of,
)

LOOP: Final = "stale device lists"
EVERY_S: Final = 5.0
LISTS_AT_ONCE: Final = 200  # in one run
SERVERS_AT_ONCE: Final = 10
FIRST_PAUSE_MS: Final = 60_000
LONGEST_PAUSE_MS: Final = 24 * 3_600_000
CONTACT_S: Final = 30.0  # within which a server that is there again is asked
AGAIN_MS: Final = 2_000  # before a list is asked for again that changed while it was asked for
HEARING: Final = RateLimit(per_second=10, burst=1_000)  # changes of one server that are looked at
OVERHEARD_MS: Final = 60_000  # before lists are asked for of which too much was heard
MOST_REMEMBERED: Final = 10_000  # servers
LARGEST_STREAM_ID: Final = 2**53 - 1
MOST_PREVIOUS: Final = 20
NEVER_MS: Final = 1 << 62

Json = Mapping[str, Any]  # of another server: nobody has looked at it


@dataclass(frozen=True, slots=True)
class Heard:
    """What a server says of a device of one of its users, or (`is_of_keys`) of the keys that sign a user's others."""

    content: Json
    is_of_keys: bool = False


@dataclass(frozen=True, slots=True)
class _Update:
    """A change of one device: `device` is None for one that is gone."""

    user_id: UserID
    device_id: DeviceID
    device: RemoteDevice | None
    stream_id: int
    previous: frozenset[int]


class RemoteUsers:
    """Hears of changes, and asks for the lists of which it missed some."""

    def __init__(
        self,
        database: Database,
        device_lists: DeviceLists,
        client: FederationClient,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._device_lists = device_lists
        self._client = client
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._buckets: OrderedDict[ServerName, Bucket] = OrderedDict()
        self._contacts: dict[ServerName, int] = {}  # servers that are there again, and when to ask them
        self._next_due_ms = 0  # nothing is to be asked for before
        self._loops: Loops | None = None

    def start(self, loops: Loops) -> None:
        """Begin to ask for stale lists, with those that a run before this one has left."""
        self._loops = loops
        loops.start(LOOP, self.ask_for_stale, EVERY_S, first_after_s=0.0)

    async def hear(self, origin: ServerName, heard: Sequence[Heard]) -> None:
        """A server says that devices and keys of its users changed; what it says of users of others is passed over.

        Spec: #definition-mdevice_list_update, #definition-msigning_key_update
        """
        news = [(user_id, one) for one in heard if (user_id := _user_of(origin, one.content)) is not None]
        looked_at = self._draw(origin, len(news))
        overheard = {user_id for user_id, _ in news[looked_at:]}
        if news:
            await self._database.write(self._take_news, news[:looked_at], overheard)

    def note_reachable(self, server: ServerName | None) -> None:
        """A server that did not answer is there again: ask it before long, if not at the moment when all others do."""
        if server is not None and len(self._contacts) < MOST_REMEMBERED:
            wait_ms = int(CONTACT_S * 1000 * self._randomness.fraction())
            self._contacts.setdefault(server, self._clock.now_ms() + wait_ms)

    async def doubt_all(self) -> None:
        """Any number of changes may have been heard of and forgotten: ask for every list once more."""
        await self._database.write(self._doubt)

    def _doubt(self, tx: Transaction) -> None:
        now_ms = self._clock.now_ms()
        if doubt_lists(tx, now_ms=now_ms):
            tx.after_commit(partial(self._hurry, now_ms))

    def note_told(
        self, tx: Transaction, told: Mapping[UserID, RemoteKeysOfUser], before: Mapping[UserID, RemoteDeviceList]
    ) -> None:
        """Keep what servers were just asked for all devices of users, until it is asked for as lists.

        Lists are kept of users who share a room alone. `before` are the lists as they were when the servers were asked:
        what was heard since then is newer.
        """
        for user_id in users_in_rooms_of(tx, told, self._server_name):
            kept = find_list(tx, user_id)
            if kept != before.get(user_id):
                continue
            if self._keep(tx, user_id, told[user_id]) and kept is not None:
                self._device_lists.note_remote_change(tx, user_id)
            if kept is None or not kept.is_stale:
                self._mark_stale(tx, user_id, kept)

    async def ask_for_stale(self) -> None:
        """Ask for those stale lists that are due, one at a time of each server."""
        now_ms = self._clock.now_ms()
        there_again = [server for server, due_ms in self._contacts.items() if due_ms <= now_ms]
        if there_again:
            for server in there_again:
                del self._contacts[server]
            await self._database.write(bring_forward, there_again, now_ms=now_ms)
            self._next_due_ms = now_ms
        if now_ms < self._next_due_ms:
            return
        self._next_due_ms = NEVER_MS  # until somebody knows better
        due = await self._database.read(due_lists, now_ms=now_ms, limit=LISTS_AT_ONCE)
        by_server: dict[ServerName, list[RemoteDeviceList]] = {}
        for stale in due:
            by_server.setdefault(server_name_of_user(stale.user_id), []).append(stale)
        await in_parallel([partial(self._ask_for_all, *one) for one in by_server.items()], at_once=SERVERS_AT_ONCE)
        next_ms = await self._database.read(next_due_ms)
        if next_ms is not None:
            self._next_due_ms = min(self._next_due_ms, next_ms)

    async def _ask_for_all(self, server: ServerName, stale_lists: list[RemoteDeviceList]) -> None:
        for stale in stale_lists:
            position = await self._database.read(self._position_to_ask_at, stale.user_id)
            if position is None:
                await self._database.write(self._put_off, stale.user_id)  # it is swept in its time
                continue
            try:
                answer = await self._client.user_devices(server, stale.user_id)
                told, stream_id = _list_of(stale.user_id, answer)
            except RemoteError:
                await self._database.write(self._put_off, stale.user_id)
                continue
            asked = replace(stale, checked_position=position, stream_id=stream_id)
            await self._database.write(self._take_list, asked, told)

    def _position_to_ask_at(self, tx: Transaction, user_id: UserID) -> int | None:
        """What the server answers now is known from here on; None for somebody who shares no room any more."""
        return tx.log_position if users_in_rooms_of(tx, [user_id], self._server_name) else None

    def _draw(self, origin: ServerName, wanted: int) -> int:
        """How many of so many changes of a server are looked at."""
        now_ms = self._clock.now_ms()
        bucket, drawn = self._buckets.pop(origin, None), 0
        while drawn < wanted:
            bucket, wait_ms = take(HEARING, bucket, now_ms)
            if wait_ms is not None:
                break
            drawn += 1
        if bucket is not None:
            self._buckets[origin] = bucket
            if len(self._buckets) > MOST_REMEMBERED:
                self._buckets.popitem(last=False)
        return drawn

    def _take_news(self, tx: Transaction, news: Sequence[tuple[UserID, Heard]], overheard: Collection[UserID]) -> None:
        for user_id, one in news:
            if one.is_of_keys:
                self._take_keys(tx, user_id, one.content)
            else:
                self._take_update(tx, user_id, _update_of(user_id, one.content))
        shared = users_in_rooms_of(tx, overheard, self._server_name)
        kept = lists_of(tx, shared)
        at_ms = self._clock.now_ms() + self._jittered(OVERHEARD_MS)
        for user_id in shared:
            self._mark_stale(tx, user_id, kept.get(user_id), at_ms)

    def _take_update(self, tx: Transaction, user_id: UserID, update: _Update | None) -> None:
        if not users_in_rooms_of(tx, [user_id], self._server_name):
            return
        kept = find_list(tx, user_id)
        if kept is not None and not kept.is_stale and update is not None:
            if update.previous == {kept.stream_id}:
                self._apply(tx, kept, update)
                return
            if update.stream_id == kept.stream_id:
                return  # it was taken before, or is in the list that was asked for
        if kept is not None:
            self._mark_stale(tx, user_id, kept)
        self._device_lists.note_remote_change(tx, user_id)  # without a list too: somebody may have asked for the keys

    def _apply(self, tx: Transaction, kept: RemoteDeviceList, update: _Update) -> None:
        """An update that follows on the last one that was taken."""
        devices = remote_devices_of(tx, [kept.user_id]).get(kept.user_id, {})
        if update.device is not None and update.device_id not in devices and len(devices) >= MOST_DEVICES:
            return
        if devices.get(update.device_id) != update.device:
            if update.device is None:
                delete_remote_devices(tx, kept.user_id, [update.device_id])
            else:
                store_remote_devices(tx, kept.user_id, [update.device])
            self._device_lists.note_remote_change(tx, kept.user_id)
        now = replace(kept, stream_id=update.stream_id, marks=kept.marks + 1)
        store_list(tx, now, now_ms=self._clock.now_ms())

    def _take_keys(self, tx: Transaction, user_id: UserID, content: Json) -> None:
        if not users_in_rooms_of(tx, [user_id], self._server_name):
            return
        kept = find_list(tx, user_id)
        if kept is not None:
            known_master = cross_signing_keys_of(tx, user_id).get(KeyUsage.MASTER)
            identity = parse_remote_identity(
                user_id,
                content.get("master_key"),
                content.get("self_signing_key"),
                devices=remote_devices_of(tx, [user_id]).get(user_id, {}),
                known_master=known_master,
            )
            if _says_all(content, identity):
                has_changed = _keep_identity(tx, user_id, identity, keeps_others=True)
                if not has_changed:
                    return
                store_list(tx, replace(kept, marks=kept.marks + 1), now_ms=self._clock.now_ms())
            else:
                self._mark_stale(tx, user_id, kept)
        self._device_lists.note_remote_change(tx, user_id)

    def _take_list(self, tx: Transaction, asked: RemoteDeviceList, told: RemoteKeysOfUser) -> None:
        """A whole list was answered. What was heard meanwhile may be missing in it: then it stays stale."""
        kept = find_list(tx, asked.user_id)
        if kept is None:
            return
        has_changed = self._keep(tx, asked.user_id, told)
        is_stale = kept.marks != asked.marks
        now_ms = self._clock.now_ms()
        next_ms = now_ms + AGAIN_MS
        fresh = replace(asked, is_stale=is_stale, marks=kept.marks + 1, failures=0, next_attempt_ms=next_ms)
        store_list(tx, fresh, now_ms=now_ms)
        if is_stale:
            tx.after_commit(partial(self._hurry, next_ms))
        if has_changed:
            self._device_lists.note_remote_change(tx, asked.user_id)

    def _put_off(self, tx: Transaction, user_id: UserID) -> None:
        kept = find_list(tx, user_id)
        if kept is not None:
            now_ms = self._clock.now_ms()
            pause_ms = self._jittered(min(FIRST_PAUSE_MS << min(kept.failures, 20), LONGEST_PAUSE_MS))
            later = replace(kept, failures=kept.failures + 1, next_attempt_ms=now_ms + pause_ms)
            store_list(tx, later, now_ms=now_ms)

    def _jittered(self, pause_ms: int) -> int:
        return int(pause_ms * (1 - self._randomness.fraction() / 2))

    def _mark_stale(
        self, tx: Transaction, user_id: UserID, kept: RemoteDeviceList | None, at_ms: int | None = None
    ) -> None:
        """Have the list asked for, at once or (`at_ms`) later."""
        now_ms = self._clock.now_ms()
        at_ms = now_ms if at_ms is None else at_ms
        if kept is None:
            stale = RemoteDeviceList(user_id, None, 0, is_stale=True, marks=0, failures=0, next_attempt_ms=at_ms)
        elif kept.is_stale:
            stale = replace(kept, marks=kept.marks + 1)  # what its server answers now may be older
        else:
            stale = replace(kept, is_stale=True, marks=kept.marks + 1, failures=0, next_attempt_ms=at_ms)
        store_list(tx, stale, now_ms=now_ms)
        tx.after_commit(partial(self._hurry, stale.next_attempt_ms))

    def _hurry(self, at_ms: int) -> None:
        self._next_due_ms = min(self._next_due_ms, at_ms)
        if self._loops is not None and at_ms <= self._clock.now_ms():
            self._loops.hurry(LOOP)

    def _keep(self, tx: Transaction, user_id: UserID, told: RemoteKeysOfUser) -> bool:
        """Put this in place of all that is known of a user; False when it is the same."""
        known = remote_devices_of(tx, [user_id]).get(user_id, {})
        delete_remote_devices(tx, user_id, known.keys() - told.devices.keys())
        store_remote_devices(tx, user_id, [one for id_, one in told.devices.items() if known.get(id_) != one])
        has_other_keys = _keep_identity(tx, user_id, told.identity, keeps_others=False)
        return has_other_keys or known != dict(told.devices)


def _says_all(content: Json, identity: RemoteIdentity) -> bool:
    """Whether every key that is in an update could be taken."""
    return all(
        content.get(field) is None or key is not None
        for field, key in (("master_key", identity.master), ("self_signing_key", identity.self_signing))
    )


def _keep_identity(tx: Transaction, user_id: UserID, identity: RemoteIdentity, *, keeps_others: bool) -> bool:
    """Put these keys in place of those of the same usages, and of all others unless `keeps_others`.

    A self-signing key that another master key has signed is no longer one. False when everything is as it was.
    """
    known = cross_signing_keys_of(tx, user_id)
    new = {key.usage: key for key in identity.keys}
    has_new_master = KeyUsage.MASTER in new and not _is_same(known.get(KeyUsage.MASTER), new[KeyUsage.MASTER])
    has_changed = False
    for usage, old in known.items():
        is_kept = keeps_others and usage not in new and not has_new_master
        if not is_kept and not _is_same(old, new.get(usage)):
            delete_cross_signing_key(tx, user_id, usage)
            forget_signatures_on(tx, user_id, old.public_key)
            forget_signatures_by(tx, user_id, old.verify_key.key_id)
            has_changed = True
    for usage, key in new.items():
        if not _is_same(known.get(usage), key):
            store_cross_signing_keys(tx, [key])
            has_changed = True
        signatures = _signatures_of(key)
        if set(key_signatures_on(tx, user_id, key.public_key)) != signatures:
            replace_key_signatures(tx, user_id, key.public_key, sorted(signatures, key=lambda one: one.key_id))
            has_changed = True
    return has_changed


def _is_same(old: CrossSigningKey | None, new: CrossSigningKey | None) -> bool:
    if old is None or new is None:
        return old is new
    return _unsigned(old) == _unsigned(new)


def _unsigned(key: CrossSigningKey) -> Json:
    return {name: value for name, value in key.payload.items() if name != "signatures"}


def _signatures_of(key: CrossSigningKey) -> set[VerifiedSignature]:
    of_owner = key.payload.get("signatures", {}).get(key.user_id, {})
    return {VerifiedSignature(key.user_id, KeyID(key_id), signature) for key_id, signature in of_owner.items()}


def _user_of(origin: ServerName, content: Json) -> UserID | None:
    """The user whom an update is about; None if its server has no say in it."""
    user = content.get("user_id")
    try:
        user_id = parse_user_id(user if isinstance(user, str) else "")
    except BadIdentifier:
        return None
    return user_id if server_name_of_user(user_id) == origin else None


def _update_of(user_id: UserID, content: Json) -> _Update | None:
    """None for an update that cannot be read: then the whole list is asked for."""
    device = parse_remote_device(
        user_id, content.get("device_id"), content.get("keys"), content.get("device_display_name")
    )
    stream_id, previous = _stream_id(content.get("stream_id")), content.get("prev_id", [])
    if device is None or stream_id is None or not isinstance(previous, list):
        return None
    known = frozenset(id_ for one in islice(previous, MOST_PREVIOUS) if (id_ := _stream_id(one)) is not None)
    is_gone = content.get("deleted") is True
    return _Update(user_id, device.device_id, None if is_gone else device, stream_id, known)


def _stream_id(value: object) -> int | None:
    """None for what can be none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_STREAM_ID:
        return value
    return None


def _list_of(user_id: UserID, answer: Json) -> tuple[RemoteKeysOfUser, int]:
    """What a server answered. Raises RemoteNonsense."""
    stream_id = _stream_id(answer.get("stream_id"))
    if answer.get("user_id", user_id) != user_id or stream_id is None:
        raise RemoteNonsense("the answer is no list of the user's devices")
    devices = parse_listed_devices(user_id, answer["devices"])
    identity = parse_remote_identity(user_id, answer.get("master_key"), answer.get("self_signing_key"), devices=devices)
    return RemoteKeysOfUser(devices, identity), stream_id
