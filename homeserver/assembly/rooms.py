"""Rooms: being in them, here and through other servers, and what happens in them."""

from dataclasses import dataclass

from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.http.errors import error_body
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.backfill import Backfill
from homeserver.services.push.rules import PushRules
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.aggregations import Aggregations
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.creation import RoomCreation
from homeserver.services.rooms.delayed_events import DelayedEvents
from homeserver.services.rooms.directory import RoomDirectory
from homeserver.services.rooms.ended_knocks import EndedKnocks
from homeserver.services.rooms.given_rooms import GivenRooms
from homeserver.services.rooms.guest_departures import GuestDepartures
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.outside_memberships import OutsideMemberships
from homeserver.services.rooms.policy_lists import PolicyLists
from homeserver.services.rooms.presence import Presence, Scope
from homeserver.services.rooms.presence_views import PresenceViews
from homeserver.services.rooms.probation import Probation
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.receipts import Receipts
from homeserver.services.rooms.relations import Relations
from homeserver.services.rooms.remote_invites import RemoteInvites, RemoteInviting
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_knocks import RemoteKnocks
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.remote_spaces import RemoteSpaces
from homeserver.services.rooms.reports import Reports
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.services.rooms.search import Search
from homeserver.services.rooms.search_backlog import SearchBacklog
from homeserver.services.rooms.sending import Sending
from homeserver.services.rooms.serials import Serials
from homeserver.services.rooms.spaces import Spaces
from homeserver.services.rooms.successors import Successors
from homeserver.services.rooms.thread_subscriptions import ThreadSubscriptions
from homeserver.services.rooms.threads import Threads
from homeserver.services.rooms.timeline import Timeline
from homeserver.services.rooms.typing import Typing
from homeserver.services.rooms.upgrades import RoomUpgrades
from homeserver.services.rooms.user_directory import UserDirectory


@dataclass(frozen=True, slots=True)
class Rooms:
    """What clients do in rooms, and what federation does for them."""

    acls: ServerAcls
    aggregations: Aggregations
    aliases: RoomAliases
    anywhere: RemoteMembership
    backfill: Backfill
    creation: RoomCreation
    delayed_events: DelayedEvents
    directory: RoomDirectory
    given_rooms: GivenRooms
    guest_departures: GuestDepartures
    hierarchy: Hierarchy
    inviting: RemoteInviting
    leaves: RemoteLeaves
    membership: RoomMembership
    outside: OutsideMemberships
    policy_lists: PolicyLists
    presence: Presence
    push_rules: PushRules
    readers: Readers
    receipts: Receipts
    relations: Relations
    remote_invites: RemoteInvites
    remote_spaces: RemoteSpaces
    search: Search
    search_backlog: SearchBacklog
    sending: Sending
    reports: Reports
    spaces: Spaces
    successors: Successors
    thread_subscriptions: ThreadSubscriptions
    threads: Threads
    timeline: Timeline
    typing: Typing
    upgrades: RoomUpgrades
    user_directory: UserDirectory


def make_rooms(made: Mechanics, outgoing: Outgoing, events: Events) -> Rooms:
    """Whoever asks for a room that is elsewhere is led there by the same services."""
    settings, database, clock, server_name = made.settings, made.database, made.clock, made.server_name
    client = outgoing.federation_client
    news, states, creation, receipt, intake = (
        events.news,
        events.states,
        events.creation,
        events.receipt,
        events.intake,
    )
    acls = ServerAcls(states, made.budget)
    policy_lists = PolicyLists(database, states, server_name)
    readers = Readers(states)
    aggregations = Aggregations(readers, states, events.formats)
    strangers = settings.registration.newcomers_invite_strangers
    probation = Probation(clock, invites_strangers=strangers)
    admission = Admission(made.rate_limits, made.spam_checks, probation, policy_lists.bars_invite)
    membership = RoomMembership(database, creation, admission, server_name)
    aliases = RoomAliases(database, creation, readers, client, admission, clock, server_name)
    given_rooms = GivenRooms(receipt, intake, events.completion)
    omits_members = settings.federation.partial_state_joins
    joins = RemoteJoins(client, creation, receipt, given_rooms, clock, omits_members=omits_members)
    outside = OutsideMemberships(news, clock, forgets_left_rooms=settings.forget_rooms_when_left)
    leaves = RemoteLeaves(database, client, creation, outside, clock)
    knocks = RemoteKnocks(database, client, creation, outside, clock)
    anywhere = RemoteMembership(
        database, membership, aliases, joins, leaves, knocks, admission, server_name, bars_room=policy_lists.bars_room
    )
    inviting = RemoteInviting(database, client, creation, receipt, intake, membership, admission, server_name)
    directory = RoomDirectory(database, states, admission, events.shadow_bans)
    spaces = Spaces(states, directory, server_name)
    remote_spaces = RemoteSpaces(client, made.budget, clock)
    push_rules = PushRules(database, events.push_classes, news)
    room_settings = RoomSettings(push_rules, news)
    backfill = Backfill(database, client, receipt, intake, clock, server_name)
    backfill.export(made.metrics)
    sending = Sending(creation, readers, admission, clock, server_name)
    serials = Serials()
    shadow_bans = events.shadow_bans
    typing = Typing(
        database, events.notifying, news, events.bell, clock, server_name, serials=serials, shadow_bans=shadow_bans
    )
    presence = Presence(
        database, PresenceViews(serials), news, events.bell, clock, server_name, Scope(settings.presence), shadow_bans
    )
    typing.listen_to_activity(presence.note_activity)
    return Rooms(
        acls=acls,
        aggregations=aggregations,
        aliases=aliases,
        anywhere=anywhere,
        backfill=backfill,
        creation=RoomCreation(
            creation, clock, made.randomness, server_name, settings.default_room_version, inviting, admission
        ),
        delayed_events=DelayedEvents(database, creation, sending, clock, made.randomness, error_body),
        directory=directory,
        given_rooms=given_rooms,
        guest_departures=GuestDepartures(
            database, states, anywhere, news, are_allowed=settings.registration.allow_guest_access
        ),
        hierarchy=Hierarchy(database, spaces, remote_spaces, made.budget, clock, made.randomness, server_name),
        inviting=inviting,
        leaves=leaves,
        membership=membership,
        outside=outside,
        policy_lists=policy_lists,
        presence=presence,
        push_rules=push_rules,
        readers=readers,
        receipts=Receipts(database, readers, states, events.notifying, news, clock, shadow_bans),
        relations=Relations(database, readers, states, aggregations, events.partial_rooms),
        remote_invites=RemoteInvites(
            database,
            receipt,
            outside,
            EndedKnocks(client, clock),
            made.rate_limits,
            made.spam_checks,
            server_name,
            made.own_keys,
            bars_invite=policy_lists.bars_invite,
        ),
        remote_spaces=remote_spaces,
        search=Search(database, readers, states, events.formats, aggregations, events.erased_users),
        search_backlog=SearchBacklog(database, states, clock),
        sending=sending,
        reports=Reports(database, readers, clock, made.randomness, server_name),
        spaces=spaces,
        successors=Successors(database, states, anywhere, room_settings),
        thread_subscriptions=ThreadSubscriptions(database, readers, news),
        threads=Threads(database, readers, states, aggregations, events.partial_rooms),
        timeline=Timeline(database, readers, states, events.formats, aggregations, events.partial_rooms),
        typing=typing,
        upgrades=RoomUpgrades(database, creation, room_settings, made.randomness, server_name),
        user_directory=UserDirectory(database, made.spam_checks, finds_all=settings.user_directory.search_all_users),
    )
