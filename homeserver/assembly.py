"""The composition root: builds the whole server by hand, in floor order, and starts and stops it.

No logic here: who needs whom, what runs in the background, and in which order things open and close.
"""

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThreadPool

import homeserver
from homeserver.core.errors import BadKey
from homeserver.core.identifiers import ServerName
from homeserver.core.rate_limits import RateLimit
from homeserver.core.signing import SigningKey
from homeserver.http.admin.federation import FederationAdminEndpoints
from homeserver.http.admin.keys import KeyAdminEndpoints
from homeserver.http.admin.registration import RegistrationAdminEndpoints
from homeserver.http.admin.room_audits import RoomAuditEndpoints
from homeserver.http.authentication import Authentication, PeerVerifier
from homeserver.http.client.account import AccountEndpoints
from homeserver.http.client.account_data import AccountDataEndpoints
from homeserver.http.client.account_management import AccountManagementEndpoints
from homeserver.http.client.capabilities import CapabilitiesEndpoints
from homeserver.http.client.cross_signing import CrossSigningEndpoints
from homeserver.http.client.device_keys import DeviceKeysEndpoints
from homeserver.http.client.devices import DeviceEndpoints
from homeserver.http.client.event_times import EventTimeEndpoints
from homeserver.http.client.filters import FilterEndpoints
from homeserver.http.client.hierarchy import HierarchyEndpoints
from homeserver.http.client.key_backups import KeyBackupsEndpoints
from homeserver.http.client.login import LoginEndpoints
from homeserver.http.client.openid import OpenIDEndpoints
from homeserver.http.client.profiles import ProfileEndpoints
from homeserver.http.client.push_rules import PushRuleEndpoints
from homeserver.http.client.receipts import ReceiptEndpoints
from homeserver.http.client.registration import RegistrationEndpoints
from homeserver.http.client.room_creation import RoomCreationEndpoints
from homeserver.http.client.room_directory import RoomDirectoryEndpoints
from homeserver.http.client.room_events import RoomEventsEndpoints
from homeserver.http.client.room_membership import RoomMembershipEndpoints
from homeserver.http.client.room_summaries import RoomSummaryEndpoints
from homeserver.http.client.room_upgrades import RoomUpgradeEndpoints
from homeserver.http.client.sending import SendingEndpoints
from homeserver.http.client.sync import SyncEndpoints
from homeserver.http.client.tags import TagEndpoints
from homeserver.http.client.to_device import ToDeviceEndpoints
from homeserver.http.client.typing import TypingEndpoints
from homeserver.http.client.versions import VersionsEndpoints
from homeserver.http.client.well_known import WellKnownEndpoints
from homeserver.http.client_address import TrustedProxies
from homeserver.http.door import Door, administer
from homeserver.http.endpoint import BoundEndpoint, Surface, collect
from homeserver.http.federation.devices import FederationDeviceEndpoints
from homeserver.http.federation.events import FederationEventEndpoints
from homeserver.http.federation.hierarchy import FederationHierarchyEndpoints
from homeserver.http.federation.history import FederationHistoryEndpoints
from homeserver.http.federation.invites import FederationInviteEndpoints
from homeserver.http.federation.joins import FederationJoinEndpoints
from homeserver.http.federation.keys import FederationKeyEndpoints
from homeserver.http.federation.knocks import FederationKnockEndpoints
from homeserver.http.federation.leaves import FederationLeaveEndpoints
from homeserver.http.federation.openid import FederationOpenIDEndpoints
from homeserver.http.federation.public_rooms import FederationPublicRoomsEndpoints
from homeserver.http.federation.queries import FederationQueryEndpoints
from homeserver.http.federation.state import FederationStateEndpoints
from homeserver.http.federation.third_party_invites import FederationThirdPartyInviteEndpoints
from homeserver.http.federation.timestamps import FederationTimestampEndpoints
from homeserver.http.federation.transactions import TransactionEndpoints
from homeserver.http.federation.version import FederationVersionEndpoints
from homeserver.http.landing import LandingEndpoints
from homeserver.http.operations import HealthEndpoints, MetricsEndpoints
from homeserver.http.peers import NoPeers
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.resource import Listening, Site, Traffic
from homeserver.http.router import Router
from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import ShutGate
from homeserver.outbound.https import Https
from homeserver.outbound.names import SystemNames
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.tls import BadTrustRoot, TlsClients
from homeserver.outbound.well_known import WellKnown
from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.randomness import SystemRandomness
from homeserver.runtime.startup import StartRefused
from homeserver.runtime.tls_groups import TlsGroups
from homeserver.runtime.wakeups import Bell
from homeserver.services.accounts.account_data import AccountDataKeeping
from homeserver.services.accounts.appservice_names import NoAppservices
from homeserver.services.accounts.deactivation import Deactivation
from homeserver.services.accounts.device_activity import FLUSH_S, DeviceActivity
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.devices import Devices
from homeserver.services.accounts.filters import Filters
from homeserver.services.accounts.interactive_auth import InteractiveAuth
from homeserver.services.accounts.login import Login
from homeserver.services.accounts.openid import OpenIDTokens
from homeserver.services.accounts.password_change import PasswordChange
from homeserver.services.accounts.password_check import PasswordCheck
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.accounts.profiles import Profiles
from homeserver.services.accounts.registration import Registration, RegistrationPolicy
from homeserver.services.accounts.registration_tokens import RegistrationTokens
from homeserver.services.accounts.remote_profiles import RemoteProfileQueries
from homeserver.services.accounts.sessions import Sessions
from homeserver.services.accounts.shared_secret import SharedSecretRegistration
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.admin.audits import RoomAudits
from homeserver.services.admin.key_rotation import KeyRotation
from homeserver.services.admin.known_keys import StoredKeys
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.key_backups import KeyBackups
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys
from homeserver.services.e2ee.remote_user_keys import RemoteUserKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.services.e2ee.to_device import ToDevice
from homeserver.services.events.client_format import ClientFormat
from homeserver.services.events.collection import StateCollection
from homeserver.services.events.completion import Completion
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.intake import Intake
from homeserver.services.events.joining_heads import HeadJoining
from homeserver.services.events.keyring import OwnKeysAnd
from homeserver.services.events.merging_process import MergingProcess
from homeserver.services.events.news import News
from homeserver.services.events.notifying import Notifying
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWriter
from homeserver.services.events.policy_approval import PolicyApproval
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.events.receipt import Receipt
from homeserver.services.events.remote_keys import RemoteKeys
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.state_merging import StateMerging
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.backfill import Backfill
from homeserver.services.federation.destination_status import DestinationStatuses
from homeserver.services.federation.destinations import Destinations, RetryPolicy
from homeserver.services.federation.directory_queries import DirectoryQueries
from homeserver.services.federation.hierarchy import HierarchyServing
from homeserver.services.federation.inbound_transactions import InboundTransactions
from homeserver.services.federation.incoming_edus import IncomingEdus
from homeserver.services.federation.invites import InviteServing
from homeserver.services.federation.joins import JoinServing
from homeserver.services.federation.key_document import OwnKeyDocument
from homeserver.services.federation.key_notary import KeyNotary
from homeserver.services.federation.knocks import KnockServing
from homeserver.services.federation.leaves import LeaveServing
from homeserver.services.federation.membership_intake import MembershipIntake
from homeserver.services.federation.membership_templates import MembershipTemplates
from homeserver.services.federation.missing_events import MissingEvents
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.services.federation.receiver import Receiver
from homeserver.services.federation.removals import Removals
from homeserver.services.federation.request_verification import RequestVerification
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.federation.room_completion import RoomCompletion
from homeserver.services.federation.sender import FederationSender
from homeserver.services.federation.serving_devices import DeviceServing
from homeserver.services.federation.serving_events import EventServing
from homeserver.services.federation.serving_state import StateReading, StateServing
from homeserver.services.federation.third_party_invites import ThirdPartyInviteServing
from homeserver.services.federation.timestamps import TimestampServing
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.services.federation.vouching import Vouching
from homeserver.services.push.rules import PushRules
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.creation import RoomCreation
from homeserver.services.rooms.directory import RoomDirectory
from homeserver.services.rooms.ended_knocks import EndedKnocks
from homeserver.services.rooms.event_times import EventTimes
from homeserver.services.rooms.given_rooms import GivenRooms
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.member_profiles import MemberProfiles
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.outside_memberships import OutsideMemberships
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.receipts import Receipts
from homeserver.services.rooms.remote_directory import RemoteDirectory
from homeserver.services.rooms.remote_invites import RemoteInvites, RemoteInviting
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_knocks import RemoteKnocks
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.remote_spaces import RemoteSpaces
from homeserver.services.rooms.room_history import RoomHistory
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.services.rooms.room_summaries import RoomSummaries
from homeserver.services.rooms.sending import Sending
from homeserver.services.rooms.spaces import Spaces
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.timeline import Timeline
from homeserver.services.rooms.typing import Typing
from homeserver.services.rooms.upgrades import RoomUpgrades
from homeserver.services.sync.assembling import SyncAssembling
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.long_poll import LongPoll
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.room_lists import RoomLists
from homeserver.services.sync.rooms import SyncRooms
from homeserver.services.sync.states import SyncStates
from homeserver.services.sync.stored_filters import StoredFilters
from homeserver.services.sync.timelines import Timelines
from homeserver.services.sync.unread import Unread
from homeserver.settings.sections import Listener, Settings
from homeserver.storage.database import Database, DatabaseRefused, Transaction
from homeserver.storage.opening import open_backend
from homeserver.storage.schema import sweep_all

DRAIN_S: Final = 5.0
ACKNOWLEDGED_EVERY_S: Final = 5.0
DESTINATIONS_EVERY_S: Final = 5.0
SWEEP_EVERY_S: Final = 600.0
COLLECT_EVERY_S: Final = 3_600.0
ROWS_PER_SWEEP: Final = 500

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mechanics:
    """What services are made with besides each other."""

    settings: Settings
    reactor: Any  # a reactor is many interfaces at once
    clock: ReactorClock
    metrics: Metrics
    tls_clients: TlsClients
    database: Database
    merging_process: MergingProcess
    own_keys: OwnSigningKeys
    in_thread: Any  # runs a function in a thread, as deferToThread does


@dataclass(frozen=True, slots=True)
class Assembled:
    """What the server itself needs of what was made."""

    endpoints: tuple[BoundEndpoint, ...]
    own_keys: OwnSigningKeys
    peers: PeerVerifier
    tokens: AccessTokens
    activity: DeviceActivity
    deactivation: Deactivation
    intake: Intake
    receiver: Receiver
    missing_events: MissingEvents
    backfill: Backfill
    partial_rooms: PartialRooms
    room_completion: RoomCompletion
    lost_time: LostTime
    long_poll: LongPoll
    agent: FederationAgent
    federation_client: FederationClient
    destinations: Destinations
    sender: FederationSender
    remote_users: RemoteUsers


def assemble(made: Mechanics) -> Assembled:
    """Every service, in floor order, and the endpoints on top of them."""
    settings, clock, database, randomness = made.settings, made.clock, made.database, SystemRandomness()
    server_name = ServerName(settings.server_name)
    budget = CacheBudget(settings.cache_size)
    made.metrics.caches(budget)

    # Outgoing connections
    federation = settings.federation
    names = SystemNames(made.reactor, made.in_thread)
    guard = AddressGuard(allows_private=federation.allow_private_addresses)
    connecting = Connecting(made.reactor, clock, names, guard, made.tls_clients)
    https = Https(made.reactor, connecting, f"Columba/{homeserver.__version__}")
    agent = FederationAgent(Resolver(WellKnown(https, clock), names, clock, randomness), https)
    retry = RetryPolicy(federation.retry.first_s, federation.retry.factor, federation.retry.max_s)
    destinations = Destinations(database, retry, clock, randomness)
    gate = destinations if federation.enabled else ShutGate()
    federation_client = FederationClient(agent, gate, server_name, made.own_keys, clock)

    # The ground: events
    bell = Bell(clock)
    news = News(bell)
    states = RoomStates(budget, EventCache(budget))
    partial_rooms = PartialRooms(database, clock)
    classes = PushClasses(budget)
    notifying = Notifying(states, classes, budget)
    merging = StateMerging(database, states, budget, made.merging_process)
    writer = RoomWriter(states, merging, notifying, news, clock, server_name)
    approval = PolicyApproval(database, federation_client, clock, server_name)
    creation = EventCreation(writer, clock, randomness, server_name, made.own_keys, approval, partial_rooms)
    intake = Intake(database, writer, HeadJoining(creation), partial_rooms, clock)
    completion = Completion(database, writer, intake, partial_rooms)
    formats = ClientFormat(states, clock, budget)

    # Encryption, as far as a server sees it
    device_lists = DeviceLists(database, news, clock)
    remote_users = RemoteUsers(database, device_lists, federation_client, clock, randomness, server_name)
    destinations.listen(remote_users.note_reachable)
    asking = RemoteDeviceKeys(federation_client, clock)
    elsewhere = RemoteUserKeys(database, asking, remote_users, server_name)
    device_keys = DeviceKeys(database, device_lists, elsewhere, news, clock, server_name)
    cross_signing = CrossSigning(database, device_lists, news)
    to_device = ToDevice(database, news, clock, server_name)

    # Events of other servers
    notaries = [ServerName(name) for name in federation.key_servers if name != server_name]
    remote_keys = RemoteKeys(database, federation_client, notaries, budget, clock)
    receipt = Receipt(OwnKeysAnd(server_name, made.own_keys, remote_keys), made.in_thread)

    # Rooms
    readers = Readers(states)
    membership = RoomMembership(database, creation, server_name)
    aliases = RoomAliases(database, creation, readers, federation_client, clock, server_name)
    given_rooms = GivenRooms(receipt, intake)
    remote_joins = RemoteJoins(
        federation_client,
        creation,
        receipt,
        intake,
        given_rooms,
        clock,
        omits_members=federation.partial_state_joins,
    )
    outside = OutsideMemberships(news, clock)
    remote_leaves = RemoteLeaves(database, federation_client, creation, outside, clock)
    remote_knocks = RemoteKnocks(database, federation_client, creation, outside, clock)
    anywhere = RemoteMembership(database, membership, aliases, remote_joins, remote_leaves, remote_knocks, server_name)
    ended_knocks = EndedKnocks(federation_client, clock)
    remote_invites = RemoteInvites(database, receipt, outside, ended_knocks, server_name, made.own_keys)
    inviting = RemoteInviting(database, federation_client, creation, receipt, intake, membership, server_name)
    receipts = Receipts(database, readers, states, notifying, news, clock)
    typing = Typing(database, notifying, news, bell, clock, server_name)
    directory = RoomDirectory(database, states)
    spaces = Spaces(states, directory, server_name)
    remote_spaces = RemoteSpaces(federation_client, budget, clock)
    hierarchy = Hierarchy(database, spaces, remote_spaces, budget, clock, randomness, server_name)
    rooms = RoomCreation(creation, clock, randomness, server_name, settings.default_room_version, inviting)
    push_rules = PushRules(database, classes, news)
    room_settings = RoomSettings(push_rules, news)
    upgrades = RoomUpgrades(database, creation, room_settings, randomness, server_name)
    successors = Successors(database, states, anywhere, room_settings)

    # Accounts
    argon2 = settings.passwords
    passwords = Passwords(made.in_thread, time_cost=argon2.argon2_time_cost, memory_kib=argon2.argon2_memory_kib)
    appservices = NoAppservices()
    tokens = AccessTokens(database, appservices, clock)
    removal = DeviceRemoval(tokens, device_lists)
    lifetime_ms = settings.access_token_lifetime_s * 1000
    sessions = Sessions(database, tokens, removal, device_lists, clock, randomness, lifetime_ms)
    check = PasswordCheck(database, passwords, clock)
    interactive_auth = InteractiveAuth(check, clock, randomness)
    login = Login(database, check, passwords, sessions, clock, randomness, server_name)
    policy = RegistrationPolicy(settings.registration.enabled, settings.registration.require_token)
    registration = Registration(
        database, passwords, interactive_auth, sessions, appservices, clock, randomness, server_name, policy
    )
    shared_secret = SharedSecretRegistration(registration, clock, randomness, settings.registration.shared_secret)
    registration_tokens = RegistrationTokens(database, clock, randomness)
    remote_profiles = RemoteProfileQueries(federation_client, budget, clock)
    profiles = Profiles(database, MemberProfiles(creation), server_name, remote_profiles)
    openid_tokens = OpenIDTokens(database, clock, randomness)
    account_data = AccountDataKeeping(database, news)
    deactivation = Deactivation(database, interactive_auth, sessions, device_lists, tokens, anywhere)
    password_change = PasswordChange(database, passwords, interactive_auth, sessions)

    # Sync, which follows all of these
    memory = SyncMemory()
    unread = Unread(classes, memory)
    sync_rooms = SyncRooms(Timelines(readers), SyncStates(states, memory.sent_members), unread, formats)
    room_lists = RoomLists(sync_rooms, states, unread, readers, memory)
    assembling = SyncAssembling(
        sync_rooms, room_lists, DeviceParts(memory), memory, typing, partial_rooms, database.epoch
    )
    lost_time = LostTime(database, device_keys, remote_users, clock)
    long_poll = LongPoll(database, assembling, memory, lost_time, news, bell, clock)

    # Federation
    own_document = OwnKeyDocument(made.own_keys, server_name, clock)
    notary = KeyNotary(database, remote_keys, made.own_keys, own_document, server_name, clock)
    peers: PeerVerifier = NoPeers()
    if federation.enabled:
        peers = RequestVerification(
            remote_keys, server_name, is_blocked=destinations.is_blocked, heard_from=destinations.heard_from
        )
    sender = FederationSender(
        database, destinations, federation_client, device_lists, news, clock, randomness, server_name
    )
    typing.listen(sender.note_typing)
    sender.export(made.metrics)
    acls = ServerAcls(states, budget)
    policies = PolicyServers(database, states, federation_client)
    missing_events = MissingEvents(database, federation_client, receipt, intake, policies, clock, server_name)
    missing_events.export(made.metrics)
    removals = Removals(states, outside, clock, server_name)
    room_completion = RoomCompletion(database, federation_client, given_rooms, completion, removals, clock, server_name)
    room_completion.export(made.metrics)
    partial_rooms.tell_of_rooms(room_completion.wake)
    intake.tell_of_waiting(missing_events.wake)
    destinations.listen(missing_events.note_reachable)
    backfill = Backfill(database, federation_client, receipt, intake, clock, server_name)
    backfill.export(made.metrics)
    timeline = Timeline(database, readers, states, formats, partial_rooms)
    receiver = Receiver(database, receipt, intake, policies, clock)
    receiver.export(made.metrics)
    edus = IncomingEdus(database, acls, typing, receipts, to_device)
    edus.tell_of_devices(remote_users)
    edus.export(made.metrics)
    inbound = InboundTransactions(database, acls, receiver, edus, remote_invites, clock)

    # What other servers ask for
    room_access = RoomAccess(states, acls, server_name)
    visibility = ServerVisibility(states)
    event_serving = EventServing(database, room_access, visibility, states, clock, server_name)
    state_reading = StateReading(database)
    state_serving = StateServing(database, room_access, visibility, states, state_reading)
    templates = MembershipTemplates(database, room_access, writer, clock, server_name)
    vouching = Vouching(writer, made.own_keys, server_name)
    membership_intake = MembershipIntake(database, room_access, vouching, receipt, policies, intake)
    join_serving = JoinServing(database, templates, membership_intake, states, state_reading, server_name)
    leave_serving = LeaveServing(templates, membership_intake)
    knock_serving = KnockServing(database, templates, membership_intake, states)
    invite_serving = InviteServing(database, acls, remote_invites)
    third_party_invites = ThirdPartyInviteServing(database, room_access, states, inviting, server_name)
    timestamp_serving = TimestampServing(database, room_access, visibility, states)
    hierarchy_serving = HierarchyServing(database, room_access, acls, spaces)

    # Administration
    rotation = KeyRotation(made.own_keys, settings.signing_key_file, database, made.in_thread, clock, randomness)
    audits = RoomAudits(database, StoredKeys(server_name, made.own_keys), clock, randomness, server_name)

    endpoints = collect(
        (
            AccountDataEndpoints(account_data),
            AccountEndpoints(),
            AccountManagementEndpoints(password_change, deactivation),
            CapabilitiesEndpoints(
                settings.default_room_version,
                changes_passwords=True,
                gives_login_tokens=True,
                changes_threepids=False,
                forgets_left_rooms=False,
                moderates_accounts=False,
            ),
            CrossSigningEndpoints(cross_signing, interactive_auth),
            DeviceEndpoints(Devices(database, removal, device_lists, interactive_auth, clock)),
            DeviceKeysEndpoints(device_keys, device_lists),
            EventTimeEndpoints(EventTimes(database, readers, states, backfill, clock)),
            FederationAdminEndpoints(DestinationStatuses(database, destinations, sender, agent), destinations),
            FederationDeviceEndpoints(DeviceServing(database, device_keys, server_name)),
            FederationEventEndpoints(event_serving),
            FederationHistoryEndpoints(event_serving),
            FederationHierarchyEndpoints(hierarchy_serving),
            FederationInviteEndpoints(invite_serving),
            FederationJoinEndpoints(join_serving),
            FederationKeyEndpoints(own_document, notary),
            FederationKnockEndpoints(knock_serving),
            FederationLeaveEndpoints(leave_serving),
            FederationOpenIDEndpoints(openid_tokens),
            FederationPublicRoomsEndpoints(directory),
            FederationQueryEndpoints(DirectoryQueries(aliases, profiles, server_name)),
            FederationStateEndpoints(state_serving),
            FederationTimestampEndpoints(timestamp_serving),
            FederationThirdPartyInviteEndpoints(third_party_invites),
            FederationVersionEndpoints(homeserver.__version__),
            FilterEndpoints(Filters(database, clock)),
            HierarchyEndpoints(hierarchy),
            HealthEndpoints(),
            KeyAdminEndpoints(rotation, server_name),
            KeyBackupsEndpoints(KeyBackups(database)),
            LandingEndpoints(
                server_name, settings.base_url, homeserver.__version__, policy.is_open, policy.needs_token
            ),
            LoginEndpoints(login, sessions, interactive_auth),
            MetricsEndpoints(made.metrics),
            OpenIDEndpoints(openid_tokens, server_name),
            ProfileEndpoints(profiles),
            PushRuleEndpoints(push_rules),
            ReceiptEndpoints(receipts),
            RegistrationAdminEndpoints(registration, shared_secret, registration_tokens),
            RegistrationEndpoints(registration),
            RoomAuditEndpoints(audits),
            RoomCreationEndpoints(rooms),
            RoomDirectoryEndpoints(aliases, directory, RemoteDirectory(federation_client)),
            RoomEventsEndpoints(timeline, RoomHistory(timeline, backfill, partial_rooms, clock)),
            RoomMembershipEndpoints(membership, anywhere, successors, inviting),
            RoomSummaryEndpoints(RoomSummaries(database, spaces, remote_spaces, aliases, server_name)),
            RoomUpgradeEndpoints(upgrades),
            SendingEndpoints(Sending(creation, clock, server_name)),
            SyncEndpoints(long_poll, StoredFilters(database, budget)),
            TagEndpoints(account_data),
            ToDeviceEndpoints(to_device),
            TransactionEndpoints(inbound),
            TypingEndpoints(typing),
            VersionsEndpoints(),
            WellKnownEndpoints(settings.public_base_url, _federation_address(settings)),
        )
    )
    return Assembled(
        endpoints,
        made.own_keys,
        peers,
        tokens,
        DeviceActivity(database, clock),
        deactivation,
        intake,
        receiver,
        missing_events,
        backfill,
        partial_rooms,
        room_completion,
        lost_time,
        long_poll,
        agent,
        federation_client,
        destinations,
        sender,
        remote_users,
    )


def _federation_address(settings: Settings) -> ServerName | None:
    address = settings.federation.address
    return None if address is None or not settings.federation.enabled else ServerName(address)


def build(settings: Settings, reactor: Any) -> "Columba":  # Any: a reactor is many interfaces at once
    """The server of these settings, not started yet."""
    return Columba(settings, reactor)


class Columba:
    """One assembled server, from its start to its end."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._clock = ReactorClock(reactor)
        self._metrics = Metrics()
        self._tls_groups = TlsGroups()
        self._loops = Loops(self._clock)
        self._database: Database | None = None
        self._merging_process: MergingProcess | None = None
        self._assembled: Assembled | None = None
        self._door: Door | None = None
        self._traffic: Traffic | None = None
        self._ports: list[Any] = []
        self.addresses: Sequence[str] = ()

    async def start(self) -> None:
        """Open the database, begin to listen, begin the background work. Raises StartRefused."""
        database, assembled, door = self._open()
        await assembled.lost_time.start()
        await assembled.own_keys.note(database, self._clock)
        await assembled.destinations.load()
        await assembled.partial_rooms.load()
        is_verbose = self._settings.log.level == "debug"
        traffic = Traffic(door, self._clock, self._metrics, self._in_thread, logs_every_request=is_verbose)
        self._traffic = traffic
        traffic.start()
        self.addresses = [self._listen(traffic, assembled, listener) for listener in self._settings.listeners]
        self._listen_to_owner(traffic, assembled)
        if self._settings.federation.enabled:
            assembled.sender.start(self._loops)
            assembled.remote_users.start(self._loops)
            self._loops.start("failing servers", assembled.destinations.flush, DESTINATIONS_EVERY_S)
        self._loops.start("acknowledged messages", assembled.long_poll.flush_acknowledged, ACKNOWLEDGED_EVERY_S)
        self._loops.run_once("departures of closed accounts", assembled.deactivation.resume)
        self._loops.run_once("events that waited", assembled.intake.resume)
        await assembled.receiver.start(self._loops)
        await assembled.missing_events.start(self._loops)
        if self._settings.federation.enabled:
            assembled.backfill.start(self._loops)
        await assembled.room_completion.start(self._loops)
        self._loops.start("device activity", assembled.activity.flush, FLUSH_S)
        collection = StateCollection(database, self._clock)
        self._loops.start("collection of states", collection.collect_due, COLLECT_EVERY_S)
        self._loops.start("sweep", lambda: self._sweep(database), SWEEP_EVERY_S)
        # What was made so far stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()

    async def start_offline(self) -> None:
        """Open the database for `administer` alone. Raises StartRefused."""
        database, assembled, _ = self._open()
        await assembled.lost_time.start()
        await assembled.own_keys.note(database, self._clock)
        await assembled.destinations.load()

    async def stop(self) -> None:
        """Answer what is under way, then close everything."""
        ports, self._ports = self._ports, []
        for port in ports:
            await port.stopListening()
        if self._traffic is not None:
            await self._traffic.drain(DRAIN_S)
        if self._assembled is not None:
            self._assembled.receiver.stop()
            self._assembled.missing_events.stop()
            self._assembled.backfill.stop()
            self._assembled.room_completion.stop()
        if self._assembled is not None:
            self._assembled.sender.stop()
        loops_ended = Deferred.fromCoroutine(self._loops.stop())
        if self._merging_process is not None:
            await self._merging_process.stop()  # it may be what a loop waits for, and it reads the database
        await loops_ended
        if self._database is not None:
            if self._assembled is not None:
                await self._assembled.long_poll.flush_acknowledged()
                await self._assembled.activity.flush()
                await self._assembled.sender.flush()
                await self._assembled.destinations.flush()
                await self._assembled.agent.close()
            await self._database.stop()
        if ports:
            self._settings.admin_socket.unlink(missing_ok=True)

    async def administer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        """Answer a request to the administrators' API as the owner's socket would."""
        if self._door is None or self._assembled is None:
            raise StartRefused("the server is not open")
        return await administer(self._door, Router(self._assembled.endpoints, {Surface.ADMIN}), method, path, body)

    def _open(self) -> tuple[Database, Assembled, Door]:
        settings = self._settings
        own_keys = OwnSigningKeys(self._signing_key())
        tls_clients = self._tls_clients()
        try:
            backend = open_backend(settings.database, settings.data_dir)
        except DatabaseRefused as refused:
            raise StartRefused(refused.reason) from refused
        database = Database(backend, call_from_thread=self._reactor.callFromThread, on_fatal=self._die)
        database.start()
        self._database = database
        self._merging_process = MergingProcess(backend, self._reactor.callFromThread)
        self._metrics.loops(self._loops)
        self._metrics.tls(self._tls_groups)
        self._metrics.database(lambda: {"write": database.counts.writes, "read": database.counts.reads})
        mechanics = Mechanics(
            settings,
            self._reactor,
            self._clock,
            self._metrics,
            tls_clients,
            database,
            self._merging_process,
            own_keys,
            self._in_thread,
        )
        self._assembled = assemble(mechanics)
        limits = {
            RateClass(name): RateLimit(limit.rate_hz, limit.burst)
            for name, limit in settings.rate_limits.classes.items()
            if settings.rate_limits.enabled
        }
        accepts_query_tokens = settings.query_string_tokens == "accept"
        authentication = Authentication(
            self._assembled.tokens, self._assembled.peers, accepts_query_tokens=accepts_query_tokens
        )
        self._door = Door(authentication, RateLimiting(limits, self._clock), self._assembled.activity.note)
        return database, self._assembled, self._door

    def _signing_key(self) -> SigningKey:
        path = self._settings.signing_key_file
        try:
            return SigningKey.from_line(path.read_text("ascii"))
        except (OSError, UnicodeDecodeError, BadKey) as wrong:
            raise StartRefused(f"the signing key in {path} cannot be read: {wrong}") from wrong

    def _tls_clients(self) -> TlsClients:
        federation = self._settings.federation
        tls = TlsClients(self._tls_groups, verifies=federation.verify_certificates, ca_file=federation.ca_file)
        if federation.ca_file is not None:
            try:
                tls.load()
            except BadTrustRoot as wrong:
                raise StartRefused(str(wrong)) from wrong
        return tls

    def _listen(self, traffic: Traffic, assembled: Assembled, listener: Listener) -> str:
        served = {Surface(name) for name in listener.serve}
        limits = self._settings.limits
        listening = Listening(
            Router(assembled.endpoints, served),
            TrustedProxies(self._settings.trusted_proxies),
            body_limit_bytes=limits.body_bytes,
            upload_limit_bytes=limits.upload_bytes,
        )
        site = Site(traffic, listening)
        try:
            if listener.tls is None:
                port = self._reactor.listenTCP(listener.port, site, interface=listener.bind)
            else:
                tls = DefaultOpenSSLContextFactory(  # type: ignore[no-untyped-call]
                    str(listener.tls.private_key), str(listener.tls.certificate)
                )
                self._tls_groups.watch(tls.getContext())  # type: ignore[no-untyped-call]
                port = self._reactor.listenSSL(listener.port, site, tls, interface=listener.bind)
        except CannotListenError as taken:
            raise StartRefused(f"cannot listen on {listener.bind} port {listener.port}: {taken.socketError}") from taken
        self._ports.append(port)
        host = "localhost" if listener.bind in ("127.0.0.1", "0.0.0.0", "::", "::1") else listener.bind  # noqa: S104 - compared
        return f"{'http' if listener.tls is None else 'https'}://{host}:{port.getHost().port}/"

    def _listen_to_owner(self, traffic: Traffic, assembled: Assembled) -> None:
        path = self._settings.admin_socket
        path.unlink(missing_ok=True)  # of a server that was killed: this one holds the folder's lock
        listening = Listening(Router(assembled.endpoints, {Surface.ADMIN}), TrustedProxies(()), by_owner=True)
        try:
            self._ports.append(self._reactor.listenUNIX(str(path), Site(traffic, listening), mode=0o600))
        except CannotListenError as wrong:
            raise StartRefused(f"cannot listen on {path}: {wrong.socketError}") from wrong

    async def _sweep(self, database: Database) -> None:
        """Delete what has outlived its use, a few rows of each table at a time."""

        def sweep(tx: Transaction) -> int:
            return sweep_all(tx, now_ms=self._clock.now_ms(), limit=ROWS_PER_SWEEP)

        while await database.write(sweep) >= ROWS_PER_SWEEP:
            await self._clock.sleep(1.0)

    def _in_thread(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # Any: whatever fn takes and returns
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), fn, *args, **kwargs)

    def _die(self, error: Exception) -> None:
        """The disk failed under the database: nothing may be acknowledged any more."""
        log.critical("the database's disk failed; the server ends at once", exc_info=error)
        os._exit(74)
