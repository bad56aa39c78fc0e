"""A server's services on a real database, without HTTP and without a reactor: for tests of use cases."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
from twisted.internet.defer import maybeDeferred

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import DeviceID, EventID, RoomID, ServerName, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.core.signing import SigningKey
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.randomness import SeededRandomness
from homeserver.runtime.wakeups import Bell
from homeserver.services.accounts.account_data import AccountDataKeeping
from homeserver.services.accounts.appservice_names import AppserviceNames, NoAppservices
from homeserver.services.accounts.deactivation import Deactivation
from homeserver.services.accounts.device_activity import DeviceActivity
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.devices import Devices
from homeserver.services.accounts.filters import Filters
from homeserver.services.accounts.guest_accounts import GuestAccounts
from homeserver.services.accounts.interactive_auth import InteractiveAuth
from homeserver.services.accounts.login import Login
from homeserver.services.accounts.new_accounts import NewAccounts
from homeserver.services.accounts.password_change import PasswordChange
from homeserver.services.accounts.password_check import PasswordCheck
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.accounts.profiles import Profiles
from homeserver.services.accounts.registration import Registration, RegistrationPolicy
from homeserver.services.accounts.registration_tokens import RegistrationTokens
from homeserver.services.accounts.sessions import Sessions
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.key_backups import KeyBackups
from homeserver.services.e2ee.key_visibility import KeyVisibility
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys
from homeserver.services.e2ee.remote_user_keys import RemoteUserKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.services.e2ee.to_device import ToDevice
from homeserver.services.events.client_format import ClientFormat, Viewer
from homeserver.services.events.completion import Completion
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.events.incoming_spam import IncomingSpam
from homeserver.services.events.intake import Intake
from homeserver.services.events.joining_heads import HeadJoining
from homeserver.services.events.keyring import GivenKeys, OwnKeysAnd
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.news import CHANGES_PER_USER, News
from homeserver.services.events.notifying import Notifying
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWriter
from homeserver.services.events.policy_approval import PolicyApproval
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.events.receipt import Receipt
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.shadow_bans import ShadowBans
from homeserver.services.events.state_merging import StateMerging
from homeserver.services.federation.removals import Removals
from homeserver.services.federation.room_completion import RoomCompletion
from homeserver.services.push.rules import PushRules
from homeserver.services.rate_limits import Counted, RateLimits
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.aggregations import Aggregations
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.creation import RoomCreation, RoomWishes
from homeserver.services.rooms.directory import RoomDirectory
from homeserver.services.rooms.ended_knocks import EndedKnocks
from homeserver.services.rooms.given_rooms import GivenRooms
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.member_profiles import MemberProfiles
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.notifications import Notifications
from homeserver.services.rooms.outside_memberships import OutsideMemberships
from homeserver.services.rooms.presence import Presence
from homeserver.services.rooms.presence_views import PresenceViews
from homeserver.services.rooms.probation import Probation
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.receipts import Receipts
from homeserver.services.rooms.relations import Relations
from homeserver.services.rooms.remote_directory import RemoteDirectory
from homeserver.services.rooms.remote_invites import RemoteInvites, RemoteInviting
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_knocks import RemoteKnocks
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.remote_spaces import RemoteSpaces
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.services.rooms.room_summaries import RoomSummaries
from homeserver.services.rooms.search import Search
from homeserver.services.rooms.search_backlog import SearchBacklog
from homeserver.services.rooms.sending import ClientTransaction, Sending
from homeserver.services.rooms.serials import Serials
from homeserver.services.rooms.spaces import Spaces
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.thread_subscriptions import ThreadSubscriptions
from homeserver.services.rooms.threads import Threads
from homeserver.services.rooms.timeline import Timeline
from homeserver.services.rooms.typing import Typing
from homeserver.services.rooms.upgrades import RoomUpgrades
from homeserver.services.rooms.user_directory import UserDirectory
from homeserver.services.spam_checks import Installed, SpamChecks
from homeserver.services.sync.assembling import SyncAssembling
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.event_stream import EventStream
from homeserver.services.sync.initial_sync import InitialSync
from homeserver.services.sync.long_poll import LongPoll
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.peeked_rooms import PeekedRooms
from homeserver.services.sync.room_lists import RoomLists
from homeserver.services.sync.rooms import SyncRooms
from homeserver.services.sync.states import SyncStates
from homeserver.services.sync.stream_chunks import StreamChunks
from homeserver.services.sync.timelines import Timelines
from homeserver.services.sync.unread import Unread
from homeserver.storage.database import Backend
from tests.databases import SyncDatabase
from tests.fakes.continuity import FakeOutside
from tests.fakes.policy_source import FakePolicySource
from tests.fakes.remote_servers import RemoteServers, keys_of_all

T = TypeVar("T")
SERVER = ServerName("example.org")
ALICE, BOB, CAROL = (UserID(f"@{name}:{SERVER}") for name in ("alice", "bob", "carol"))
PHONE = DeviceID("PHONE")
NOTHING_COUNTS: Mapping[Counted, RateLimit] = MappingProxyType({})


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a use case returns that has nothing to wait for, as on a database that answers at once."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the use case waits for something")


async def call_now(function: Callable[..., T], *arguments: Any) -> T:
    """What a thread would do, at once."""
    return function(*arguments)


class World:
    """One server, its services made by hand as assembly does."""

    def __init__(
        self,
        backend: Backend,
        boot: int = 1,
        changes_per_user: int = CHANGES_PER_USER,
        *,
        forgets_left_rooms: bool = False,
        limits_key_queries: bool = False,
        counted: Mapping[Counted, RateLimit] = NOTHING_COUNTS,
        spam_checks: Sequence[Installed] = (),
    ) -> None:
        self.backend = backend
        self.forgets_left_rooms = forgets_left_rooms
        self.boot = boot
        self.sync_database = SyncDatabase(backend, epoch=f"boot{boot}")
        self.database = self.sync_database.database
        self.key_visibility = KeyVisibility(self.database, is_limited=limits_key_queries)
        self.clock = ManualClock(1_700_000_000 + 1_000_000 * (boot - 1))
        self.randomness = SeededRandomness(boot)
        self.rate_limits = RateLimits(counted, self.clock)
        self.spam_checks = SpamChecks(spam_checks, self.clock, maybeDeferred)
        self.incoming_spam = IncomingSpam(self.spam_checks, SERVER)
        self.budget = CacheBudget(32 * 1024 * 1024)
        self.partial_rooms = PartialRooms(self.database, self.clock)
        self.key = SigningKey("test", bytes(32))
        self.bell = Bell(self.clock)
        self.news = News(self.bell, changes_per_user)
        self.event_cache = EventCache(self.budget)
        self.states = RoomStates(self.budget, self.event_cache)
        self.push_classes = PushClasses(self.budget)
        self.notifying = Notifying(self.states, self.push_classes, self.budget)
        self.merging = StateMerging(self.database, self.states, self.budget)
        rooms = self.states, self.merging, self.notifying, self.news
        self.lifetimes = Lifetimes()
        self.writer = RoomWriter(
            *rooms, self.clock, SERVER, forgets_left_rooms=forgets_left_rooms, lifetimes=self.lifetimes
        )
        self.policy_source = FakePolicySource()
        approval = PolicyApproval(self.database, self.policy_source, self.clock, SERVER)
        self.shadow_bans = ShadowBans()
        self.event_creation = EventCreation(
            self.writer,
            self.clock,
            self.randomness,
            SERVER,
            self.key,
            approval,
            self.partial_rooms,
            self.shadow_bans,
        )
        self.head_joining = HeadJoining(self.event_creation)
        self.intake = Intake(
            self.database, self.writer, self.head_joining, self.partial_rooms, self.incoming_spam, self.clock
        )
        self.completion = Completion(self.database, self.writer, self.intake, self.partial_rooms)
        self.readers = Readers(self.states)
        self.erased_users = ErasedUsers()
        self.formats = ClientFormat(self.states, self.clock, self.budget, self.erased_users, self.lifetimes)
        self.barred: set[UserID] = set()  # by policy lists, from inviting anybody
        self.admission = Admission(
            self.rate_limits, self.spam_checks, Probation(self.clock), lambda sender, _: sender in self.barred
        )
        self.membership = RoomMembership(self.database, self.event_creation, self.admission, SERVER)
        self.sending = Sending(self.event_creation, self.readers, self.admission, self.clock, SERVER)
        self._open_reading()
        self._open_federation()
        self.directory = RoomDirectory(self.database, self.states, self.admission, self.shadow_bans)
        self._open_spaces()
        self._open_e2ee()
        self._open_accounts()
        self._open_personal()
        self._open_sync()

    def _open_reading(self) -> None:
        self.aggregations = Aggregations(self.readers, self.states, self.formats)
        read = self.readers, self.states, self.formats, self.aggregations
        related = self.readers, self.states, self.aggregations, self.partial_rooms
        self.timeline = Timeline(self.database, *read, self.partial_rooms)
        self.relations = Relations(self.database, *related)
        self.threads = Threads(self.database, *related)
        self.notifications = Notifications(self.database, self.readers, self.formats, self.push_classes, self.notifying)
        self.user_directory = UserDirectory(self.database, self.spam_checks, finds_all=False)
        self.search_backlog = SearchBacklog(self.database, self.states, self.clock)
        self.search = Search(self.database, *read, self.erased_users)
        self.thread_subscriptions = ThreadSubscriptions(self.database, self.readers, self.news)

    def _open_federation(self) -> None:
        self.others = RemoteServers()
        self.federation_client = FederationClient(self.others, OpenGate(), SERVER, self.key, self.clock)
        self.receipt = Receipt(OwnKeysAnd(SERVER, [self.key.verify_key], GivenKeys(keys_of_all())), call_now)
        client, creation = self.federation_client, self.event_creation
        self.aliases = RoomAliases(self.database, creation, self.readers, client, self.admission, self.clock, SERVER)
        self.given_rooms = GivenRooms(self.receipt, self.intake, self.completion, most_events=1_000)
        self.remote_joins = RemoteJoins(
            client, creation, self.receipt, self.given_rooms, self.clock, omits_members=True
        )
        self.outside = OutsideMemberships(self.news, self.clock, forgets_left_rooms=self.forgets_left_rooms)
        removals = Removals(self.states, self.outside, self.clock, SERVER)
        self.room_completion = RoomCompletion(
            self.database, client, self.given_rooms, self.completion, removals, self.clock, SERVER
        )
        self.partial_rooms.tell_of_rooms(self.room_completion.wake)
        leaves = RemoteLeaves(self.database, client, creation, self.outside, self.clock)
        knocks = RemoteKnocks(self.database, client, creation, self.outside, self.clock)
        self.remote_directory = RemoteDirectory(client)
        self.anywhere = RemoteMembership(
            self.database, self.membership, self.aliases, self.remote_joins, leaves, knocks, self.admission, SERVER
        )
        self.ended_knocks = EndedKnocks(client, self.clock)
        self.remote_invites = RemoteInvites(
            self.database,
            self.receipt,
            self.outside,
            self.ended_knocks,
            self.rate_limits,
            self.spam_checks,
            SERVER,
            self.key,
        )
        self.inviting = RemoteInviting(
            self.database, client, creation, self.receipt, self.intake, self.membership, self.admission, SERVER
        )
        self.rooms = RoomCreation(creation, self.clock, self.randomness, SERVER, "12", self.inviting, self.admission)

    def _open_spaces(self) -> None:
        self.spaces = Spaces(self.states, self.directory, SERVER)
        remote = RemoteSpaces(self.federation_client, self.budget, self.clock)
        self.hierarchy = Hierarchy(self.database, self.spaces, remote, self.budget, self.clock, self.randomness, SERVER)
        self.room_summaries = RoomSummaries(self.database, self.spaces, remote, self.aliases, SERVER)

    def _open_e2ee(self) -> None:
        self.device_lists = DeviceLists(self.database, self.news, self.clock)
        client = self.federation_client
        self.remote_users = RemoteUsers(self.database, self.device_lists, client, self.clock, self.randomness, SERVER)
        asking = RemoteDeviceKeys(client, self.clock)
        elsewhere = RemoteUserKeys(self.database, asking, self.remote_users, SERVER)
        self.device_keys = DeviceKeys(
            self.database, self.device_lists, elsewhere, self.key_visibility, self.news, self.clock, SERVER
        )
        self.cross_signing = CrossSigning(self.database, self.device_lists, self.news, self.clock)
        self.key_backups = KeyBackups(self.database)
        self.to_device = ToDevice(self.database, self.news, self.clock, SERVER, self.shadow_bans)

    def _open_sync(self) -> None:
        serials = Serials()
        self.typing = Typing(
            self.database,
            self.notifying,
            self.news,
            self.bell,
            self.clock,
            SERVER,
            serials=serials,
            shadow_bans=self.shadow_bans,
        )
        self.presence_views = PresenceViews(serials)
        self.presence = Presence(
            self.database,
            self.presence_views,
            self.news,
            self.bell,
            self.clock,
            SERVER,
            shadow_bans=self.shadow_bans,
        )
        self.typing.listen_to_activity(self.presence.note_activity)
        self.sync_memory = SyncMemory()
        timelines = Timelines(self.readers, self.states)
        sync_states = SyncStates(self.states, self.sync_memory.sent_members)
        unread = Unread(self.push_classes, self.sync_memory, self.news)
        sync_rooms = SyncRooms(timelines, sync_states, unread, self.formats, self.aggregations)
        device_parts = DeviceParts(self.sync_memory)
        room_lists = RoomLists(sync_rooms, self.states, unread, self.readers, self.sync_memory)
        self.assembling = SyncAssembling(
            sync_rooms,
            room_lists,
            device_parts,
            self.sync_memory,
            self.typing,
            self.presence,
            self.partial_rooms,
            self.database.epoch,
        )
        self.kept_outside = FakeOutside()
        self.lost_time = LostTime(self.database, self.device_keys, self.remote_users, self.kept_outside, self.clock)
        self.long_poll = LongPoll(
            self.database, self.assembling, self.sync_memory, self.lost_time, self.news, self.bell, self.clock
        )
        chunks = StreamChunks(timelines, self.readers, self.formats, self.typing, self.presence, self.database.epoch)
        self.peeked = PeekedRooms(self.news, self.bell)
        self.event_stream = EventStream(
            self.database, chunks, self.lost_time, self.peeked, self.news, self.bell, self.clock
        )
        self.initial_sync = InitialSync(
            self.database,
            self.assembling,
            sync_rooms,
            self.readers,
            self.states,
            self.formats,
            self.partial_rooms,
        )

    def _open_personal(self) -> None:
        self.receipts = Receipts(
            self.database, self.readers, self.states, self.notifying, self.news, self.clock, self.shadow_bans
        )
        self.account_data = AccountDataKeeping(self.database, self.news)
        self.filters = Filters(self.database, self.clock)
        self.push_rules = PushRules(self.database, self.push_classes, self.news)
        settings = RoomSettings(self.push_rules, self.news)
        self.upgrades = RoomUpgrades(self.database, self.event_creation, settings, self.randomness, SERVER)
        self.successors = Successors(self.database, self.states, self.anywhere, settings)

    def _open_accounts(self) -> None:
        self.appservices: AppserviceNames = NoAppservices()
        self.tokens = AccessTokens(self.database, self.appservices, self.clock)
        self.passwords = Passwords(call_now, time_cost=1, memory_kib=8)
        self.password_check = PasswordCheck(self.database, self.passwords, self.clock)
        self.interactive_auth = InteractiveAuth(self.password_check, self.clock, self.randomness)
        self.device_removal = DeviceRemoval(self.tokens, self.device_lists)
        self.sessions = Sessions(
            self.database,
            self.tokens,
            self.device_removal,
            self.device_lists,
            self.clock,
            self.randomness,
            access_token_lifetime_ms=300_000,
        )
        self.login = Login(
            self.database,
            self.password_check,
            self.passwords,
            self.sessions,
            self.rate_limits,
            self.spam_checks,
            self.clock,
            self.randomness,
            SERVER,
        )
        self.new_accounts = NewAccounts(self.rate_limits, self.spam_checks)
        self.guests = self.open_guests(are_allowed=True)
        self.registration = self.open_registration(RegistrationPolicy(is_open=True, needs_token=False))
        self.registration_tokens = RegistrationTokens(self.database, self.clock, self.randomness)
        self.devices = Devices(self.database, self.device_removal, self.device_lists, self.interactive_auth, self.clock)
        self.device_activity = DeviceActivity(self.database, self.clock)
        self.profiles = Profiles(self.database, MemberProfiles(self.event_creation), SERVER)
        self.password_change = PasswordChange(self.database, self.passwords, self.interactive_auth, self.sessions)
        self.deactivation = Deactivation(
            self.database,
            self.interactive_auth,
            self.sessions,
            self.device_lists,
            self.tokens,
            self.anywhere,
            self.erased_users,
        )

    def open_guests(self, *, are_allowed: bool) -> GuestAccounts:
        """Guests, if they are allowed."""
        return GuestAccounts(
            self.database,
            self.sessions,
            self.tokens,
            self.new_accounts,
            self.clock,
            self.randomness,
            SERVER,
            are_allowed=are_allowed,
        )

    def open_registration(self, policy: RegistrationPolicy) -> Registration:
        """Registration as this policy has it."""
        return Registration(
            self.database,
            self.passwords,
            self.interactive_auth,
            self.sessions,
            self.appservices,
            self.guests,
            self.new_accounts,
            self.clock,
            self.randomness,
            SERVER,
            policy,
        )

    def create_room(self, creator: UserID = ALICE, **wishes: Any) -> RoomID:
        """A new room; `wishes` are the fields of RoomWishes."""
        return now(self.rooms.create_room(creator, RoomWishes(**wishes)))

    def join(self, user_id: UserID, room_id: RoomID) -> None:
        """Let a user join."""
        now(self.membership.join(user_id, room_id, None))

    def send(self, sender: UserID, room_id: RoomID, body: str = "hello", transaction_id: str | None = None) -> EventID:
        """Send a text message."""
        transaction = None if transaction_id is None else ClientTransaction(PHONE, f"send/{room_id}", transaction_id)
        content = {"msgtype": "m.text", "body": body}
        return now(self.sending.send_message(sender, room_id, "m.room.message", content, transaction))

    @staticmethod
    def viewer(user_id: UserID) -> Viewer:
        """The eyes of the user's phone."""
        return Viewer(user_id, PHONE)

    def history(self, user_id: UserID, room_id: RoomID, limit: int = 100) -> list[dict[str, Any]]:
        """The newest events of a room as the user sees them, newest first."""
        page = now(
            self.timeline.messages(
                Viewer(user_id, PHONE),
                room_id,
                begin=None,
                end=None,
                backwards=True,
                limit=limit,
                event_filter=RoomEventFilter(),
            )
        )
        return [shown(fragment) for fragment in page.chunk]

    def close(self) -> None:
        """Close the database."""
        self.sync_database.close()


def shown(fragment: Any) -> dict[str, Any]:
    """What a client reads of a rendered event."""

    value: dict[str, Any] = orjson.loads(orjson.dumps(fragment))
    return value
