"""What users do all day, as often as a test wants: the same things each time, done to the same rooms and accounts.

It fills every table of the schema. A new table that stays empty here gets its part in `Workload`.
"""

from dataclasses import replace
from typing import Any

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import (
    DeviceID,
    EventID,
    KeyID,
    RoomAlias,
    RoomID,
    ServerName,
    UserID,
    parse_room_alias,
)
from homeserver.core.remote_keys import RemoteDevice
from homeserver.core.signing import SigningKey
from homeserver.core.sync_tokens import SyncToken
from homeserver.http.errors import error_body
from homeserver.services.accounts.dehydrated_devices import DehydratedDevices, DeviceWithKeys
from homeserver.services.accounts.openid import OpenIDTokens
from homeserver.services.accounts.registration_tokens import TokenLimits
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.e2ee.key_backups import SessionKey
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.creation import Draft
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.events.remote_keys import RemoteKeys
from homeserver.services.rooms.delayed_events import DelayedEvents
from homeserver.services.rooms.receipts import FULLY_READ, READ, READ_PRIVATE, Marker
from homeserver.services.rooms.reports import Reports
from homeserver.services.rooms.sending import ClientTransaction
from homeserver.services.sync.request import SyncRequest
from homeserver.storage.accepted_terms import note_accepted_terms
from homeserver.storage.admin_audit import Act, End
from homeserver.storage.admin_jobs import Job, JobStatus, insert_job, note_end
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.database import Transaction
from homeserver.storage.destinations import FailingDestination, ServerRule, store_failing, store_server_rule
from homeserver.storage.early_redactions import note_early_redaction
from homeserver.storage.event_edges import insert_shadows
from homeserver.storage.events import Form
from homeserver.storage.inbound_transactions import NewPDU, insert_answer, note_message, stage_pdus
from homeserver.storage.notice_rooms import store_notice_room
from homeserver.storage.outboxes import StoredOutbox, store_outboxes
from homeserver.storage.outgoing_events import insert_removal_notice
from homeserver.storage.partial_rooms import PartialRoom, note_whole, store_partial_room
from homeserver.storage.policy_lists import (
    Deed,
    DeedKind,
    OnRooms,
    PolicyList,
    note_watched,
    store_deeds,
    store_policy_list,
)
from homeserver.storage.remote_memberships import RemoteMembership, store_remote_membership
from homeserver.storage.remote_users import RemoteDeviceList, store_list, store_remote_devices
from homeserver.storage.rooms import find_head
from homeserver.storage.server_limits import ServerLimit, store_server_limit
from homeserver.storage.waiting_events import WaitingEvent, insert_waiting
from tests.fakes.key_source import FakeKeySource, Publisher
from tests.forked_rooms import ALICE as REMOTE_ALICE
from tests.scenes import Scene
from tests.services.accounts.people import PASSWORD, register, whose
from tests.services.e2ee.signed_keys import cross_signing_key, device_keys, identity, one_time_key, public, signed
from tests.services.sync.sliding import Phone, Sliding, window
from tests.services.world import ALICE, BOB, CAROL, PHONE, SERVER, World, now

TABLET = DeviceID("TABLET")
ELSEWHERE = UserID("@user:down.example")
SIGNED = "signed_curve25519"
CHANGES_OF_STATE = 6  # in one run


class Workload:
    """Alice and Bob, their room, and what they do there. Carol comes and goes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs = 0
        self.sliding = Sliding(world)
        for name in ("alice", "bob", "carol"):
            register(world, name)
        self.room_id: RoomID = world.create_room(ALICE, preset="public_chat", name="Room")
        world.join(BOB, self.room_id)
        self.thread_root: EventID = world.send(ALICE, self.room_id, "a thread begins")
        refreshing = DeviceWish(TABLET, None, wants_refresh_token=True)
        self.tablet: OpenedSession = now(world.login.with_password("alice", PASSWORD, refreshing))
        for user_id in (ALICE, BOB):
            now(world.device_keys.upload(user_id, PHONE, device_keys=device_keys(user_id)))
            now(world.cross_signing.upload_keys(user_id, identity(user_id), is_authenticated=True))
        fallback_keys = {f"{SIGNED}:fallback": one_time_key(BOB)}
        now(world.device_keys.upload(BOB, PHONE, fallback_keys=fallback_keys))
        now(world.to_device.send(ALICE, PHONE, "org.example", "for a device that never asks", {CAROL: {"*": {}}}))
        self._wait_for_others()
        self._hear_from_others()
        self._learn_keys()
        self.backup: str = now(world.key_backups.create(ALICE, "org.example", {"public_key": "key"}))

    def run(self) -> None:
        """Everything once. An hour passes."""
        self.runs += 1
        newest = self._talk()
        self._read(newest)
        self._move()
        self._keep_things()
        self._log_in_and_out()
        self._sign()
        self._administer()
        self._receive()
        self._leave_things()
        now(self.world.lost_time.start())  # as after an end of the server
        self.world.clock.advance(3600)
        now(self.world.device_activity.flush())
        now(self.world.long_poll.flush_acknowledged())

    def _hear_from_others(self) -> None:
        """What other servers' events leave behind in a room, apart from themselves."""
        database, elsewhere, absent = self.world.sync_database, EventID("$elsewhere"), EventID("$absent")
        waiting = WaitingEvent(elsewhere, b"{}", Form.FULL, None, self.world.clock.now_ms())
        database.write(insert_waiting, self.room_id, waiting, [absent])
        database.write(note_early_redaction, self.room_id, target_id=absent, redaction_id=elsewhere)
        database.write(note_collectable, self.room_id, self.world.clock.now_ms())
        database.write(store_partial_room, PartialRoom(self.room_id, elsewhere, SERVER))
        now_ms = self.world.clock.now_ms()
        database.write(note_whole, self.room_id, elsewhere, position=1, now_ms=now_ms)
        invite = replace(Scene().member(CAROL, "invite", sender=REMOTE_ALICE, after=[]), room_id=self.room_id)
        outside = RemoteMembership(EncodedEvent(invite, encode_for(invite.version, invite.pdu)), SERVER)
        database.write(store_remote_membership, CAROL, outside)

    def _receive(self) -> None:
        """A transaction of another server, and an event of its that stands on the newest one without counting."""
        database, now_ms, elsewhere = self.world.sync_database, self.world.clock.now_ms(), ServerName("up.example")
        database.write(insert_answer, elsewhere, self.text("transaction"), b"{}", now_ms=now_ms)
        database.write(note_message, elsewhere, self.text("message"), now_ms=now_ms)
        if self.runs == 1:
            database.write(stage_pdus, elsewhere, [NewPDU(self.room_id, b"{}")], now_ms=now_ms)
        head = database.read(find_head, self.room_id)
        assert head is not None
        database.write(insert_shadows, self.room_id, EventID("$soft-failed"), head.heads)

    def _wait_for_others(self) -> None:
        """What is kept for servers that do not answer."""
        database, now_ms, elsewhere = self.world.sync_database, self.world.clock.now_ms(), ServerName("down.example")
        now(self.world.to_device.send(ALICE, PHONE, "org.example", "elsewhere", {ELSEWHERE: {"*": {}}}))
        devices = RemoteDeviceList(ELSEWHERE, 1, 0, is_stale=True, marks=0, failures=1, next_attempt_ms=now_ms)
        database.write(store_list, devices, now_ms=now_ms)
        database.write(store_remote_devices, ELSEWHERE, [RemoteDevice(PHONE, {}, None)])
        database.write(insert_removal_notice, elsewhere, self.room_id, position=1, now_ms=now_ms)
        database.write(store_outboxes, [StoredOutbox(elsewhere, 1, None, is_behind=True, transaction=None)])
        database.write(store_failing, [FailingDestination(elsewhere, now_ms, now_ms, 1, now_ms)])
        database.write(store_server_limit, ServerLimit(ServerName("one.example"), "federation", 1, 1, now_ms))
        database.write(store_server_rule, ServerRule("*.bad.example", is_blocked=True, written_ms=now_ms))

    def _learn_keys(self) -> None:
        """What is kept of keys: the own one, another server's that signed an event, and one that signed a request."""
        database, clock = self.world.database, self.world.clock
        now(OwnSigningKeys(self.world.key).note(database, clock))
        source = FakeKeySource()
        keys = RemoteKeys(database, source, (), self.world.budget, clock)
        for name in ("one.example", "two.example"):
            source.publish(Publisher(ServerName(name), SigningKey("a", bytes(32)), clock.now_ms()))
        wanted = frozenset({KeyID("ed25519:a")})
        now(keys.keys_of({ServerName("one.example"): wanted}))
        now(keys.keys_for_request(ServerName("two.example"), wanted))

    def text(self, words: str) -> str:
        """Words that are new in every run."""
        return f"{words} {self.runs}"

    def _talk(self) -> EventID:
        world, room_id = self.world, self.room_id
        first = world.send(ALICE, room_id, "hello", self.text("first"))
        mention = {"msgtype": "m.text", "body": "Bob?", "m.mentions": {"user_ids": [BOB]}}
        transaction = ClientTransaction(PHONE, f"send/{room_id}", self.text("second"))
        now(world.sending.send_message(ALICE, room_id, "m.room.message", mention, transaction))
        thread = {"rel_type": "m.thread", "event_id": self.thread_root}
        reply = {"msgtype": "m.text", "body": "yes", "m.relates_to": thread}
        newest = now(world.sending.send_message(BOB, room_id, "m.room.message", reply, None))
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "+"}}
        now(world.sending.send_message(BOB, room_id, "m.reaction", reaction, None))
        now(world.sending.redact(ALICE, room_id, first, {}, None))
        for topic in ("one", "another"):
            now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": self.text(topic)}))
        return newest

    def _read(self, newest: EventID) -> None:
        world, room_id = self.world, self.room_id
        for user_id in (ALICE, BOB):
            markers = [Marker(kind, newest) for kind in (READ, READ_PRIVATE, FULLY_READ)]
            now(world.receipts.mark(user_id, room_id, [*markers, Marker(READ, newest, self.thread_root)]))
        now(world.thread_subscriptions.subscribe(BOB, room_id, self.thread_root, None))
        now(world.thread_subscriptions.unsubscribe(BOB, room_id, self.thread_root))
        now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=True))
        now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=False))
        Phone(self.sliding, ALICE, lists=window()).ask()

    def _leave_things(self) -> None:
        """What one leaves for later, or for others: a device that sleeps, a goodbye, a word to the moderators."""
        world, dry = self.world, DeviceID("DRY")
        sleeping = DeviceWithKeys(dry, {"pickle": self.text("secret")}, None, device_keys(BOB, dry))
        dehydrated = DehydratedDevices(world.database, world.device_keys, world.device_removal, world.clock)
        now(dehydrated.replace(BOB, sleeping))
        later = DelayedEvents(
            world.database, world.event_creation, world.sending, world.clock, world.randomness, error_body
        )
        goodbye = Draft("m.room.message", BOB, {"msgtype": "m.text", "body": "bye"})
        now(later.cancel(now(later.schedule(goodbye, self.room_id, 1_000, None))))
        reports = Reports(world.database, world.readers, world.clock, world.randomness, SERVER)
        now(reports.report_room(BOB, self.room_id, self.text("quiet")))

    def _move(self) -> None:
        world, room_id = self.world, self.room_id
        now(world.membership.invite(ALICE, room_id, CAROL, None))
        world.join(CAROL, room_id)
        now(world.membership.kick(ALICE, room_id, CAROL, "for the test"))
        now(world.membership.forget(CAROL, room_id))
        requester = whose(world, self.tablet.tokens.access_token)
        assert requester is not None
        now(world.profiles.set_field(requester, ALICE, "displayname", self.text("Alice")))
        now(world.profiles.set_field(requester, ALICE, "org.example.mood", self.text("good")))

    def _keep_things(self) -> None:
        world, room_id = self.world, self.room_id
        for place in (None, room_id):
            now(world.account_data.put(ALICE, ALICE, place, "org.example", {"run": self.runs}))
        now(world.account_data.put_tag(ALICE, ALICE, room_id, "u.often", {"order": 0.5}))
        now(world.account_data.put_tag(ALICE, ALICE, room_id, "u.now", {}))
        now(world.account_data.delete_tag(ALICE, ALICE, room_id, "u.now"))
        now(world.filters.upload(ALICE, ALICE, {"room": {"timeline": {"limit": 20}}}))
        rule: dict[str, Any] = {"actions": ["notify"], "pattern": "tea"}  # Any: JSON
        now(world.push_rules.put(ALICE, "content", "tea", rule, before=None, after=None))
        alias: RoomAlias = parse_room_alias(f"#room:{SERVER}")
        other: RoomAlias = parse_room_alias(f"#other:{SERVER}")
        if self.runs == 1:
            now(world.aliases.create(ALICE, alias, room_id))
        now(world.aliases.create(ALICE, other, room_id))
        now(world.aliases.delete(ALICE, other, is_admin=False))

    def _log_in_and_out(self) -> None:
        world = self.world
        world.sync_database.write(note_accepted_terms, ALICE, {"privacy_policy": str(self.runs)}, now_ms=self.runs)
        refresh_token = self.tablet.tokens.refresh_token
        assert refresh_token is not None
        self.tablet = replace(self.tablet, tokens=now(world.sessions.refresh(refresh_token)))
        assert whose(world, self.tablet.tokens.access_token) is not None
        login_token, _ = now(world.login.issue_token(ALICE))
        now(world.login.issue_token(ALICE))  # nobody uses this one
        now(OpenIDTokens(world.database, world.clock, world.randomness).issue(ALICE, ALICE))
        laptop = now(world.login.with_token(login_token, DeviceWish(None, "A laptop")))
        requester = whose(world, laptop.tokens.access_token)
        assert requester is not None
        world.device_activity.note(requester, "192.0.2.1", lambda _: "A client")
        now(world.device_activity.flush())
        self._encrypt(laptop)
        now(world.sessions.log_out(requester))

    def _encrypt(self, laptop: OpenedSession) -> None:
        """A device publishes its keys, is written to, and gets what was written."""
        world, device_id = self.world, laptop.device_id
        one_time_keys = {f"{SIGNED}:{number}": one_time_key(ALICE, device_id=device_id) for number in range(3)}
        fallback_keys = {f"{SIGNED}:fallback": one_time_key(ALICE, device_id=device_id)}
        keys = device_keys(ALICE, device_id)
        now(
            world.device_keys.upload(
                ALICE, device_id, device_keys=keys, one_time_keys=one_time_keys, fallback_keys=fallback_keys
            )
        )
        signed_keys = signed(keys, ALICE, f"{ALICE} self_signing")
        assert now(world.cross_signing.upload_signatures(ALICE, {ALICE: {device_id: signed_keys}})) == {}
        for _ in range(4):
            now(world.device_keys.claim({ALICE: {device_id: SIGNED}}))
        phone_key = {f"{SIGNED}:{self.runs}": one_time_key(ALICE)}
        now(world.device_keys.upload(ALICE, PHONE, one_time_keys=phone_key))
        now(world.device_keys.claim({ALICE: {PHONE: SIGNED}}))
        since = self._sync(ALICE, device_id, None)
        for number in range(3):
            messages = {ALICE: {device_id: {"number": number}}, BOB: {PHONE: {"number": number}}}
            now(world.to_device.send(BOB, PHONE, "org.example", self.text(f"message {number}"), messages))
        self._sync(ALICE, device_id, self._sync(ALICE, device_id, since))
        self._sync(BOB, PHONE, self._sync(BOB, PHONE, None))
        Phone(Sliding(world), BOB, lists=window()).ask()

    def _sync(self, user_id: UserID, device_id: DeviceID, since: SyncToken | None) -> SyncToken:
        return now(self.world.long_poll.sync(SyncRequest(viewer=Viewer(user_id, device_id), since=since))).next_batch

    def _sign(self) -> None:
        world = self.world
        verified = signed(cross_signing_key(BOB, "master"), ALICE, f"{ALICE} user_signing")
        assert now(world.cross_signing.upload_signatures(ALICE, {BOB: {public(f"{BOB} master"): verified}})) == {}
        key = SessionKey(
            is_verified=True,
            first_message_index=100 - self.runs,
            forwarded_count=0,
            session_data={"ciphertext": self.text("secret")},
        )
        now(world.key_backups.add_keys(ALICE, self.backup, {(self.room_id, "session"): key}))

    def _administer(self) -> None:
        world = self.world
        token = now(world.registration_tokens.create(None, None, TokenLimits(1, None))).token
        now(world.registration_tokens.delete(token))
        if self.runs == 1:
            now(world.registration_tokens.create(None, None, TokenLimits(None, None)))
        lifetime = {"max_lifetime": 2**50}
        now(world.sending.set_state(ALICE, self.room_id, "m.room.retention", "", lifetime))
        world.sync_database.write(store_notice_room, BOB, self.room_id)
        now(RoomBlocks(world.database, world.clock).block(RoomID("!unwelcome:elsewhere.example"), None))
        world.sync_database.write(_follow_list, self.room_id, position=self.runs)
        act = Act(ALICE, "PUT /_matrix/client/v1/admin/lock/{userId}", BOB, "{}")
        now(AdminAudit(world.database, world.clock).note_done(act, End(200, None)))
        now_ms = world.clock.now_ms()
        job = Job(world.randomness.token(9), "a job", self.room_id, {}, ALICE, now_ms, now_ms)
        world.sync_database.write(insert_job, job)
        world.sync_database.write(note_end, job.job_id, JobStatus.FAILED, "no", now_ms=now_ms)
        now(world.directory.publish(ALICE, self.room_id, is_published=bool(self.runs % 2), is_admin=False))


def _follow_list(tx: Transaction, room_id: RoomID, *, position: int) -> None:
    """Follow the policy list in a room, which protects that room, and do something because of it."""
    rooms = frozenset({room_id})
    followed = PolicyList(
        room_id, on_server=True, on_rooms=OnRooms.GIVEN, rooms=rooms, subscribed_by=None, subscribed_ms=1
    )
    store_policy_list(tx, followed)
    store_deeds(tx, [Deed(DeedKind.BAN, room_id, ELSEWHERE, room_id)], now_ms=1)
    note_watched(tx, position)
