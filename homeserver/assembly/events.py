"""The ground: events, how they are judged, written and announced."""

from dataclasses import dataclass

from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.core.identifiers import ServerName
from homeserver.core.retention import RetentionPolicy
from homeserver.runtime.wakeups import Bell
from homeserver.services.events.client_format import ClientFormat
from homeserver.services.events.completion import Completion
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.events.incoming_spam import IncomingSpam
from homeserver.services.events.intake import Intake
from homeserver.services.events.joining_heads import HeadJoining
from homeserver.services.events.keyring import OwnKeysAnd
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.news import News
from homeserver.services.events.notifying import Notifying
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWriter
from homeserver.services.events.policy_approval import PolicyApproval
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.events.receipt import Receipt
from homeserver.services.events.remote_keys import RemoteKeys
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.shadow_bans import ShadowBans
from homeserver.services.events.state_merging import StateMerging
from homeserver.settings.sections import Settings


@dataclass(frozen=True, slots=True)
class Events:
    """What everything else stands on."""

    bell: Bell
    news: News
    states: RoomStates
    partial_rooms: PartialRooms
    push_classes: PushClasses
    notifying: Notifying
    writer: RoomWriter
    creation: EventCreation
    intake: Intake
    completion: Completion
    erased_users: ErasedUsers
    shadow_bans: ShadowBans
    formats: ClientFormat
    lifetimes: Lifetimes
    remote_keys: RemoteKeys
    receipt: Receipt


def make_events(made: Mechanics, outgoing: Outgoing) -> Events:
    """The one way in for events, of this server's users and of others."""
    database, clock, budget, server_name = made.database, made.clock, made.budget, made.server_name
    client = outgoing.federation_client
    bell = Bell(clock)
    news = News(bell)
    states = RoomStates(budget, EventCache(budget))
    partial_rooms = PartialRooms(database, clock)
    push_classes = PushClasses(budget)
    notifying = Notifying(states, push_classes, budget)
    merging = StateMerging(database, states, budget, made.merging_process)
    forgets = made.settings.forget_rooms_when_left
    lifetimes = Lifetimes(_retention(made.settings))
    writer = RoomWriter(
        states, merging, notifying, news, clock, server_name, forgets_left_rooms=forgets, lifetimes=lifetimes
    )
    approval = PolicyApproval(database, client, clock, server_name)
    shadow_bans = ShadowBans()
    creation = EventCreation(
        writer, clock, made.randomness, server_name, made.own_keys, approval, partial_rooms, shadow_bans
    )
    intake = Intake(
        database, writer, HeadJoining(creation), partial_rooms, IncomingSpam(made.spam_checks, server_name), clock
    )
    notaries = [ServerName(name) for name in made.settings.federation.key_servers if name != server_name]
    remote_keys = RemoteKeys(database, client, notaries, budget, clock)
    erased_users = ErasedUsers()
    return Events(
        bell,
        news,
        states,
        partial_rooms,
        push_classes,
        notifying,
        writer,
        creation,
        intake,
        Completion(database, writer, intake, partial_rooms),
        erased_users,
        shadow_bans,
        ClientFormat(states, clock, budget, erased_users, lifetimes),
        lifetimes,
        remote_keys,
        Receipt(OwnKeysAnd(server_name, made.own_keys, remote_keys), made.in_thread),
    )


def _retention(settings: Settings) -> RetentionPolicy:
    retention = settings.retention
    return RetentionPolicy(
        retention.enabled,
        None if retention.default_max_lifetime_s is None else retention.default_max_lifetime_s * 1000,
        retention.shortest_max_lifetime_s * 1000,
        None if retention.longest_max_lifetime_s is None else retention.longest_max_lifetime_s * 1000,
    )
