"""What goes on between this server and others: sending, receiving, and what they ask for."""

from dataclasses import dataclass

from homeserver.assembly.encryption import Encryption
from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.assembly.rooms import Rooms
from homeserver.http.authentication import PeerVerifier
from homeserver.http.peers import NoPeers
from homeserver.services.events.remote_keys import RemoteKeys
from homeserver.services.federation.event_recovery import EventRecovery
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
from homeserver.services.federation.room_comparison import RoomComparison
from homeserver.services.federation.room_completion import RoomCompletion
from homeserver.services.federation.sender import FederationSender
from homeserver.services.federation.serving_events import EventServing
from homeserver.services.federation.serving_state import StateReading, StateServing
from homeserver.services.federation.third_party_invites import BoundAddresses, ThirdPartyInviteServing
from homeserver.services.federation.timestamps import TimestampServing
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.services.federation.vouching import Vouching


@dataclass(frozen=True, slots=True)
class Federation:
    """What runs by itself, and what endpoints for other servers call."""

    event_serving: EventServing
    hierarchy_serving: HierarchyServing
    inbound: InboundTransactions
    invite_serving: InviteServing
    join_serving: JoinServing
    knock_serving: KnockServing
    leave_serving: LeaveServing
    missing_events: MissingEvents
    notary: KeyNotary
    own_document: OwnKeyDocument
    peers: PeerVerifier
    receiver: Receiver
    room_comparison: RoomComparison
    room_completion: RoomCompletion
    sender: FederationSender
    state_serving: StateServing
    bound_addresses: BoundAddresses
    recovery: EventRecovery
    third_party_invites: ThirdPartyInviteServing
    timestamp_serving: TimestampServing


def make_federation(
    made: Mechanics, outgoing: Outgoing, events: Events, encryption: Encryption, rooms: Rooms
) -> Federation:
    """Everything is made; what only listens to others is tied to them here."""
    database, clock, server_name, client = made.database, made.clock, made.server_name, outgoing.federation_client
    states, receipt, intake, acls = events.states, events.receipt, events.intake, rooms.acls
    own_document = OwnKeyDocument(made.own_keys, server_name, clock)
    sender = FederationSender(
        database,
        outgoing.destinations,
        client,
        encryption.device_lists,
        events.news,
        clock,
        made.randomness,
        server_name,
    )
    rooms.typing.listen(sender.note_typing)
    if made.settings.presence == "on" and made.settings.federation.enabled:
        rooms.presence.listen(sender.note_presence)
    policies = PolicyServers(database, states, client)
    missing_events = MissingEvents(database, client, receipt, intake, policies, clock, server_name)
    intake.tell_of_waiting(missing_events.wake)
    outgoing.destinations.listen(missing_events.note_reachable)
    removals = Removals(states, rooms.outside, clock, server_name)
    room_completion = RoomCompletion(
        database, client, rooms.given_rooms, events.completion, removals, clock, server_name
    )
    events.partial_rooms.tell_of_rooms(room_completion.wake)
    receiver = Receiver(database, receipt, intake, policies, clock)
    edus = IncomingEdus(database, acls, rooms.typing, rooms.presence, rooms.receipts, encryption.to_device, clock)
    edus.tell_of_devices(encryption.remote_users)
    for one in (sender, missing_events, room_completion, receiver, edus):
        one.export(made.metrics)

    access = RoomAccess(states, acls, server_name)
    visibility = ServerVisibility(states, events.erased_users, events.formats.is_expired)
    state_reading = StateReading(database, events.erased_users)
    templates = MembershipTemplates(database, access, events.writer, clock, server_name)
    vouching = Vouching(events.writer, made.own_keys, server_name)
    memberships = MembershipIntake(database, access, vouching, receipt, policies, intake)
    return Federation(
        bound_addresses=BoundAddresses(database, rooms.anywhere, server_name),
        event_serving=EventServing(database, access, visibility, states, clock, server_name),
        hierarchy_serving=HierarchyServing(database, access, acls, rooms.spaces),
        inbound=InboundTransactions(database, acls, receiver, edus, rooms.remote_invites, made.rate_limits, clock),
        invite_serving=InviteServing(database, acls, rooms.remote_invites, made.rate_limits),
        join_serving=JoinServing(
            database,
            templates,
            memberships,
            states,
            state_reading,
            visibility,
            made.rate_limits,
            server_name,
            bars_join=rooms.policy_lists.bars_join,
        ),
        knock_serving=KnockServing(database, templates, memberships, states, made.rate_limits),
        leave_serving=LeaveServing(templates, memberships),
        missing_events=missing_events,
        notary=KeyNotary(database, events.remote_keys, made.own_keys, own_document, server_name, clock),
        own_document=own_document,
        peers=_peers(made, outgoing, events.remote_keys),
        receiver=receiver,
        room_comparison=RoomComparison(database, client, receipt, intake, states, clock, server_name),
        room_completion=room_completion,
        recovery=EventRecovery(database, client, receipt, clock, server_name),
        sender=sender,
        state_serving=StateServing(database, access, visibility, states, state_reading),
        third_party_invites=ThirdPartyInviteServing(database, access, states, rooms.inviting, server_name),
        timestamp_serving=TimestampServing(database, access, visibility, states),
    )


def _peers(made: Mechanics, outgoing: Outgoing, remote_keys: RemoteKeys) -> PeerVerifier:
    if not made.settings.federation.enabled:
        return NoPeers()
    destinations = outgoing.destinations
    return RequestVerification(
        remote_keys, made.server_name, is_blocked=destinations.is_blocked, heard_from=destinations.heard_from
    )
