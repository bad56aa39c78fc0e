"""Device keys: published by each device, queried and claimed by whoever encrypts for it.

Spec: client-server-api/#key-distribution. Keys of users of other servers are those servers' to give: how they are
asked for is in remote_device_keys.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.cross_signing import KeyUsage, VerifiedSignature, visible_to, with_signatures
from homeserver.core.device_keys import (
    KeyClaim,
    KeyQuery,
    OneTimeKey,
    checked_device_keys,
    is_same_key,
    parse_claims,
    parse_fallback_keys,
    parse_key_queries,
    parse_one_time_keys,
)
from homeserver.core.identifiers import DeviceID, KeyID, ServerName, UserID, server_name_of_user
from homeserver.core.slices import slices
from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.key_visibility import KeyVisibility
from homeserver.services.errors import InvalidParameter, UnknownToken
from homeserver.services.events.news import DEVICES_PER_NEWS, KeyCountsWritten, News
from homeserver.storage.cross_signing import (
    PublishedKeys,
    forget_signatures_by,
    forget_signatures_on,
    published_keys,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_keys import (
    ClaimedKey,
    claim_fallback_keys,
    claim_one_time_keys,
    fallback_keys_of,
    find_device_keys,
    find_one_time_keys,
    forget_claimed_keys,
    insert_one_time_keys,
    key_counts,
    store_device_keys,
    store_fallback_keys,
    withhold_one_time_keys,
)
from homeserver.storage.devices import find_device

JsonObject = dict[str, Any]  # what clients published, of any shape

STRANGER: Final = UserID("")  # a viewer who is no user of this server: nobody else's signatures are for them
PATIENCE_S: Final = 10.0  # how long to wait for other servers, unless the asker says
ONE_TIME_KEYS_PER_DEVICE: Final = 5_000
FALLBACK_KEYS_PER_DEVICE: Final = 64


@dataclass(frozen=True, slots=True)
class QueriedKeys:
    """What users publish, as the one who asks may see it; and the servers that did not tell."""

    devices: dict[UserID, dict[DeviceID, JsonObject]]
    cross_signing: dict[KeyUsage, dict[UserID, JsonObject]]
    unreachable: set[ServerName] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ClaimedKeys:
    """The keys that were handed out, by their full IDs; and the servers that did not answer."""

    keys: dict[UserID, dict[DeviceID, dict[str, Any]]]  # Any: JSON, or a fragment of it
    unreachable: set[ServerName] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class KeyUpload:
    """Keys that a device publishes, checked. No device keys: those that it has stay."""

    device_keys: JsonObject | None
    one_time_keys: Sequence[OneTimeKey]
    fallback_keys: Sequence[OneTimeKey]


class KeysElsewhere(Protocol):
    """Has the keys of users of other servers, or asks for them."""

    async def query(self, viewer_id: UserID, queries: Sequence[KeyQuery], timeout_s: float) -> QueriedKeys:
        """As DeviceKeys.query, for users of other servers."""

    async def claim(self, claims: Sequence[KeyClaim], timeout_s: float) -> ClaimedKeys:
        """As DeviceKeys.claim, for users of other servers."""


class DeviceKeys:
    """Keeps what devices publish, and hands it out."""

    def __init__(
        self,
        database: Database,
        device_lists: DeviceLists,
        elsewhere: KeysElsewhere,
        visibility: KeyVisibility,
        news: News,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._device_lists = device_lists
        self._elsewhere = elsewhere
        self._visibility = visibility
        self._news = news
        self._clock = clock
        self._server_name = server_name

    async def upload(
        self,
        user_id: UserID,
        device_id: DeviceID | None,
        *,
        device_keys: object = None,
        one_time_keys: object = None,
        fallback_keys: object = None,
    ) -> dict[str, int]:
        """Publish keys of a device; what is None stays as it is. How many one-time keys it has now, by algorithm.

        Raises BadJson, and InvalidParameter for another key under the ID of one that waits to be claimed.
        """
        if device_id is None:
            raise InvalidParameter("Keys belong to a device, and this access token belongs to none")
        upload = parse_upload(user_id, device_id, device_keys, one_time_keys, fallback_keys)
        return await self._database.write(self.publish, user_id, device_id, upload)

    async def query(self, viewer_id: UserID, device_keys: object, timeout_s: float = PATIENCE_S) -> QueriedKeys:
        """The keys of users' devices, with those that sign them; of other servers' users, unless it takes too long.

        Of whom the viewer may not know is left out. Raises BadJson.
        """
        queries = await self._visibility.for_user(viewer_id, parse_key_queries(device_keys))
        found = await self.query_local(viewer_id, queries)
        remote = [query for query in queries if not self._is_local(query.user_id)]
        if not remote:
            return found
        told = await self._elsewhere.query(viewer_id, remote, timeout_s)
        cross_signing = {
            usage: {**found.cross_signing.get(usage, {}), **told.cross_signing.get(usage, {})}
            for usage in found.cross_signing.keys() | told.cross_signing.keys()
        }
        return QueriedKeys({**found.devices, **told.devices}, cross_signing, told.unreachable)

    async def query_local(self, viewer_id: UserID, queries: Sequence[KeyQuery]) -> QueriedKeys:
        """The keys of this server's users alone, as the viewer, or a STRANGER, may see them."""
        local = {query.user_id: query for query in queries if self._is_local(query.user_id)}
        if not local:
            return QueriedKeys({}, {})
        return shown_keys(viewer_id, local, await self._database.read(published_keys, local, viewer_id=viewer_id))

    async def claim(self, one_time_keys: object, timeout_s: float = PATIENCE_S) -> ClaimedKeys:
        """Take a one-time key of each of these devices, or their fallback keys where none is left. Raises BadJson."""
        claims = parse_claims(one_time_keys)
        taken = await self.claim_local(claims)
        remote = [claim for claim in claims if not self._is_local(claim.user_id)]
        if not remote:
            return taken
        given = await self._elsewhere.claim(remote, timeout_s)
        return ClaimedKeys({**taken.keys, **given.keys}, given.unreachable)

    async def claim_local(self, claims: Sequence[KeyClaim]) -> ClaimedKeys:
        """Take keys of this server's devices alone."""
        local = [claim for claim in claims if self._is_local(claim.user_id)]
        taken = await self._database.write(self._claim, local) if local else []
        keys: dict[UserID, dict[DeviceID, dict[str, Any]]] = {}
        for one in taken:
            of_device = keys.setdefault(one.claim.user_id, {}).setdefault(one.claim.device_id, {})
            of_device[one.full_id] = orjson.Fragment(one.key)
        return ClaimedKeys(keys)

    async def withhold_one_time_keys(self, user_id: UserID, device_id: DeviceID) -> None:
        """Hand out none of the one-time keys that a device has here."""
        await self._database.write(self._withhold, user_id, device_id)

    def _withhold(self, tx: Transaction, user_id: UserID, device_id: DeviceID) -> None:
        if withhold_one_time_keys(tx, user_id, device_id, now_ms=self._clock.now_ms()):
            self._tell_counts(tx, {(user_id, device_id)})

    def _is_local(self, user_id: UserID) -> bool:
        return server_name_of_user(user_id) == self._server_name

    def publish(self, tx: Transaction, user_id: UserID, device_id: DeviceID, upload: KeyUpload) -> dict[str, int]:
        """As `upload`, within a write of the caller. Raises InvalidParameter, UnknownToken."""
        if find_device(tx, user_id, device_id) is None:
            raise UnknownToken("This device was logged out")
        if upload.device_keys is not None:
            self._store_device_keys(tx, user_id, device_id, upload.device_keys)
        has_added = _add_one_time_keys(tx, user_id, device_id, upload.one_time_keys)
        has_replaced = _replace_fallback_keys(tx, user_id, device_id, upload.fallback_keys)
        counts = key_counts(tx, user_id, device_id).one_time
        if sum(counts.values()) > ONE_TIME_KEYS_PER_DEVICE:
            raise InvalidParameter(f"A device may have {ONE_TIME_KEYS_PER_DEVICE} one-time keys")
        if has_added or has_replaced:
            self._tell_counts(tx, {(user_id, device_id)})
        return counts

    def _store_device_keys(self, tx: Transaction, user_id: UserID, device_id: DeviceID, keys: JsonObject) -> None:
        encoded = encode_canonical(keys)
        known = find_device_keys(tx, user_id, device_id)
        if known == encoded:
            return
        if known is None or _without_signatures(orjson.loads(known)) != _without_signatures(keys):
            forget_signatures_on(tx, user_id, device_id)
            forget_signatures_by(tx, user_id, f"ed25519:{device_id}")
        store_device_keys(tx, user_id, device_id, encoded)
        self._device_lists.note_change(tx, user_id, (device_id,))

    def _claim(self, tx: Transaction, claims: Sequence[KeyClaim]) -> list[ClaimedKey]:
        taken = claim_one_time_keys(tx, claims, now_ms=self._clock.now_ms())
        served = {one.claim for one in taken}
        taken += claim_fallback_keys(tx, [claim for claim in claims if claim not in served])
        if taken:
            self._tell_counts(tx, {(one.claim.user_id, one.claim.device_id) for one in taken})
        return taken

    def _tell_counts(self, tx: Transaction, devices: Collection[tuple[UserID, DeviceID]]) -> None:
        tx.at_position((), partial(self._tell_counts_at, devices=devices))

    def _tell_counts_at(self, tx: Transaction, position: int, *, devices: Collection[tuple[UserID, DeviceID]]) -> None:
        for some in slices(list(devices), DEVICES_PER_NEWS):
            written = KeyCountsWritten(position, frozenset(some))
            tx.after_commit(partial(self._news.publish, written, {user_id for user_id, _ in some}))


def parse_upload(
    user_id: UserID, device_id: DeviceID, device_keys: object, one_time_keys: object, fallback_keys: object
) -> KeyUpload:
    """What a device wants to publish; what is None stays as it is. Raises BadJson."""
    checked = None
    if device_keys is not None:
        checked = _own_part(checked_device_keys(device_keys, user_id=user_id, device_id=device_id))
    one_time = () if one_time_keys is None else parse_one_time_keys(one_time_keys)
    fallback = () if fallback_keys is None else parse_fallback_keys(fallback_keys)
    return KeyUpload(checked, one_time, fallback)


def _add_one_time_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, keys: Sequence[OneTimeKey]) -> bool:
    """Add those keys that are new; False when none is."""
    if not keys:
        return False
    known = find_one_time_keys(tx, user_id, device_id, {key.key_id for key in keys})
    new: list[OneTimeKey] = []
    reused: set[str] = set()
    for key in keys:
        stored = known.get(key.full_id)
        if stored is not None and is_same_key(stored.key.key, key.key):
            continue  # an upload whose answer was lost; a key that was handed out meanwhile stays so
        if stored is not None and not stored.is_claimed:
            raise InvalidParameter(f"There is another one-time key {key.full_id}")
        if stored is not None:
            reused.add(key.key_id)
        new.append(key)
    forget_claimed_keys(tx, user_id, device_id, reused)
    insert_one_time_keys(tx, user_id, device_id, new)
    return bool(new)


def _replace_fallback_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, keys: Sequence[OneTimeKey]) -> bool:
    """Put new keys, unused, in place of the old ones; a key that was there before stays as used as it is."""
    if not keys:
        return False
    known = fallback_keys_of(tx, user_id, device_id)
    if len(known.keys() | {key.algorithm for key in keys}) > FALLBACK_KEYS_PER_DEVICE:
        raise InvalidParameter(f"A device may have {FALLBACK_KEYS_PER_DEVICE} fallback keys")
    new = [
        key
        for key in keys
        if key.algorithm not in known
        or known[key.algorithm].key_id != key.key_id
        or not is_same_key(known[key.algorithm].key, key.key)
    ]
    store_fallback_keys(tx, user_id, device_id, new)
    return bool(new)


def _own_part(keys: JsonObject) -> JsonObject:
    """A device's keys without what is not the device's to say: signatures by other users, and `unsigned`."""
    own = {name: value for name, value in keys.items() if name != "unsigned"}
    user_id = keys["user_id"]
    own["signatures"] = {user: by_key for user, by_key in keys["signatures"].items() if user == user_id}
    return own


def _without_signatures(keys: JsonObject) -> JsonObject:
    return {name: value for name, value in keys.items() if name != "signatures"}


def shown_keys(viewer_id: UserID, queries: Mapping[UserID, KeyQuery], published: PublishedKeys) -> QueriedKeys:
    """What the viewer is shown of what was published: every queried user is there, whether known or not."""
    signatures: dict[tuple[UserID, str], list[VerifiedSignature]] = {}
    for one in published.signatures:
        verified = VerifiedSignature(one.signer_id, KeyID(one.signing_key_id), one.signature)
        signatures.setdefault((one.user_id, one.key_id), []).append(verified)
    devices: dict[UserID, dict[DeviceID, JsonObject]] = {user_id: {} for user_id in queries}
    for device in published.devices:
        wanted = queries[device.user_id].device_ids
        if wanted and device.device_id not in wanted:
            continue
        keys = orjson.loads(device.keys)
        if signatures:
            keys = with_signatures(keys, signatures.get((device.user_id, device.device_id), ()))
        keys = visible_to(viewer_id, keys)
        keys["unsigned"] = {} if device.display_name is None else {"device_display_name": device.display_name}
        devices[device.user_id][device.device_id] = keys
    cross_signing: dict[KeyUsage, dict[UserID, JsonObject]] = {}
    for key in published.cross_signing_keys:
        owner = UserID(key.user_id)
        if key.usage is KeyUsage.USER_SIGNING and owner != viewer_id:
            continue
        added = signatures.get((owner, key.public_key), ())
        shown = visible_to(viewer_id, with_signatures(key.payload, added))
        cross_signing.setdefault(key.usage, {})[owner] = shown
    return QueriedKeys(devices, cross_signing)
