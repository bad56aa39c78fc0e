"""Every class of endpoints. What is not in this table is not served.

The objects are made in assembly/endpoints.py, one of each class, and bound by endpoint.collect; router.py finds them.
"""

from typing import Final

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

ENDPOINT_CLASSES: Final[tuple[type, ...]] = (
    # client
    AccountDataEndpoints,
    AccountEndpoints,
    AccountManagementEndpoints,
    CallEndpoints,
    CapabilitiesEndpoints,
    CrossSigningEndpoints,
    DehydratedDeviceEndpoints,
    DelayedEventEndpoints,
    DeviceEndpoints,
    DeviceKeysEndpoints,
    EventStreamEndpoints,
    FilterEndpoints,
    HierarchyEndpoints,
    InitialSyncEndpoints,
    KeyBackupsEndpoints,
    LoginEndpoints,
    MutualRoomsEndpoints,
    NotificationEndpoints,
    OpenIDEndpoints,
    PresenceEndpoints,
    ProfileEndpoints,
    PushRuleEndpoints,
    ReceiptEndpoints,
    RegistrationEndpoints,
    RelationsEndpoints,
    ReportEndpoints,
    RoomCreationEndpoints,
    RoomDirectoryEndpoints,
    RoomEventsEndpoints,
    RoomMembershipEndpoints,
    RoomSummaryEndpoints,
    RoomUpgradeEndpoints,
    SearchEndpoints,
    SendingEndpoints,
    SlidingSyncEndpoints,
    ServerAdministrationEndpoints,
    SyncEndpoints,
    TagEndpoints,
    ThreadEndpoints,
    ThreadSubscriptionEndpoints,
    ToDeviceEndpoints,
    TypingEndpoints,
    UserDirectoryEndpoints,
    VersionsEndpoints,
    WellKnownEndpoints,
    # federation
    FederationDeviceEndpoints,
    FederationEventEndpoints,
    FederationHistoryEndpoints,
    FederationHierarchyEndpoints,
    FederationInviteEndpoints,
    FederationJoinEndpoints,
    FederationKeyEndpoints,
    FederationKnockEndpoints,
    FederationLeaveEndpoints,
    FederationOpenIDEndpoints,
    FederationPublicRoomsEndpoints,
    FederationQueryEndpoints,
    FederationStateEndpoints,
    FederationTimestampEndpoints,
    FederationThirdPartyInviteEndpoints,
    FederationVersionEndpoints,
    TransactionEndpoints,
    # this server's own
    AdminAuditEndpoints,
    BackupEndpoints,
    DestinationAdminEndpoints,
    EventTimeEndpoints,
    FederationAdminEndpoints,
    HealthEndpoints,
    HierarchyAdminEndpoints,
    HistoryPurgeEndpoints,
    JobAdminEndpoints,
    KeyAdminEndpoints,
    PolicyListAdminEndpoints,
    LandingEndpoints,
    MetricsEndpoints,
    OpenAPIEndpoints,
    RegistrationAdminEndpoints,
    ReportAdminEndpoints,
    RoomActEndpoints,
    RoomAdminEndpoints,
    RoomAuditEndpoints,
    RoomComparisonEndpoints,
    RoomDeletionEndpoints,
    RoomHeadEndpoints,
    RoomModerationEndpoints,
    RoomSettingAdminEndpoints,
    RetentionEndpoints,
    ServerNoticeEndpoints,
    ServerStatusEndpoints,
    UserActivityEndpoints,
    UserAdminEndpoints,
    ServerLimitAdminEndpoints,
    UserDeviceAdminEndpoints,
    UserExportEndpoints,
    UserKeyAdminEndpoints,
    UserRedactionEndpoints,
    UserPatternEndpoints,
    UserRestraintEndpoints,
)
