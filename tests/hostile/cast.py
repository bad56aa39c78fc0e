"""Who and what there is on the server that the hostile requests are about: people, rooms, events, tokens, by name.

A hostile request may log its sender out, or spoil a room: before each endpoint the cast is made whole again.
"""

import hashlib
import hmac
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.api.client import PASSWORD, Client, new_user
from tests.hostile.tables import Tables
from tests.services.e2ee.signed_keys import device_keys

PEOPLE: Final = ("self", "friend", "stranger")
SHARED_SECRET: Final = "a secret of the tests"
# Somebody in a hundred rooms has long answers.
ROOMS_OF_A_LIFE: Final = 6

UNSTABLE: Final = "/_matrix/client/unstable"
BACKUPS: Final = "/_columba/admin/v1/backups"
BACKUP: Final = {
    "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
    "auth_data": {"public_key": "A", "signatures": {}},
}
BACKED_UP: Final = {"first_message_index": 0, "forwarded_count": 0, "is_verified": False, "session_data": {}}
# Where no server is, which takes nobody long to find out, and no name to look up.
NOWHERE: Final = "127.0.0.2:1"
# What needs no server to be known, or what no server knows.
FIXED: Final[Mapping[str, str]] = {
    "password": PASSWORD,
    "unknown room": f"!nowhere:{NOWHERE}",
    "unknown room of hash": "!" + "A" * 43,
    "unknown event": "$" + "B" * 43,
    "unknown event of old": f"$1:{NOWHERE}",
    "remote user": f"@somebody:{NOWHERE}",
    "remote alias": f"#somewhere:{NOWHERE}",
    "remote server": NOWHERE,
}


@dataclass
class Cast:
    """The names that hostile requests may mention, and what they stand for."""

    url: str
    server_name: str
    tables: Tables
    people: dict[str, Client] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=lambda: dict(FIXED))
    tokens: dict[str, str] = field(default_factory=dict)
    has_spoiled_rooms: bool = True
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _rooms: int = 0

    def assemble(self) -> None:
        """Let everybody be there with a working token, and the rooms be as they are described."""
        if self._rooms >= ROOMS_OF_A_LIFE:
            self.people.clear()
            self._rooms = 0
        self.wake_up()
        if self.has_spoiled_rooms:
            self._make_rooms()

    def wake_up(self) -> None:
        """Let everybody be there with a working token; for somebody new there are new rooms as well."""
        if not self._governs("admin"):
            self._recruit_admin()
        missing = [name for name in PEOPLE if not self._is_well(name) or not self._is_ordinary(name)]
        for name in missing:
            self._recruit(name)
        if not self._has_expired():
            self._let_expire()
        if "deactivated" not in self.tokens:
            self._deactivate()
        if missing:
            self._make_rooms()

    def provide(self, endpoint: str) -> None:
        """Let there be what an endpoint is about, where nothing else that the cast does leads to it."""
        me, room = self.people["self"], self.names["own room"]
        match endpoint.partition(".")[0]:
            case "BackupEndpoints":
                admin = self.people["admin"]
                while not (made := (known := admin.get(BACKUPS))["backups"]):
                    under_way = known["under_way"] or admin.post(BACKUPS, body={})
                    admin.get(BACKUPS, under_way["name"])
                self.names["backup"] = made[0]["name"]
            case "DelayedEventEndpoints":
                path = (UNSTABLE, "org.matrix.msc4140", "rooms", room, "delayed_event", "m.thing", self.fresh())
                wish = {"delay": 3_600_000, "content": {"a": 1}}
                self.names["delayed event"] = me.put(*path, body=wish)["delay_id"]
            case "DehydratedDeviceEndpoints":
                keys = {**device_keys(me.user_id, "GHOST"), "dehydrated": True}
                body = {"device_id": "GHOST", "device_data": {"a": 1}, "device_keys": keys}
                me.put(UNSTABLE, "org.matrix.msc3814.v1", "dehydrated_device", body=body)
                messages = {me.user_id: {"GHOST": {"a": 1}}}
                self.people["friend"].put("sendToDevice", "m.thing", self.fresh(), body={"messages": messages})
            case "JobAdminEndpoints" | "RoomDeletionEndpoints":
                deleted = me.create_room(name="soon gone")
                rooms, wishes = "/_columba/admin/v1/rooms", {"block": True}
                self.names["job"] = self.people["admin"].post(rooms, deleted, "delete", body=wishes)["job_id"]
            case "KeyBackupsEndpoints":
                version = me.post("room_keys", "version", body=BACKUP)["version"]
                me.put("room_keys", "keys", room, "session", query={"version": version}, body=BACKED_UP)
                self.names["backup version"] = version
            case "PushRuleEndpoints":
                for kind in ("override", "underride", "content"):
                    me.put("pushrules", "global", kind, "mine", body={"actions": [], "pattern": "a", "conditions": []})
            case "ReportAdminEndpoints":
                friend, admin = self.people["friend"], self.people["admin"]
                friend.post("rooms", room, "report", self.names["own event"], body={"reason": self.fresh()})
                self.names["report"] = admin.get("/_columba/admin/v1/reports")["reports"][0]["report_id"]
            case "ThreadSubscriptionEndpoints":
                thread = (UNSTABLE, "io.element.msc4306", "rooms", room, "thread", self.names["own event"])
                me.put(*thread, "subscription", body={})

    def fresh(self) -> str:
        """A word that was never used."""
        return f"fresh.{next(self._numbers)}"

    def _is_well(self, name: str) -> bool:
        client = self.people.get(name)
        return client is not None and client.send("GET", "account", "whoami").status == 200

    def _governs(self, name: str) -> bool:
        """Whether somebody is there who is an administrator."""
        client = self.people.get(name)
        return client is not None and client.send("GET", "/_columba/admin/v1/audit").status == 200

    def _is_ordinary(self, name: str) -> bool:
        """False of somebody whom a request has suspended, made an administrator, or held back."""
        admin, user_id = self.people["admin"], self.people[name].user_id
        account = admin.get("/_synapse/admin/v2/users", user_id)
        is_special = account["suspended"] or account["admin"] or account["shadow_banned"]
        return not (is_special or admin.get("/_synapse/admin/v1/users", user_id, "override_ratelimit"))

    def _recruit(self, name: str) -> None:
        client = new_user(self.url, name)
        self._introduce(name, client)
        if name == "self":
            second = client.login_again()
            self.names["second device"] = second.device_id
        self.names["own server"] = self.server_name

    def _recruit_admin(self) -> None:
        """Spec: none; this is how tools of other homeservers do it."""
        nobody = Client(self.url)
        nonce = nobody.get("/_synapse/admin/v1/register")["nonce"]
        username = f"admin.{next(self._numbers)}"
        signed = b"\0".join(part.encode() for part in (nonce, username, PASSWORD, "admin"))
        mac = hmac.new(SHARED_SECRET.encode(), signed, hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": username, "password": PASSWORD, "admin": True, "mac": mac}
        self._introduce("admin", nobody.known_as(nobody.post("/_synapse/admin/v1/register", body=body)))

    def _introduce(self, name: str, client: Client) -> None:
        assert client.access_token is not None
        self.people[name] = client
        self.tokens[name] = client.access_token
        self.names[name] = client.user_id
        self.names[f"device of {name}"] = client.device_id

    def _has_expired(self) -> bool:
        """False when there is no session yet whose access token has expired, or none any more."""
        nobody = Client(self.url, access_token=self.tokens.get("expired", ""))
        return b"soft_logout" in nobody.send("GET", "account", "whoami").body

    def _let_expire(self) -> None:
        late = new_user(self.url, "late", device_id="EXPIRED", refresh_token=True)
        assert late.access_token is not None
        self.tables.expire_tokens(late.device_id)
        self.tokens["expired"] = late.access_token

    def _deactivate(self) -> None:
        gone = new_user(self.url, "gone")
        assert gone.access_token is not None
        auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": gone.user_id}}
        gone.post("account", "deactivate", body={"auth": {**auth, "password": PASSWORD}})
        self.tokens["deactivated"] = gone.access_token
        self.names["deactivated user"] = gone.user_id

    def _make_rooms(self) -> None:
        self.has_spoiled_rooms = False
        self._rooms += 1
        me, friend, stranger = (self.people[name] for name in PEOPLE)
        number = next(self._numbers)
        alias = f"room.{number}"
        own = me.create_room_with(friend, room_alias_name=alias, name="own")
        other = stranger.create_room(name="other")
        left = stranger.create_room_with(me)
        me.post("rooms", left, "leave")
        inviting = stranger.create_room(me)
        self.names |= {
            "own room": own,
            "other room": other,
            "left room": left,
            "inviting room": inviting,
            "own alias": f"#{alias}:{self.server_name}",
            "new alias": f"#new.{number}:{self.server_name}",
            "new localpart": f"new.{number}",
            "own event": me.say(own, "own"),
            "event of friend": friend.say(own, "friend"),
            "other event": stranger.say(other, "other"),
            "create event": own.replace("!", "$"),
        }
        self.names["sync token"] = me.token()
        self.names["page token"] = me.messages(own, limit=1)["end"]
        self.names["filter"] = me.post("user", me.user_id, "filter", body={"room": {"timeline": {"limit": 1}}})[
            "filter_id"
        ]
