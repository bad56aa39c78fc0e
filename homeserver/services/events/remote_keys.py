"""The keys of other servers: stored, or fetched from the servers themselves, or from notaries if those keep silent.

However many are wanted at once, a notary is believed of no server that could be asked itself. Many are asked at the
same time, so that a room of a thousand servers takes little longer than its slowest ones; and where there are notaries,
those that are still to be asked when that has gone on for a while are left to them.

Which of them count for an event or a request, and which documents are believed, is in core/key_validity.py. This
server's own keys are not here: see own_keys.py, and keyring.OwnKeysAnd.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import BadSignature, ProtocolError
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import (
    PublishedKey,
    beside_own_word,
    may_sign_requests,
    merge_published,
    parse_published_keys,
)
from homeserver.core.rate_limits import Bucket, RateLimit, take
from homeserver.core.signing import verify_json
from homeserver.outbound.errors import RemoteError
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.runtime.logs import get_logger
from homeserver.storage.database import Database, Transaction
from homeserver.storage.server_keys import (
    StoredKey,
    forget_unused_keys,
    server_keys_of,
    store_key_document,
    store_server_keys,
)

# A key whose publication runs out so soon is fetched again: events are dated by clocks that differ.
MARGIN_MS: Final = 10 * 60 * 1000
# How often one server is asked, however many of its keys are wanted that it does not publish.
ASKING: Final = RateLimit(per_second=1 / 60, burst=10)
MOST_REMEMBERED: Final = 10_000
# For how long no notary knows better than a server that has told of its keys.
OWN_WORD_MS: Final = 10 * 60 * 1000
# How often a server is asked whether a key that is still valid was replaced, however many wrong signatures come in its
# name, which anybody may send.
REASK_MS: Final = 5 * 60 * 1000
TIMEOUT_S: Final = 10.0
NOTARY_TIMEOUT_S: Final = 30.0
DOCUMENT_LIMIT_BYTES: Final = 256 * 1024
NOTARY_LIMIT_BYTES: Final = 8 * 1024 * 1024
SERVERS_PER_NOTARY_REQUEST: Final = 100
DOCUMENTS_PER_SERVER: Final = 4  # of a notary: it may have the keys of a server in several
# After which notaries are asked for the keys of servers whose turn has not come.
PATIENCE_BEFORE_NOTARIES_S: Final = 20.0

log = get_logger(__name__)


class KeySource(Protocol):
    """Fetches documents of keys, as outbound.federation_client.FederationClient does. Raises RemoteError."""

    # Any: JSON that nobody has looked at yet
    async def server_keys(
        self, destination: ServerName, *, timeout_s: float, most_bytes: int, ignores_backoff: bool
    ) -> dict[str, Any]:
        """A server's own document of its keys."""

    async def notary_keys(
        self,
        notary: ServerName,
        wanted: Mapping[ServerName, Mapping[KeyID, int]],
        *,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Any]:
        """What a notary has of other servers' documents; each key is to be valid until that moment at least."""


class Purpose(Enum):
    """What keys are wanted for. Each has connections of its own, so that none can make the others wait."""

    EVENTS = "events"
    REQUESTS = "requests"  # of the server whose keys they are: so it can be reached, whatever was the case before
    NOTARY = "others who ask this server"


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What fetching may cost. Whoever waits for longer than `patience_s` gives up before the server is asked."""

    at_once: int
    most_servers: int  # in one batch
    patience_s: float
    most_waiting: int = 1 << 30


_BOUNDS: Final[Mapping[Purpose, _Bounds]] = {
    Purpose.EVENTS: _Bounds(at_once=50, most_servers=1000, patience_s=60.0),
    Purpose.REQUESTS: _Bounds(at_once=20, most_servers=1, patience_s=20.0, most_waiting=200),
    Purpose.NOTARY: _Bounds(at_once=5, most_servers=50, patience_s=10.0, most_waiting=100),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a server's keys must be known: these, and how long each must be valid; or else any that is so long.

    With `fresh_at_ms` a key also counts only as long as less than half of its publication's validity was over then.
    """

    keys: Mapping[KeyID, int]
    any_until_ms: int = 0
    fresh_at_ms: int = 0

    def is_granted_by(self, known: Iterable[StoredKey]) -> bool:
        """True if nothing has to be fetched. A key that has expired is known for good."""
        current: dict[KeyID, int] = {}
        expired = set()
        for key in known:
            if key.published.expired_ms is not None:
                expired.add(key.key_id)
            elif self.fresh_at_ms <= (key.fetched_ms + key.published.valid_until_ms) // 2:
                current[key.key_id] = max(key.published.valid_until_ms, current.get(key.key_id, 0))
        if not self.keys:
            return max(current.values(), default=0) >= self.any_until_ms
        return all(key_id in expired or current.get(key_id, -1) >= until_ms for key_id, until_ms in self.keys.items())


class RemoteKeys:
    """Finds keys of other servers: a keyring.KeyRing."""

    def __init__(
        self,
        database: Database,
        source: KeySource,
        notaries: Sequence[ServerName],
        budget: CacheBudget,
        clock: Clock,
    ) -> None:
        """`notaries` are asked for the keys of servers that do not answer."""
        self._database = database
        self._source = source
        self._notaries = notaries
        self._clock = clock
        self._known: BoundedCache[ServerName, tuple[StoredKey, ...]] = BoundedCache(
            "server keys", budget, lambda keys: 400 * len(keys)
        )
        self._stores = 0
        self._locks: KeyedLocks[ServerName] = KeyedLocks()
        self._slots = {purpose: DeferredSemaphore(bounds.at_once) for purpose, bounds in _BOUNDS.items()}
        self._asked: OrderedDict[ServerName, Bucket] = OrderedDict()
        self._reasked_ms: OrderedDict[ServerName, int] = OrderedDict()

    async def keys_of(
        self, wanted: Mapping[ServerName, AbstractSet[KeyID]]
    ) -> Mapping[ServerName, Sequence[PublishedKey]]:
        """See KeyRing. The keys are for events, and are kept for good."""
        until_ms = self._clock.now_ms() + MARGIN_MS
        wishes = {server: Wish(dict.fromkeys(key_ids, until_ms)) for server, key_ids in wanted.items()}
        known = await self.known(wishes, Purpose.EVENTS)
        await self._keep_for_events(known, wanted)
        return {
            server: [key.published for key in keys if key.key_id in wanted[server]] for server, keys in known.items()
        }

    async def keys_for_request(self, server: ServerName, key_ids: AbstractSet[KeyID]) -> list[PublishedKey]:
        """Those of the keys by which the server may sign requests at this moment."""
        now_ms = self._clock.now_ms()
        known = await self.known({server: Wish(dict.fromkeys(key_ids, now_ms + MARGIN_MS))}, Purpose.REQUESTS)
        return [
            key.published
            for key in known.get(server, ())
            if key.key_id in key_ids and may_sign_requests(key.published, now_ms)
        ]

    async def keys_for_request_again(self, server: ServerName, key_ids: AbstractSet[KeyID]) -> list[PublishedKey]:
        """As keys_for_request, after a signature was wrong: the server is asked whether it has other keys by now.

        It is not when it was asked lately; then there are none.
        """
        now_ms = self._clock.now_ms()
        known = (await self._stored((server,))).get(server, ())
        asked_ms = max((key.fetched_ms for key in known), default=0)
        if now_ms - max(asked_ms, self._reasked_ms.get(server, 0)) < REASK_MS or not self._may_ask(server):
            return []
        self._reasked_ms[server] = now_ms
        self._reasked_ms.move_to_end(server)
        if len(self._reasked_ms) > MOST_REMEMBERED:
            self._reasked_ms.popitem(last=False)
        deadline_s = self._clock.seconds() + _BOUNDS[Purpose.REQUESTS].patience_s
        await self._ask_origin(server, Wish({}), Purpose.REQUESTS, deadline_s)
        return await self.keys_for_request(server, key_ids)

    async def known(
        self, wishes: Mapping[ServerName, Wish], purpose: Purpose
    ) -> Mapping[ServerName, Sequence[StoredKey]]:
        """All that is known of these servers' keys, after what was wished for was fetched as far as it can be had."""
        known = await self._stored(wishes)
        lacking = {server: wish for server, wish in wishes.items() if not wish.is_granted_by(known.get(server, ()))}
        if lacking:
            await self._fetch(lacking, purpose)
            known = await self._stored(wishes)
        return known

    # What is stored

    async def _stored(self, servers: Iterable[ServerName]) -> dict[ServerName, Sequence[StoredKey]]:
        found: dict[ServerName, Sequence[StoredKey]] = {}
        unread = []
        for server in servers:
            keys = self._known.get(server)
            if keys is None:
                unread.append(server)
            else:
                found[server] = keys
        if unread:
            stores = self._stores
            read = await self._database.read(server_keys_of, unread)
            for server, stored in read.items():
                found[server] = stored
                if stores == self._stores:  # else what was read may be older than what was stored meanwhile
                    self._known.put(server, tuple(stored))
        return found

    async def _keep_for_events(
        self, known: Mapping[ServerName, Sequence[StoredKey]], wanted: Mapping[ServerName, AbstractSet[KeyID]]
    ) -> None:
        """Note which keys must stay now."""
        changed = {
            server: kept
            for server, keys in known.items()
            if (
                kept := [
                    replace(key, is_for_events=True)
                    for key in keys
                    if key.key_id in wanted[server] and not key.is_for_events
                ]
            )
        }
        if not changed:
            return

        def write(tx: Transaction) -> dict[ServerName, list[StoredKey]]:
            for server, keys in changed.items():
                store_server_keys(tx, server, keys)
            return server_keys_of(tx, changed)

        self._remember(await self._database.write(write))

    def _remember(self, stored: Mapping[ServerName, Sequence[StoredKey]]) -> None:
        self._stores += 1
        for server, keys in stored.items():
            self._known.put(server, tuple(keys))

    # Fetching

    async def _fetch(self, lacking: Mapping[ServerName, Wish], purpose: Purpose) -> None:
        """Fetch what is lacking, as far as it can be had."""
        bounds = _BOUNDS[purpose]
        # A server that is being asked is waited for, see _ask_origin.
        may_be_asked = ((s, w) for s, w in lacking.items() if self._may_ask(s) or self._locks.is_held(s))
        asked = dict(islice(may_be_asked, bounds.most_servers))
        # A notary does not ask other notaries: two that did might ask each other for ever.
        notaries = () if purpose is Purpose.NOTARY else self._notaries
        patience_s = min(bounds.patience_s, PATIENCE_BEFORE_NOTARIES_S) if notaries else bounds.patience_s
        deadline_s = self._clock.seconds() + patience_s
        await _all(self._ask_origin(server, wish, purpose, deadline_s) for server, wish in asked.items())
        for notary in notaries:
            await self._ask_notary(notary, await self._still_lacking(asked), purpose)

    async def _still_lacking(self, wishes: Mapping[ServerName, Wish]) -> dict[ServerName, Wish]:
        known = await self._stored(wishes)
        return {server: wish for server, wish in wishes.items() if not wish.is_granted_by(known.get(server, ()))}

    async def _ask_origin(self, server: ServerName, wish: Wish, purpose: Purpose, deadline_s: float) -> None:
        """Ask a server for its own keys, or wait for the answer if somebody else is asking it already."""
        slots, asked_before = self._slots[purpose], self._asked.get(server)
        if not self._locks.is_held(server):
            if len(slots.waiting) >= _BOUNDS[purpose].most_waiting:
                return
            await slots.acquire()
            try:
                if not self._locks.is_held(server):
                    if self._asked.get(server) is asked_before and self._clock.seconds() <= deadline_s:
                        await self._ask_alone(server, wish, purpose)
                    return
            finally:
                slots.release()
        async with self._locks(server):
            pass

    async def _ask_alone(self, server: ServerName, wish: Wish, purpose: Purpose) -> None:
        async with self._locks(server):
            self._note_asked(server)
            try:
                document = await self._source.server_keys(
                    server,
                    timeout_s=TIMEOUT_S,
                    most_bytes=DOCUMENT_LIMIT_BYTES,
                    ignores_backoff=purpose is not Purpose.EVENTS,
                )
            except RemoteError as failed:
                log.info("keys not fetched", server=server, reason=failed.reason)
                return
            await self._take(server, document, server, wish.keys if purpose is Purpose.EVENTS else ())

    async def _ask_notary(self, notary: ServerName, wishes: Mapping[ServerName, Wish], purpose: Purpose) -> None:
        """Ask a notary for keys of other servers. It must be able to sign what it answers."""
        if not wishes:
            return
        notary_keys = await self._keys_of_notary(notary)
        servers = [server for server in wishes if server != notary]
        for begin in range(0, len(servers) if notary_keys else 0, SERVERS_PER_NOTARY_REQUEST):
            page = servers[begin : begin + SERVERS_PER_NOTARY_REQUEST]
            try:
                documents = await self._source.notary_keys(
                    notary,
                    {server: wishes[server].keys for server in page},
                    timeout_s=NOTARY_TIMEOUT_S,
                    most_bytes=NOTARY_LIMIT_BYTES,
                )
            except RemoteError as failed:
                log.info("keys not fetched from notary", notary=notary, reason=failed.reason)
                return
            for document in documents[: DOCUMENTS_PER_SERVER * len(page)]:
                server = document.get("server_name") if isinstance(document, dict) else None
                if server in page and _is_signed_by(document, notary, notary_keys):
                    await self._take(server, document, notary, wishes[server].keys if purpose is Purpose.EVENTS else ())

    async def _keys_of_notary(self, notary: ServerName) -> list[PublishedKey]:
        """The keys by which a notary may sign at this moment: by its own word alone."""
        now_ms = self._clock.now_ms()
        wish = Wish({}, now_ms + MARGIN_MS)
        if self._may_ask(notary) and await self._still_lacking({notary: wish}):
            deadline_s = self._clock.seconds() + _BOUNDS[Purpose.REQUESTS].patience_s
            await self._ask_origin(notary, wish, Purpose.REQUESTS, deadline_s)
        known = await self._stored((notary,))
        return [key.published for key in known.get(notary, ()) if may_sign_requests(key.published, now_ms)]

    async def _take(
        self, server: ServerName, document: Mapping[str, Any], source: ServerName, for_events: Iterable[KeyID]
    ) -> None:
        """Keep the keys of a document that `source` has given, if it is one of `server`."""
        now_ms = self._clock.now_ms()
        signed = {name: value for name, value in document.items() if name != "unsigned"}
        try:
            published = parse_published_keys(signed, server, fetched_ms=now_ms)
            encoded = encode_canonical(signed)
        except ProtocolError as bad:
            log.info("document of keys refused", server=server, source=source, reason=bad.reason)
            return
        digest = hashlib.sha256(encoded).digest()
        needed = frozenset(for_events)

        def write(tx: Transaction) -> dict[ServerName, list[StoredKey]]:
            known = server_keys_of(tx, (server,)).get(server, ())
            own = {one.published.verify_key for one in known if _is_own_word(one, server, now_ms)}
            told = published if source == server or not own else beside_own_word(published, own, told_ms=now_ms)
            if not told:
                return {server: list(known)}
            seen = StoredKey(
                told[0], is_for_events=False, fetched_ms=now_ms, fetched_from=source, document_digest=digest
            )
            store_key_document(tx, server, digest, encoded)
            store_server_keys(tx, server, _changed(known, told, seen, needed, is_from_origin=source == server))
            forget_unused_keys(tx, server)
            return server_keys_of(tx, (server,))

        self._remember(await self._database.write(write))

    def _may_ask(self, server: ServerName) -> bool:
        _, wait_ms = take(ASKING, self._asked.get(server), self._clock.now_ms())
        return wait_ms is None

    def _note_asked(self, server: ServerName) -> None:
        self._asked[server], _ = take(ASKING, self._asked.get(server), self._clock.now_ms())
        self._asked.move_to_end(server)
        if len(self._asked) > MOST_REMEMBERED:
            self._asked.popitem(last=False)


def _is_own_word(key: StoredKey, server: ServerName, now_ms: int) -> bool:
    """Whether the server itself has told of the key so lately that nobody knows better."""
    return key.fetched_from == server and key.fetched_ms > now_ms - OWN_WORD_MS


def _changed(
    known: Sequence[StoredKey],
    published: Sequence[PublishedKey],
    seen: StoredKey,
    needed: AbstractSet[KeyID],
    *,
    is_from_origin: bool,
) -> list[StoredKey]:
    """The rows to be written after a document with the keys `published` came; `seen` says when, and from whom."""
    before = {key.published.verify_key: key for key in known}
    mentioned = {key.verify_key for key in published}
    merged = merge_published(
        (key.published for key in known), published, fetched_ms=seen.fetched_ms, is_from_origin=is_from_origin
    )
    changed = []
    for key in merged:
        old = before.get(key.verify_key)
        is_for_events = key.verify_key.key_id in needed or (old is not None and old.is_for_events)
        if old is None or (key.verify_key in mentioned and (is_from_origin or key != old.published)):
            changed.append(replace(seen, published=key, is_for_events=is_for_events))
        elif key != old.published or is_for_events != old.is_for_events:
            changed.append(replace(old, published=key, is_for_events=is_for_events))
    return changed


def _is_signed_by(document: Mapping[str, Any], notary: ServerName, keys: Iterable[PublishedKey]) -> bool:
    for key in keys:
        try:
            verify_json(document, notary, key.verify_key)
        except BadSignature:
            continue
        except ProtocolError:
            return False
        return True
    return False


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything at the same time. Raises what the first of them raised that did."""
    # Any: nothing, or else a Failure
    done: list[tuple[bool, Any]] = await DeferredList(
        [Deferred.fromCoroutine(work) for work in works], consumeErrors=True
    )
    for is_done, result in done:
        if not is_done:
            result.raiseException()
