"""Every endpoint, bound to the services that it calls."""

import platform
from dataclasses import asdict
from functools import partial

import homeserver
from homeserver.assembly.examinations import make_doctor
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.parts import Parts
from homeserver.core.identifiers import ServerName
from homeserver.http.admin.admin_audit import AdminAuditEndpoints
from homeserver.http.admin.backups import BackupEndpoints
from homeserver.http.admin.destinations import DestinationAdminEndpoints
from homeserver.http.admin.federation import FederationAdminEndpoints
from homeserver.http.admin.hierarchy import HierarchyAdminEndpoints
from homeserver.http.admin.history_purge import HistoryPurgeEndpoints
from homeserver.http.admin.jobs import JobAdminEndpoints
from homeserver.http.admin.keys import KeyAdminEndpoints
from homeserver.http.admin.openapi import OpenAPIEndpoints
from homeserver.http.admin.policy_lists import PolicyListAdminEndpoints
from homeserver.http.admin.registration import RegistrationAdminEndpoints
from homeserver.http.admin.reports import ReportAdminEndpoints
from homeserver.http.admin.retention import RetentionEndpoints
from homeserver.http.admin.room_acts import RoomActEndpoints
from homeserver.http.admin.room_audits import RoomAuditEndpoints
from homeserver.http.admin.room_comparison import RoomComparisonEndpoints
from homeserver.http.admin.room_deletion import RoomDeletionEndpoints
from homeserver.http.admin.room_heads import RoomHeadEndpoints
from homeserver.http.admin.room_moderation import RoomModerationEndpoints
from homeserver.http.admin.room_settings import RoomSettingAdminEndpoints
from homeserver.http.admin.rooms import RoomAdminEndpoints
from homeserver.http.admin.server_limits import ServerLimitAdminEndpoints
from homeserver.http.admin.server_notices import ServerNoticeEndpoints
from homeserver.http.admin.server_status import ServerStatusEndpoints
from homeserver.http.admin.user_activity import UserActivityEndpoints
from homeserver.http.admin.user_devices import UserDeviceAdminEndpoints
from homeserver.http.admin.user_export import UserExportEndpoints
from homeserver.http.admin.user_keys import UserKeyAdminEndpoints
from homeserver.http.admin.user_patterns import UserPatternEndpoints
from homeserver.http.admin.user_redactions import UserRedactionEndpoints
from homeserver.http.admin.user_restraints import UserRestraintEndpoints
from homeserver.http.admin.users import UserAdminEndpoints
from homeserver.http.client.account import AccountEndpoints
from homeserver.http.client.account_data import AccountDataEndpoints
from homeserver.http.client.account_management import AccountManagementEndpoints
from homeserver.http.client.calls import CallEndpoints
from homeserver.http.client.capabilities import CapabilitiesEndpoints
from homeserver.http.client.cross_signing import CrossSigningEndpoints
from homeserver.http.client.dehydrated_devices import DehydratedDeviceEndpoints
from homeserver.http.client.delayed_events import DelayedEventEndpoints
from homeserver.http.client.device_keys import DeviceKeysEndpoints
from homeserver.http.client.devices import DeviceEndpoints
from homeserver.http.client.event_stream import EventStreamEndpoints
from homeserver.http.client.event_times import EventTimeEndpoints
from homeserver.http.client.filters import FilterEndpoints
from homeserver.http.client.hierarchy import HierarchyEndpoints
from homeserver.http.client.initial_sync import InitialSyncEndpoints
from homeserver.http.client.key_backups import KeyBackupsEndpoints
from homeserver.http.client.login import LoginEndpoints
from homeserver.http.client.mutual_rooms import MutualRoomsEndpoints
from homeserver.http.client.notifications import NotificationEndpoints
from homeserver.http.client.openid import OpenIDEndpoints
from homeserver.http.client.presence import PresenceEndpoints
from homeserver.http.client.profiles import ProfileEndpoints
from homeserver.http.client.push_rules import PushRuleEndpoints
from homeserver.http.client.receipts import ReceiptEndpoints
from homeserver.http.client.registration import RegistrationEndpoints
from homeserver.http.client.relations import RelationsEndpoints
from homeserver.http.client.reports import ReportEndpoints
from homeserver.http.client.room_creation import RoomCreationEndpoints
from homeserver.http.client.room_directory import RoomDirectoryEndpoints
from homeserver.http.client.room_events import RoomEventsEndpoints
from homeserver.http.client.room_membership import RoomMembershipEndpoints
from homeserver.http.client.room_summaries import RoomSummaryEndpoints
from homeserver.http.client.room_upgrades import RoomUpgradeEndpoints
from homeserver.http.client.search import SearchEndpoints
from homeserver.http.client.sending import SendingEndpoints
from homeserver.http.client.server_administration import ServerAdministrationEndpoints
from homeserver.http.client.sliding_sync import SlidingSyncEndpoints
from homeserver.http.client.sync import SyncEndpoints
from homeserver.http.client.tags import TagEndpoints
from homeserver.http.client.thread_subscriptions import ThreadSubscriptionEndpoints
from homeserver.http.client.threads import ThreadEndpoints
from homeserver.http.client.to_device import ToDeviceEndpoints
from homeserver.http.client.typing import TypingEndpoints
from homeserver.http.client.user_directory import UserDirectoryEndpoints
from homeserver.http.client.versions import VersionsEndpoints
from homeserver.http.client.well_known import WellKnownEndpoints
from homeserver.http.endpoint import BoundEndpoint, collect
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
from homeserver.http.openapi import describe
from homeserver.http.operations import HealthEndpoints, MetricsEndpoints
from homeserver.http.table import ENDPOINT_CLASSES
from homeserver.services.accounts.calls import Calls, Turn
from homeserver.services.accounts.dehydrated_devices import DehydratedDevices
from homeserver.services.accounts.devices import Devices
from homeserver.services.accounts.filters import Filters
from homeserver.services.accounts.moderation import AccountModeration
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.admin.audits import RoomAudits
from homeserver.services.admin.key_rotation import KeyRotation
from homeserver.services.admin.known_keys import StoredKeys
from homeserver.services.admin.member_patterns import MemberPatterns
from homeserver.services.admin.reports import ReportDesk
from homeserver.services.admin.retention import RoomRetentions
from homeserver.services.admin.room_acls import RoomAcls
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.room_heads import RoomHeads
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.room_names import RoomNames
from homeserver.services.admin.room_powers import RoomPowers
from homeserver.services.admin.room_recovery import RoomRecovery
from homeserver.services.admin.room_replacement import RoomReplacement
from homeserver.services.admin.rooms import RoomReading
from homeserver.services.admin.sent_events import SentEvents
from homeserver.services.admin.server_status import About, ServerStatus
from homeserver.services.admin.user_activity import UserActivity
from homeserver.services.admin.user_devices import UserDevices
from homeserver.services.admin.user_export import UserExport
from homeserver.services.admin.user_keys import UserKeys
from homeserver.services.admin.user_redactions import UserRedactions
from homeserver.services.admin.user_restraints import UserRestraints
from homeserver.services.admin.users import UserAdministration, Users
from homeserver.services.e2ee.key_backups import KeyBackups
from homeserver.services.federation.destination_listing import DestinationListing
from homeserver.services.federation.destination_status import DestinationStatuses
from homeserver.services.federation.directory_queries import DirectoryQueries
from homeserver.services.federation.reachability import Reachability
from homeserver.services.federation.serving_devices import DeviceServing
from homeserver.services.rooms.event_times import EventTimes
from homeserver.services.rooms.mutual_rooms import Acquaintance
from homeserver.services.rooms.notifications import Notifications
from homeserver.services.rooms.remote_directory import RemoteDirectory
from homeserver.services.rooms.room_history import RoomHistory
from homeserver.services.rooms.room_summaries import RoomSummaries
from homeserver.services.sync.stored_filters import StoredFilters
from homeserver.settings.sections import Settings


def make_endpoints(made: Mechanics, parts: Parts) -> tuple[BoundEndpoint, ...]:
    """One object of each class of http/table.py."""
    return collect(
        (
            *_of_server(made, parts),
            *_of_accounts(made, parts),
            *_of_encryption(made, parts),
            *_of_rooms(made, parts),
            *_for_servers(made, parts),
            *_for_administrators(made, parts),
        )
    )


def _of_server(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    settings, policy = made.settings, parts.accounts.registration_policy
    livekit_urls = settings.calls.livekit_urls
    return (
        CallEndpoints(Calls(_turn(settings), made.clock), livekit_urls),
        CapabilitiesEndpoints(
            settings.default_room_version,
            changes_passwords=True,
            gives_login_tokens=True,
            changes_threepids=False,
            forgets_left_rooms=settings.forget_rooms_when_left,
            moderates_accounts=True,
        ),
        HealthEndpoints(),
        LandingEndpoints(
            made.server_name, settings.base_url, homeserver.__version__, policy.is_open, policy.needs_token
        ),
        MetricsEndpoints(made.metrics),
        VersionsEndpoints(),
        WellKnownEndpoints(
            settings.public_base_url,
            _federation_address(settings),
            _contacts(settings),
            settings.support.page,
            livekit_urls,
            settings.policy_server_key,
        ),
    )


def _of_accounts(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    accounts, database, clock = parts.accounts, made.database, made.clock
    dehydrated = DehydratedDevices(database, parts.encryption.device_keys, accounts.removal, clock)
    devices = Devices(database, accounts.removal, parts.encryption.device_lists, accounts.interactive_auth, clock)
    return (
        AccountDataEndpoints(accounts.account_data),
        AccountEndpoints(),
        AccountManagementEndpoints(accounts.password_change, accounts.deactivation),
        DehydratedDeviceEndpoints(dehydrated),
        DeviceEndpoints(devices),
        FilterEndpoints(Filters(database, clock)),
        LoginEndpoints(accounts.login, accounts.sessions, accounts.interactive_auth),
        OpenIDEndpoints(accounts.openid_tokens, made.server_name),
        ProfileEndpoints(accounts.profiles),
        RegistrationEndpoints(accounts.registration, accounts.guests),
        ServerAdministrationEndpoints(AccountModeration(database, accounts.tokens, made.server_name), devices),
        TagEndpoints(accounts.account_data),
    )


def _of_encryption(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    encryption = parts.encryption
    return (
        CrossSigningEndpoints(encryption.cross_signing, parts.accounts.interactive_auth),
        DeviceKeysEndpoints(encryption.device_keys, encryption.device_lists),
        KeyBackupsEndpoints(KeyBackups(made.database)),
        ToDeviceEndpoints(encryption.to_device),
    )


def _of_rooms(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    events, rooms, database, clock = parts.events, parts.rooms, made.database, made.clock
    history = RoomHistory(rooms.timeline, rooms.backfill, events.partial_rooms, clock)
    summaries = RoomSummaries(database, rooms.spaces, rooms.remote_spaces, rooms.aliases, made.server_name)
    remote_directory = RemoteDirectory(parts.outgoing.federation_client)
    return (
        EventStreamEndpoints(parts.syncing.event_stream, rooms.presence),
        EventTimeEndpoints(EventTimes(database, rooms.readers, events.states, rooms.backfill, clock)),
        HierarchyEndpoints(rooms.hierarchy),
        InitialSyncEndpoints(parts.syncing.initial_sync, rooms.presence),
        MutualRoomsEndpoints(Acquaintance(database)),
        NotificationEndpoints(
            Notifications(database, rooms.readers, events.formats, events.push_classes, events.notifying)
        ),
        PresenceEndpoints(rooms.presence),
        PushRuleEndpoints(rooms.push_rules),
        ReceiptEndpoints(rooms.receipts),
        RelationsEndpoints(rooms.relations),
        ReportEndpoints(rooms.reports),
        RoomCreationEndpoints(rooms.creation),
        RoomDirectoryEndpoints(rooms.aliases, rooms.directory, remote_directory),
        RoomEventsEndpoints(rooms.timeline, history),
        RoomMembershipEndpoints(rooms.membership, rooms.anywhere, rooms.successors, rooms.inviting),
        RoomSummaryEndpoints(summaries),
        RoomUpgradeEndpoints(rooms.upgrades),
        DelayedEventEndpoints(rooms.delayed_events, clock),
        SearchEndpoints(rooms.search),
        SendingEndpoints(rooms.sending, rooms.delayed_events),
        SlidingSyncEndpoints(parts.syncing.sliding_poll, rooms.presence),
        SyncEndpoints(parts.syncing.long_poll, StoredFilters(database, made.budget), rooms.presence),
        ThreadEndpoints(rooms.threads),
        ThreadSubscriptionEndpoints(rooms.thread_subscriptions),
        TypingEndpoints(rooms.typing),
        UserDirectoryEndpoints(rooms.user_directory),
    )


def _for_servers(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    federation, rooms, accounts = parts.federation, parts.rooms, parts.accounts
    return (
        FederationDeviceEndpoints(
            DeviceServing(
                made.database, parts.encryption.device_keys, parts.encryption.key_visibility, made.server_name
            )
        ),
        FederationEventEndpoints(federation.event_serving),
        FederationHierarchyEndpoints(federation.hierarchy_serving),
        FederationHistoryEndpoints(federation.event_serving),
        FederationInviteEndpoints(federation.invite_serving),
        FederationJoinEndpoints(federation.join_serving),
        FederationKeyEndpoints(federation.own_document, federation.notary),
        FederationKnockEndpoints(federation.knock_serving),
        FederationLeaveEndpoints(federation.leave_serving),
        FederationOpenIDEndpoints(accounts.openid_tokens),
        FederationPublicRoomsEndpoints(rooms.directory),
        FederationQueryEndpoints(DirectoryQueries(rooms.aliases, accounts.profiles, made.server_name)),
        FederationStateEndpoints(federation.state_serving),
        FederationThirdPartyInviteEndpoints(federation.third_party_invites, federation.bound_addresses),
        FederationTimestampEndpoints(federation.timestamp_serving),
        FederationVersionEndpoints(homeserver.__version__),
        TransactionEndpoints(federation.inbound),
    )


def _for_administrators(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    database, accounts, outgoing = made.database, parts.accounts, parts.outgoing
    statuses = DestinationStatuses(database, outgoing.destinations, parts.federation.sender, outgoing.agent)
    reachability = Reachability(outgoing.expeditions, outgoing.gate, made.server_name, made.own_keys, made.clock)
    key_file = made.settings.signing_key_file
    rotation = KeyRotation(made.own_keys, key_file, database, made.in_thread, made.clock, made.randomness)
    reading = RoomReading(database, parts.events.states, parts.events.formats, parts.rooms.aggregations)
    moderation = RoomModeration(parts.events.creation)
    stored_keys = StoredKeys(made.server_name, made.own_keys)
    devices = UserDevices(
        database,
        accounts.removal,
        accounts.sessions,
        parts.encryption.device_lists,
        made.clock,
        made.server_name,
    )
    return (
        AdminAuditEndpoints(AdminAudit(database, made.clock)),
        BackupEndpoints(parts.administration.backups),
        DestinationAdminEndpoints(DestinationListing(database, outgoing.destinations, statuses, made.server_name)),
        FederationAdminEndpoints(statuses, outgoing.destinations, reachability),
        HierarchyAdminEndpoints(parts.rooms.hierarchy),
        HistoryPurgeEndpoints(parts.administration.history_purge),
        JobAdminEndpoints(parts.administration.jobs),
        KeyAdminEndpoints(rotation, made.server_name),
        OpenAPIEndpoints(partial(describe, ENDPOINT_CLASSES, homeserver.__version__)),
        PolicyListAdminEndpoints(parts.policies.subscriptions),
        ServerLimitAdminEndpoints(made.server_limits),
        ReportAdminEndpoints(
            ReportDesk(database, reading, moderation, MemberPatterns(database, moderation), made.clock)
        ),
        RegistrationAdminEndpoints(accounts.registration, accounts.shared_secret, accounts.registration_tokens),
        RoomActEndpoints(
            RoomBlocks(database, made.clock),
            RoomRecovery(database, parts.events.creation, parts.rooms.anywhere, made.server_name),
        ),
        RoomHeadEndpoints(RoomHeads(parts.events.creation)),
        RoomDeletionEndpoints(parts.administration.room_deletion),
        *_for_moderators(made, parts),
        RoomAdminEndpoints(reading),
        RoomAuditEndpoints(RoomAudits(database, stored_keys, made.clock, made.randomness, made.server_name)),
        RoomComparisonEndpoints(parts.federation.room_comparison, parts.administration.room_repair),
        RetentionEndpoints(RoomRetentions(database, parts.events.creation, parts.events.lifetimes)),
        ServerNoticeEndpoints(accounts.notices, parts.administration.announcements),
        ServerStatusEndpoints(
            ServerStatus(database, made.budget, made.figures, _about(made)), make_doctor(made, outgoing, reachability)
        ),
        UserActivityEndpoints(UserActivity(database, made.server_name)),
        UserAdminEndpoints(
            Users(database, made.server_name, made.clock), _user_administration(made, parts), homeserver.__version__
        ),
        UserDeviceAdminEndpoints(devices),
        UserExportEndpoints(UserExport(database, made.server_name)),
        UserKeyAdminEndpoints(UserKeys(database, made.clock, made.server_name)),
        UserRedactionEndpoints(UserRedactions(parts.administration.jobs)),
        UserRestraintEndpoints(UserRestraints(database, accounts.tokens, parts.events.shadow_bans, made.server_name)),
    )


def _about(made: Mechanics) -> About:
    return About(made.server_name, homeserver.__version__, platform.python_version())


def _for_moderators(made: Mechanics, parts: Parts) -> tuple[object, ...]:
    """What administrators do in rooms by the server's hand."""
    database, creation = made.database, parts.events.creation
    moderation = RoomModeration(creation)
    return (
        RoomModerationEndpoints(moderation),
        RoomSettingAdminEndpoints(
            RoomPowers(creation),
            RoomNames(database, creation, made.clock, made.server_name),
            RoomAcls(database, creation, made.server_name),
            RoomReplacement(creation, parts.rooms.upgrades),
        ),
        UserPatternEndpoints(MemberPatterns(database, moderation), SentEvents(database, moderation)),
    )


def _user_administration(made: Mechanics, parts: Parts) -> UserAdministration:
    accounts = parts.accounts
    return UserAdministration(
        made.database,
        accounts.registration,
        accounts.profiles,
        accounts.password_change,
        accounts.deactivation,
        AccountModeration(made.database, accounts.tokens, made.server_name),
        accounts.tokens,
        made.server_name,
    )


def _federation_address(settings: Settings) -> ServerName | None:
    address = settings.federation.address
    return None if address is None or not settings.federation.enabled else ServerName(address)


def _turn(settings: Settings) -> Turn:
    turn = settings.calls.turn
    return Turn(turn.uris, turn.lifetime_s, turn.shared_secret, turn.username, turn.password, turn.allow_guests)


def _contacts(settings: Settings) -> list[dict[str, str]]:
    """Without what somebody left out, which is not null but absent."""
    return [
        {name: value for name, value in asdict(contact).items() if value is not None}
        for contact in settings.support.contacts
    ]
