"""Moderation policy lists: following them, and doing what they say."""

from dataclasses import dataclass

from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.assembly.rooms import Rooms
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.admin.policy_deeds import PolicyDeeds
from homeserver.services.admin.policy_planning import PolicyPlanning
from homeserver.services.admin.policy_subscriptions import PolicySubscriptions
from homeserver.services.admin.policy_watch import PolicyWatch
from homeserver.services.admin.room_acls import RoomAcls
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.room_recovery import RoomRecovery


@dataclass(frozen=True, slots=True)
class Policies:
    """What watches, and what administrators call."""

    subscriptions: PolicySubscriptions
    watch: PolicyWatch


def make_policies(made: Mechanics, outgoing: Outgoing, events: Events, rooms: Rooms) -> Policies:
    """What the rules say is known below, by the services of rooms: rooms.policy_lists."""
    database, clock, server_name, lists = made.database, made.clock, made.server_name, rooms.policy_lists
    planning = PolicyPlanning(database, events.states, lists, outgoing.destinations, server_name)
    deeds = PolicyDeeds(
        database,
        RoomModeration(events.creation),
        RoomAcls(database, events.creation, server_name),
        RoomBlocks(database, clock),
        outgoing.destinations,
        AdminAudit(database, clock),
    )
    watch = PolicyWatch(database, lists, planning, deeds, events.news, clock, server_name)
    recovery = RoomRecovery(database, events.creation, rooms.anywhere, server_name)
    return Policies(PolicySubscriptions(database, lists, planning, watch, recovery, clock), watch)
