"""Hostile requests to an endpoint, made from its declaration: mostly right, and wrong somewhere.

Right enough to come far: rooms that exist, fields of the declared types. What is wrong anywhere is in values.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote_from_bytes

import msgspec
from hypothesis import strategies as st

from homeserver.http.endpoint import Auth, Endpoint, JsonObject, NoBody, NoQuery, Upload
from homeserver.services.accounts.token_values import ACCESS
from tests.hostile.cast import NOWHERE, Cast
from tests.hostile.values import (
    NO_JSON,
    TOO_LARGE,
    Known,
    Raw,
    Value,
    keys,
    objects,
    spoiled,
    strings,
    things,
    write,
    wrong_values,
)
from tests.hostile.wire import Sent

inspect = msgspec.inspect

USERS: Final = (
    *(Known(name) for name in ("self", "self", "friend", "stranger", "deactivated user", "remote user")),
    "@nobody:localhost",
)
ROOMS: Final = tuple(
    Known(name)
    for name in (
        *("own room", "own room", "own room", "own room", "own room", "other room", "left room", "inviting room"),
        *("unknown room", "unknown room of hash"),
    )
)
EVENTS: Final = tuple(
    Known(name)
    for name in (
        *("own event", "own event", "own event", "event of friend", "create event", "other event"),
        *("unknown event", "unknown event of old"),
    )
)
DEVICES: Final = (*(Known(name) for name in ("device of self", "second device", "device of friend")), "GHOST")
ALIASES: Final = tuple(Known(name) for name in ("own alias", "new alias", "remote alias"))
SERVERS: Final = (Known("own server"), Known("remote server"))
EVENT_TYPES: Final = (
    *("m.room.message", "m.room.member", "m.room.name", "m.room.topic", "m.room.power_levels", "m.room.create"),
    *("m.room.join_rules", "m.room.history_visibility", "m.room.canonical_alias", "m.room.server_acl", "m.room.avatar"),
    *("m.room.redaction", "m.room.encryption", "m.room.tombstone", "m.room.third_party_invite", "m.reaction"),
    *("m.room.guest_access", "m.room.pinned_events", "m.space.child", "m.room.encrypted", "m.room_key_request"),
    *("m.tag", "m.fully_read", "m.push_rules", "m.direct", "m.ignored_user_list", "org.example.thing", "m.call.invite"),
)
TOKENS: Final = (Known("sync token"), Known("page token"), "s0", "c1_0_0_0", "t1_2", "0", "")
NUMBERS: Final = (0, 1, 2, 10, -1, 100, 2**31, 2**53 - 1)
DELAYS: Final = (3_600_000, 2**31, 2**53 - 1, -1)  # what is done by itself is done after all requests of a run

# What a name means, in paths, queries and bodies alike; the longest name that the asked name ends with counts.
MEANINGS: Final[Mapping[str, tuple[Value, ...]]] = {
    "user_id": USERS,
    "userId": USERS,
    "mxid": USERS,
    "invite": USERS,
    "users": USERS,
    "user_ids": USERS,
    "username": (Known("new localpart"), Known("self"), "taken", "UPPER"),
    "user": (*USERS, "self"),
    "room_id": ROOMS,
    "roomId": ROOMS,
    "rooms": ROOMS,
    "roomIdOrAlias": (*ROOMS, *ALIASES),
    "room_alias": ALIASES,
    "roomAlias": ALIASES,
    "event_id": EVENTS,
    "eventId": EVENTS,
    "m.fully_read": EVENTS,
    "automatic": EVENTS,
    "m.read": EVENTS,
    "m.read.private": EVENTS,
    "event": EVENTS,
    "eventType": EVENT_TYPES,
    "event_type": EVENT_TYPES,
    "type": (*EVENT_TYPES, "m.login.password", "m.login.token", "m.login.dummy", "m.id.user"),
    "stateKey": ("", Known("self"), Known("friend"), "_", Known("own server")),
    "state_key": ("", Known("self"), Known("friend")),
    "deviceId": DEVICES,
    "device_id": DEVICES,
    "devices": DEVICES,
    "serverName": SERVERS,
    "server_name": SERVERS,
    "pattern": (Known("friend"), "@self*", "*:127.0.0.2", "*", "@*:*", "*.elsewhere.example"),
    "server": SERVERS,
    "via": SERVERS,
    "from": TOKENS,
    "to": TOKENS,
    "at": TOKENS,
    "since": TOKENS,
    "batch": TOKENS,
    "txnId": ("t1", "t2", "t3"),
    "filter": ("{}", '{"room":{"timeline":{"limit":1}}}', '{"limit":0}', "0", "[]", '{"limit":-1}', Known("filter")),
    "filterId": (Known("filter"), "0"),
    "password": (Known("password"), "x"),
    "jobId": (Known("job"), "unknown"),
    "delayId": (Known("delayed event"), Known("delayed event"), "unknown"),
    "reportId": (Known("report"), Known("report"), "unknown"),
    "resolution": ("dismiss", "redact", "ban"),
    "action": ("cancel", "restart", "send", "other"),
    "version": (Known("backup version"), Known("backup version"), "1", "2", "0", "12", "6"),
    "room_version": ("1", "6", "9", "11", "12"),
    "replacement_room": ROOMS,
    "new_version": ("1", "6", "9", "11", "12"),
    "receiptType": ("m.read", "m.read.private", "m.fully_read"),
    "relType": ("m.thread", "m.replace", "m.annotation", "m.reference"),
    "dir": ("b", "f"),
    "thread_id": ("main", *EVENTS),
    "keyName": ("displayname", "avatar_url", "m.tz", "org.example.field"),
    "scope": ("global", "device"),
    "kind": ("override", "underride", "content", "room", "sender"),
    "ruleId": ("mine", ".m.rule.master", ".m.rule.message", Known("own room"), Known("friend")),
    "before": ("mine", ".m.rule.master"),
    "after": ("mine", ".m.rule.master", ".m.rule.message"),
    "attr": ("enabled", "actions"),
    "tag": ("m.favourite", "u.work"),
    "sessionId": ("session",),
    "backupName": (Known("backup"), Known("backup"), "../homeserver.yaml"),
    "mediaId": (Known("media"), "unknown"),
    "fileName": ("a.png", "..", 'a";b'),
    "presence": ("online", "offline", "unavailable"),
    "set_presence": ("online", "offline", "unavailable"),
    "algorithm": ("m.megolm_backup.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"),
    "url": ("http://127.0.0.1:1/", f"https://{NOWHERE}/", f"mxc://{NOWHERE}/x"),
    "avatar_url": (f"mxc://{NOWHERE}/x", ""),
    "auth": (),
}

# Nobody waits in these tests: a long poll of so many milliseconds would only hold them up.
NEVER_WAITED: Final = "timeout"


@dataclass(frozen=True, slots=True)
class Draft:
    """A hostile request, as long as it is not known what the names stand for."""

    method: str
    path: tuple[str | Raw | Known, ...]  # its segments
    query: tuple[tuple[bytes, Value], ...]
    token: str
    body: Value | None
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def addressed(self, cast: Cast) -> Sent:
        """The bytes to send, with the names that are in use now."""
        target = b"".join(b"/" + _encoded(segment, cast.names) for segment in self.path)
        if self.query:
            pairs = (name + b"=" + _encoded(value, cast.names) for name, value in self.query)
            target += b"?" + b"&".join(pairs)
        headers = [*authorization(self.token, cast), *self.headers]
        if self.body is not None:
            headers.append((b"Content-Type", self.content_type))
        body = None if self.body is None else write(self.body, cast.names)
        return Sent(self.method, target, tuple(headers), body)


STRANGE_AUTHORIZATIONS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "nobody": (),
    "empty": (b"Bearer ",),
    "no scheme": (b"abc",),
    "only scheme": (b"Bearer",),
    "basic": (b"Basic c2VsZjpwYXNzd29yZA==",),
    "unknown": (b"Bearer columba_unknown",),
    "of elsewhere": (b"Bearer " + ACCESS.encode() + b"A" * 32,),
    "of bytes": (b"Bearer \xff\xfe\xc3",),
    "long": (b"Bearer " + b"a" * 8_000,),
    "of another server": (b'X-Matrix origin="127.0.0.2:1",key="ed25519:a",sig="AA"',),
    "of a broken server": (b'X-Matrix origin="127.0.0.2:1,key=,,sig="\xff"=',),
    "of nobody's server": (b"X-Matrix ",),
    "of itself": (b'X-Matrix origin="127.0.0.1",destination="127.0.0.1",key="ed25519:a",sig="AA"', b"X-Matrix x=y"),
}


# None of these changes what is answered, but for the worse.
STRANGE_HEADERS: Final[tuple[tuple[tuple[bytes, bytes], ...], ...]] = (
    ((b"X-Forwarded-For", b"unknown, 1.2.3.4.5, [::1, \xff, "),),
    ((b"X-Forwarded-For", b"1.1.1.1," * 500),),
    ((b"X-Forwarded-For", b"fe80::1%25eth0"), (b"X-Forwarded-For", b"::ffff:127.0.0.1")),
    ((b"Content-Encoding", b"gzip"),),
    ((b"Accept-Encoding", b"gzip;q=x, br;q=-1, *;q=0, identity;q=0"),),
    ((b"Accept", b"application/xml;q=" + b"9" * 400),),
    ((b"Range", b"bytes=-1-,5-2"),),
    ((b"If-None-Match", b"*"), (b"If-Modified-Since", b"Thu, 99 Foo 0000 99:99:99 GMT")),
    ((b"X-HTTP-Method-Override", b"DELETE"),),
    ((b"Expect", b"100-continue"),),
    ((b"Expect", b"the-unexpected"),),
    ((b"Origin", b"null"), (b"Access-Control-Request-Method", b"\xff")),
    ((b"User-Agent", b"\xf0\x9f\x95\x8a\xff" * 400),),
    ((b"User-Agent", b"%s%n{}$(id)`id`\x1b[2J"),),
    ((b"Cookie", b"access_token=x; a" * 200),),
    ((b"Connection", b"close"),),
    ((b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")),
    ((b"Host", b"elsewhere.example"),),
)


def authorization(token: str, cast: Cast) -> list[tuple[bytes, bytes]]:
    """The headers of somebody of the cast, or strange ones."""
    known = cast.tokens.get(token)
    values = STRANGE_AUTHORIZATIONS.get(token, ()) if known is None else (b"Bearer " + known.encode(),)
    return [(b"Authorization", value) for value in values]


def _encoded(value: Value, names: Mapping[str, str]) -> bytes:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Known):
        value = names.get(value.name, value.name)
    text = value if isinstance(value, str) else write(value, names).decode("utf-8", "surrogateescape")
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="").encode()


WRONG_SEGMENTS: Final = tuple(
    Raw(text)
    for text in (
        b"",
        b".",
        b"..",
        b"%2e%2e",
        b"%2F",
        b"a%2Fb",
        b"%00",
        b"a%00b",
        b"%",
        b"%1",
        b"%zz",
        b"%FF",
        b"%ED%A0%80",
        b"%C0%80",
        b"\xc3\xa9",
        b"\xff",
        b"%20",
        b"+",
        b"%0D%0AX-Injected:%201",
        b"null",
        b"-1",
        b"0",
        b"1" + b"0" * 30,
        b"%40",
        b"%40a",
        b"%40:127.0.0.2:1",
        b"%40a:127.0.0.2:99999",
        b"%40a%20b:localhost",
        b"%40" + b"a" * 300 + b":127.0.0.2",
        b"@%F0%9F%95%8A:localhost",
        b"!",
        b"!:",
        b"!a:[::1",
        b"%23",
        b"%23:",
        b"$",
        b"$a",
        b"$a:999.999.999.999",
        b"%F0%9F%95%8A",
        b"%EF%BF%BF",
        b"a" * 256,
        b"a" * 1025,
        b"a" * 5_000,
        b"{roomId}",
        b"*",
        b"a;b=c",
        b"%3Cscript%3E",
    )
)
WRONG_QUERY_VALUES: Final = tuple(
    Raw(text)
    for text in (
        b"",
        b"%00",
        b"%FF",
        b"\xff",
        b"%",
        b"%ED%A0%80",
        b"-1",
        b"-0",
        b"0",
        b"1.5",
        b"1e3",
        b"9007199254740992",
        b"9223372036854775808",
        b"1" + b"0" * 30,
        b"9" * 5_000,
        b"NaN",
        b"true",
        b"True",
        b"null",
        b"[]",
        b"%7B%7D",
        b"%7B",
        b"%22%5Cud800%22",
        b"%7B%22limit%22:1e400%7D",
        b"%7B%22room%22:%7B%22timeline%22:%7B%22types%22:%5B0%5D%7D%7D%7D",
        b"%5B" * 2_000,
        b"a" * 5_000,
        b"%F0%9F%95%8A" * 50,
        b"a=b=c",
        b"'--",
        b"\xc2\xb2",
        b"%D9%A1",
    )
)


def pool(name: str) -> tuple[Value, ...]:
    """What a name means; nothing when it is not known."""
    fitting = [known for known in MEANINGS if name == known or name.endswith((f"_{known}", f".{known}"))]
    return MEANINGS[max(fitting, key=len)] if fitting else ()


@cache
def _texts(name: str) -> st.SearchStrategy[Value]:
    known = pool(name)
    return st.one_of(st.sampled_from(known), st.sampled_from(known), strings()) if known else strings()


@cache
def _auth() -> st.SearchStrategy[Value]:
    """What confirms who one is, or nearly does."""
    identifier = {"type": "m.id.user", "user": Known("self")}
    good = {"type": "m.login.password", "identifier": identifier, "password": Known("password")}
    return st.one_of(st.just(good), st.just({"type": "m.login.dummy"}), st.just(good).flatmap(spoiled), objects())


def fitting(kind: Any, name: str) -> st.SearchStrategy[Value]:  # Any: one of msgspec's records of types
    """Values of a declared type, for a field of that name."""
    if name == "auth":
        return _auth()
    if isinstance(kind, inspect.UnionType):
        return st.one_of([fitting(each, name) for each in kind.types])
    if isinstance(kind, inspect.NoneType):
        return st.none()
    if isinstance(kind, inspect.BoolType):
        return st.booleans()
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return st.sampled_from(DELAYS if name.endswith(("delay", "delay_ms")) else NUMBERS)
    if isinstance(kind, inspect.StrType):
        return _texts(name)
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.ListType | inspect.SetType | inspect.FrozenSetType | inspect.VarTupleType):
        return st.lists(fitting(kind.item_type, name), max_size=3)
    if isinstance(kind, inspect.DictType):
        if isinstance(kind.value_type, inspect.AnyType) or name in OPEN_OBJECTS:
            return _open_objects(name)
        return st.dictionaries(st.one_of(_texts(name), keys()), fitting(kind.value_type, name), max_size=3)
    if isinstance(kind, inspect.StructType):
        return st.deferred(lambda: _structs(kind))
    return things()


def _structs(kind: inspect.StructType) -> st.SearchStrategy[Value]:
    required = {each.encode_name: fitting(each.type, each.encode_name) for each in kind.fields if each.required}
    optional = {each.encode_name: fitting(each.type, each.encode_name) for each in kind.fields if not each.required}
    return st.fixed_dictionaries(required, optional=optional)


# What events and account data of some type hold: type, state key, content.
EVENTS_OF_TYPES: Final[tuple[tuple[str, Value, Value], ...]] = (
    ("m.room.message", "", {"msgtype": "m.text", "body": "text"}),
    ("m.room.message", "", {"m.mentions": {"room": True, "user_ids": [Known("friend")]}, "body": "text"}),
    ("m.room.message", "", {"m.relates_to": {"rel_type": "m.thread", "event_id": Known("own event")}, "body": "b"}),
    ("m.room.message", "", {"m.relates_to": {"m.in_reply_to": {"event_id": Known("own event")}}, "body": "b"}),
    (
        "m.room.message",
        "",
        {"m.relates_to": {"rel_type": "m.replace", "event_id": Known("own event")}, "m.new_content": {"body": "x"}},
    ),
    (
        "m.reaction",
        "",
        {"m.relates_to": {"rel_type": "m.annotation", "event_id": Known("own event"), "key": "+"}},
    ),
    ("m.room.redaction", "", {"redacts": Known("own event"), "reason": "r"}),
    ("m.room.member", Known("self"), {"membership": "join", "displayname": "d", "avatar_url": "mxc://a/b"}),
    ("m.room.member", Known("friend"), {"membership": "ban", "reason": "r"}),
    ("m.room.member", Known("stranger"), {"membership": "invite", "is_direct": True}),
    (
        "m.room.member",
        Known("stranger"),
        {
            "membership": "invite",
            "third_party_invite": {
                "display_name": "d",
                "signed": {"mxid": Known("stranger"), "token": "t", "signatures": {"a": {"ed25519:0": "AA"}}},
            },
        },
    ),
    ("m.room.name", "", {"name": "n"}),
    ("m.room.topic", "", {"topic": "t", "m.topic": {"m.text": [{"body": "t", "mimetype": "text/plain"}]}}),
    ("m.room.avatar", "", {"url": "mxc://a/b", "info": {"h": 1, "w": 1}}),
    ("m.room.join_rules", "", {"join_rule": "public"}),
    (
        "m.room.join_rules",
        "",
        {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": Known("other room")}]},
    ),
    ("m.room.history_visibility", "", {"history_visibility": "world_readable"}),
    ("m.room.guest_access", "", {"guest_access": "can_join"}),
    (
        "m.room.power_levels",
        "",
        {
            "users": {Known("friend"): 50},
            "users_default": 0,
            "events": {"m.room.name": 50},
            "events_default": 0,
            "state_default": 50,
            "ban": 50,
            "kick": 50,
            "redact": 50,
            "invite": 0,
            "notifications": {"room": 50},
        },
    ),
    ("m.room.canonical_alias", "", {"alias": Known("own alias"), "alt_aliases": [Known("own alias")]}),
    ("m.room.server_acl", "", {"allow": ["*"], "deny": ["*.example", "1.2.3.?"], "allow_ip_literals": False}),
    ("m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_ms": 1}),
    ("m.room.tombstone", "", {"body": "b", "replacement_room": Known("other room")}),
    ("m.room.pinned_events", "", {"pinned": [Known("own event")]}),
    ("m.room.create", "", {"room_version": "11", "creator": Known("self")}),
    ("m.room.third_party_invite", "t", {"display_name": "d", "key_validity_url": "https://a/", "public_key": "AA"}),
    ("m.space.child", Known("other room"), {"via": [Known("own server")], "order": "a", "suggested": True}),
    ("m.direct", "", {Known("friend"): [Known("own room")]}),
    ("m.ignored_user_list", "", {"ignored_users": {Known("friend"): {}}}),
    ("m.tag", "", {"tags": {"u.work": {"order": 0.5}}}),
    ("m.fully_read", "", {"event_id": Known("own event")}),
    ("m.push_rules", "", {"global": {"override": [], "content": []}}),
)
SIGNED: Final = {"keys": {"ed25519:AAAA": "AAAA"}, "signatures": {Known("self"): {"ed25519:AAAA": "AA"}}}
ONE_TIME_KEYS: Final = {"signed_curve25519:AAAA": {"key": "A" * 43, **SIGNED}, "curve25519:B": "B" * 43}

# What an object holds where its declaration leaves it open, by the name of its field.
OPEN_OBJECTS: Final[Mapping[str, tuple[Value, ...]]] = {
    "creation_content": (
        {"m.federate": False},
        {"type": "m.space", "predecessor": {"room_id": Known("other room"), "event_id": Known("other event")}},
        {"additional_creators": [Known("friend"), Known("remote user")]},
        {"room_version": "1", "creator": Known("friend")},
    ),
    "power_level_content_override": tuple(each[2] for each in EVENTS_OF_TYPES if each[0] == "m.room.power_levels"),
    "content": tuple(each[2] for each in EVENTS_OF_TYPES),
    "third_party_signed": (
        {"sender": Known("friend"), "mxid": Known("self"), "token": "t", "signatures": {"a": {"ed25519:0": "AA"}}},
    ),
    "device_keys": (
        {"user_id": Known("self"), "device_id": Known("device of self"), "algorithms": ["m.olm.v1"], **SIGNED},
        {
            "user_id": Known("self"),
            "device_id": "GHOST",
            "algorithms": ["m.olm.v1"],
            "dehydrated": True,
            **SIGNED,
            "keys": {"curve25519:GHOST": "A" * 43, "ed25519:GHOST": "A" * 43},
        },
        {Known("self"): [], Known("friend"): [Known("device of friend")]},
    ),
    "one_time_keys": (ONE_TIME_KEYS, {Known("self"): {Known("device of self"): "signed_curve25519"}}),
    "fallback_keys": (ONE_TIME_KEYS,),
    "master_key": ({"user_id": Known("self"), "usage": ["master"], "keys": {"ed25519:" + "A" * 43: "A" * 43}},),
    "self_signing_key": ({"user_id": Known("self"), "usage": ["self_signing"], **SIGNED},),
    "user_signing_key": ({"user_id": Known("self"), "usage": ["user_signing"], **SIGNED},),
    "messages": ({Known("friend"): {"*": {"a": 1}, Known("device of friend"): {}}},),
    "auth_data": ({"public_key": "A", "signatures": {}},),
    "session_data": ({"ciphertext": "A", "mac": "A", "ephemeral": "A"},),
    "identifier": ({"type": "m.id.user", "user": Known("self")}, {"type": "m.id.thirdparty", "medium": "email"}),
}
# What whole bodies that are left open may hold, besides.
RULE: Final = {
    "actions": ["notify", {"set_tweak": "sound", "value": "default"}],
    "conditions": [
        {"kind": "event_match", "key": "content.body", "pattern": "a*"},
        {"kind": "room_member_count", "is": ">2"},
        {"kind": "sender_notification_permission", "key": "room"},
        {"kind": "event_property_contains", "key": "content.a", "value": 1},
    ],
    "pattern": "word",
}
OPEN_BODIES: Final[tuple[Value, ...]] = (
    RULE,
    {"displayname": "d"},
    {"avatar_url": "mxc://a/b"},
    {"order": 0.5},
    {Known("self"): {Known("device of self"): {"user_id": Known("self"), **SIGNED}}},
    {
        "room": {
            "timeline": {"limit": 5, "types": ["m.*"], "not_senders": [Known("friend")], "lazy_load_members": True},
            "rooms": [Known("own room")],
            "state": {"contains_url": True},
        },
        "event_fields": ["content.body", "type"],
        "event_format": "client",
        "presence": {"not_types": ["*"]},
    },
    *(content for _, _, content in EVENTS_OF_TYPES),
)


def _open_objects(name: str) -> st.SearchStrategy[Value]:
    known = OPEN_OBJECTS.get(name)
    return objects() if known is None else st.one_of(st.sampled_from(known), st.sampled_from(known), objects())


@cache
def bodies(declared: Any) -> st.SearchStrategy[Value | None]:  # Any: the body's type, as an endpoint declares it
    """Bodies that fit a declaration."""
    if declared is NoBody:
        return st.sampled_from((None, {}, Raw(b"")))
    if declared is Upload or declared is bytes:
        return st.sampled_from([*NO_JSON, Raw(b"\x89PNG\r\n\x1a\n" + b"\0" * 64), Raw(b"GIF89a")])
    if declared == JsonObject:
        return st.one_of(st.sampled_from(OPEN_BODIES), objects())
    return fitting(inspect.type_info(declared), "")


@st.composite
def drafts(draw: st.DrawFn, endpoint: Endpoint) -> Draft:
    """Requests to an endpoint. Mostly one part is wrong; sometimes none is, sometimes several are."""
    choices = ["nothing", "token"]
    choices += ["body"] * 5 if endpoint.body is not NoBody else ["body"]
    choices += ["path"] if "{" in endpoint.path else []
    choices += ["query"] * 3 if endpoint.query is not NoQuery else ["query"]
    wrong = {draw(st.sampled_from(choices)), draw(st.sampled_from([*choices, "nothing"]))}
    path = draw(_paths(endpoint.path, is_wrong="path" in wrong))
    body = draw(_sent_bodies(endpoint.body, is_wrong="body" in wrong))
    if endpoint.body == JsonObject and ("{eventType}" in endpoint.path or "{type}" in endpoint.path):
        event_type, state_key, content = draw(st.sampled_from(EVENTS_OF_TYPES))
        if "path" not in wrong:
            replaced = {"{eventType}": event_type, "{type}": event_type, "{stateKey}": state_key}
            names = endpoint.path.split("/")[1:]
            path = tuple(replaced.get(name, segment) for name, segment in zip(names, path, strict=True))
        if draw(st.integers(0, 3)):
            body = draw(spoiled(content)) if "body" in wrong else content
    return Draft(
        endpoint.method,
        path,
        draw(_queries(endpoint.query, is_wrong="query" in wrong)),
        draw(_tokens(endpoint.auth, is_wrong="token" in wrong)),
        body,
        draw(st.sampled_from([b"application/json"] * 8 + [b"text/plain", b"", b"\xff", b"image/png", b"a/b; c" * 50])),
        draw(st.sampled_from(STRANGE_HEADERS)) if draw(st.integers(0, 7)) == 0 else (),
    )


def plain_draft(method: str, path: str) -> Draft:
    """A request to a path: what stands first for each of its parameters, and an empty object where a body may be."""
    segments = (
        next(iter(pool(segment[1:-1])), "thing") if segment.startswith("{") else Raw(segment.encode())
        for segment in path.split("/")[1:]
    )
    body: Value = {} if method in ("PUT", "POST") else None
    return Draft(method, tuple(segments), (), "self", body, b"application/json")


@st.composite
def _paths(draw: st.DrawFn, path: str, *, is_wrong: bool) -> tuple[str | Raw | Known, ...]:
    segments = [
        draw(_segments(segment[1:-1])) if segment.startswith("{") else Raw(segment.encode())
        for segment in path.split("/")[1:]
    ]
    places = [index for index, segment in enumerate(path.split("/")[1:]) if segment.startswith("{")]
    if is_wrong and places:
        segments[draw(st.sampled_from(places))] = draw(st.sampled_from(WRONG_SEGMENTS))
    return tuple(segments)


@cache
def _segments(name: str) -> st.SearchStrategy[Any]:  # Any: str, Raw or Known
    known = pool(name)
    return st.sampled_from(known) if known else st.sampled_from(("thing", "1", "m.thing", "a/b", "%", "\U0001f54a"))


@st.composite
def _queries(draw: st.DrawFn, declared: Any, *, is_wrong: bool) -> tuple[tuple[bytes, Value], ...]:
    described = inspect.type_info(declared)
    assert isinstance(described, inspect.StructType)
    pairs: list[tuple[bytes, Value]] = []
    for field in described.fields:
        if field.required or draw(st.booleans()):
            value = 0 if field.encode_name == NEVER_WAITED else draw(fitting(field.type, field.encode_name))
            values = value if isinstance(value, list) else [value]
            pairs += [(field.encode_name.encode(), each) for each in values if each is not None]
    if is_wrong:
        others = [(b"unknown", "x"), (b"", ""), (b"%FF", "x"), (b"access_token", "x"), (b"user_id", Known("friend"))]
        place = draw(st.sampled_from([*range(len(pairs)), *others]))
        if isinstance(place, int):
            pair = (pairs[place][0], draw(st.sampled_from(WRONG_QUERY_VALUES)))
            pairs[place : place + 1] = draw(st.sampled_from(([], [pair], [pair, pair])))
        else:
            pairs.append(place)
    return tuple((name, value) for name, value in pairs if name != NEVER_WAITED.encode() or not _would_wait(value))


def _would_wait(value: Value) -> bool:
    text = value.text if isinstance(value, Raw) else b"0"
    return text.isdigit() and 0 < int(text[:20]) <= 2**53


@cache
def _tokens(auth: Auth, *, is_wrong: bool) -> st.SearchStrategy[str]:
    if is_wrong:
        return st.sampled_from(["friend", "stranger", "expired", "deactivated", *STRANGE_AUTHORIZATIONS])
    if auth is Auth.FEDERATION:
        return st.sampled_from([name for name in STRANGE_AUTHORIZATIONS if "server" in name or name == "of itself"])
    return st.just("admin" if auth is Auth.ADMIN else "self")


@st.composite
def _sent_bodies(draw: st.DrawFn, declared: Any, *, is_wrong: bool) -> Value | None:
    body = draw(bodies(declared))
    if not is_wrong:
        return body
    if draw(st.integers(0, 39)) == 0:
        return TOO_LARGE
    if isinstance(body, dict):
        return draw(spoiled(body))
    return draw(st.one_of(wrong_values(), st.sampled_from(NO_JSON)))
