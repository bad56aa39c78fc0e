"""Hypothesis strategies of the protocol: identifiers, JSON values, event templates and whole PDUs by room version."""

import hashlib
import string
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from homeserver.core.event_building import EventTemplate
from homeserver.core.hashing import event_id_of_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.core.unpadded_base64 import encode_base64, encode_base64_urlsafe

# PDUs and templates are JSON objects, so their values are `Any`.

SERVER_NAME: Final = ServerName("here.example")
SIGNING_KEY: Final = SigningKey("test", bytes(range(32)))

INTEGER_LIMIT: Final = 2**53 - 1

# Types that redaction treats in a way of their own, beside some that it does not.
EVENT_TYPES: Final = (
    "m.room.member",
    "m.room.create",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.aliases",
    "m.room.history_visibility",
    "m.room.redaction",
    "m.room.message",
    "m.room.name",
    "org.example.thing",
)
CONTENT_KEYS: Final = (
    "membership",
    "join_authorised_via_users_server",
    "third_party_invite",
    "creator",
    "room_version",
    "join_rule",
    "allow",
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
    "notifications",
    "aliases",
    "history_visibility",
    "redacts",
    "body",
    "msgtype",
)


@cache
def room_versions() -> st.SearchStrategy[RoomVersion]:
    """Every room version."""
    return st.sampled_from(list(ROOM_VERSIONS.values()))


@cache
def server_names() -> st.SearchStrategy[ServerName]:
    """DNS names, IPv4 and IPv6 addresses, with a port or without."""
    hosts = st.one_of(
        st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=5).map(
            lambda name: f"{name}.example"
        ),
        st.sampled_from(("localhost", "192.0.2.1", "[::1]", "[2001:db8::ffff:192.0.2.1]", "UPPER.example.org")),
    )
    ports = st.sampled_from(("", ":1", ":8448", ":65535"))
    return st.builds(lambda host, port: ServerName(host + port), hosts, ports)


@cache
def historical_localparts() -> st.SearchStrategy[str]:
    """Anything without a colon and NUL."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":\x00"), max_size=8)


@cache
def user_ids() -> st.SearchStrategy[UserID]:
    """User IDs, historical ones among them."""
    localparts = st.one_of(st.sampled_from(("alice", "bob.0-9_=/+", "Carol")), historical_localparts())
    return st.builds(lambda localpart, server: UserID(f"@{localpart}:{server}"), localparts, server_names())


def _digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@cache
def digests() -> st.SearchStrategy[bytes]:
    """Hashes of 32 bytes. Made of small numbers, which are quicker to draw, and tell as much when they shrink."""
    return st.integers(0, 2**16).map(_digest)


@cache
def room_ids(version: RoomVersion) -> st.SearchStrategy[RoomID]:
    """Room IDs of a room version."""
    if version.room_id_is_create_hash:
        return digests().map(lambda digest: RoomID("!" + encode_base64_urlsafe(digest)))
    return st.builds(lambda local, server: RoomID(f"!{local}:{server}"), historical_localparts(), server_names())


@cache
def event_ids(version: RoomVersion) -> st.SearchStrategy[EventID]:
    """Event IDs of a room version."""
    if version.event_ids_are_hashes:
        return digests().map(lambda digest: event_id_of_hash(digest, version))
    return st.builds(lambda number, server: EventID(f"${number}:{server}"), st.integers(0, 2**16), server_names())


@cache
def json_values(max_leaves: int = 12) -> st.SearchStrategy[Any]:
    """Values that canonical JSON can carry."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-INTEGER_LIMIT, INTEGER_LIMIT), st.text(max_size=10))
    return st.recursive(leaves, _containers, max_leaves=max_leaves)


@cache
def lenient_json_values(max_leaves: int = 12) -> st.SearchStrategy[Any]:
    """Values that events up to room version 5 can carry: floats and large integers too."""
    numbers = st.one_of(st.integers(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
    leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=10))
    return st.recursive(leaves, _containers, max_leaves=max_leaves)


@cache
def contents() -> st.SearchStrategy[dict[str, Any]]:
    """Contents that redaction has something to keep of, and something to remove."""
    keys = st.one_of(st.sampled_from(CONTENT_KEYS), st.text(max_size=10))
    values = st.one_of(
        json_values(6), st.fixed_dictionaries({}, optional={"signed": json_values(4), "more": st.text()})
    )
    return st.dictionaries(keys, values, max_size=6)


# What the parts of an event are drawn from is made once: making a strategy costs more than drawing from it.
EVENT_TYPE: Final = st.sampled_from(EVENT_TYPES)
POSITIVE: Final = st.integers(0, INTEGER_LIMIT)
DIGEST_TEXT: Final = st.integers(0, 2**16).map(lambda number: encode_base64(_digest(number)))


@cache
def state_keys() -> st.SearchStrategy[str | None]:
    """No state key, or any."""
    return st.one_of(st.none(), st.just(""), user_ids(), st.text(max_size=8))


@cache
def references(version: RoomVersion, most: int) -> st.SearchStrategy[list[tuple[EventID, bytes]]]:
    """Events that another one names, with their hashes."""
    return st.lists(st.tuples(event_ids(version), digests()), max_size=most)


@cache
@st.composite
def templates(draw: st.DrawFn, version: RoomVersion) -> EventTemplate:
    """Templates of events of any type in that room version."""
    event_type = draw(EVENT_TYPE)
    state_key = draw(state_keys())
    makes_room_id = version.room_id_is_create_hash and event_type == "m.room.create" and state_key == ""
    room_id = None if makes_room_id else draw(room_ids(version))
    # Where the room ID names the create event, that one is no auth event.
    prev_events, auth_events = (
        tuple((event_id, digest) for event_id, digest in named if room_id is None or event_id[1:] != room_id[1:])
        for named in (draw(references(version, 3)), draw(references(version, 4)))
    )
    return EventTemplate(
        room_id=room_id,
        type=event_type,
        sender=draw(user_ids()),
        content=draw(contents()),
        state_key=state_key,
        redacts=draw(event_ids(version)) if event_type == "m.room.redaction" and draw(st.booleans()) else None,
        prev_events=prev_events,
        auth_events=auth_events,
        depth=draw(POSITIVE),
        origin_server_ts=draw(POSITIVE),
    )


@cache
def signatures() -> st.SearchStrategy[dict[ServerName, dict[str, str]]]:
    """Signatures of some servers that fit nothing."""
    return st.dictionaries(server_names(), st.dictionaries(st.just("ed25519:a"), DIGEST_TEXT), max_size=2)


@cache
def extra_fields() -> st.SearchStrategy[dict[str, Any]]:
    """Fields of an event that neither redaction nor anything else knows in every version."""
    keys = st.sampled_from(("origin", "membership", "prev_state", "org.example.extra", "unsigned"))
    return st.dictionaries(keys, json_values(3), max_size=3)


@cache
@st.composite
def pdus(draw: st.DrawFn, version: RoomVersion) -> dict[str, Any]:
    """Whole PDUs of valid format in that room version; their hashes and signatures fit nothing."""
    template = draw(templates(version))
    pdu: dict[str, Any] = {
        "type": template.type,
        "sender": template.sender,
        "content": template.content,
        "depth": template.depth,
        "origin_server_ts": template.origin_server_ts,
        "hashes": {"sha256": draw(DIGEST_TEXT)},
        "signatures": draw(signatures()),
        "prev_events": [_reference(event_id, version, draw(DIGEST_TEXT)) for event_id, _ in template.prev_events],
        "auth_events": [_reference(event_id, version, draw(DIGEST_TEXT)) for event_id, _ in template.auth_events],
    }
    if template.room_id is not None:
        pdu["room_id"] = template.room_id
    if template.state_key is not None:
        pdu["state_key"] = template.state_key
    if not version.event_ids_are_hashes:
        pdu["event_id"] = draw(event_ids(version))
    if template.redacts is not None and not version.updated_redaction:
        pdu["redacts"] = template.redacts
    pdu.update(draw(extra_fields()))
    return pdu


@cache
def versioned_pdus() -> st.SearchStrategy[tuple[RoomVersion, dict[str, Any]]]:
    """A room version and a PDU of it."""
    each = {version: st.tuples(st.just(version), pdus(version)) for version in ROOM_VERSIONS.values()}
    return room_versions().flatmap(each.__getitem__)


@cache
def versioned_templates() -> st.SearchStrategy[tuple[RoomVersion, EventTemplate]]:
    """A room version and an event template of it."""
    each = {version: st.tuples(st.just(version), templates(version)) for version in ROOM_VERSIONS.values()}
    return room_versions().flatmap(each.__getitem__)


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(children, max_size=4), st.dictionaries(st.text(max_size=8), children, max_size=4))


def _reference(event_id: EventID, version: RoomVersion, digest: str) -> object:
    return event_id if version.event_ids_are_hashes else [event_id, {"sha256": digest}]
