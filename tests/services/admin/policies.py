"""A server that follows moderation policy lists: the services behind it, and rooms with rules."""

from typing import Any

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.loops import Loops
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.admin.policy_deeds import PolicyDeeds
from homeserver.services.admin.policy_planning import PolicyPlanning
from homeserver.services.admin.policy_subscriptions import ListStatus, PolicySubscriptions, Purpose
from homeserver.services.admin.policy_watch import PolicyWatch
from homeserver.services.admin.room_acls import RoomAcls
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.room_recovery import RoomRecovery
from homeserver.services.federation.destinations import Destinations, RetryPolicy
from homeserver.services.rooms.policy_lists import PolicyLists
from homeserver.storage.admin_audit import NotedAct, Wanted
from homeserver.storage.database import Database
from homeserver.storage.memberships import find_membership
from homeserver.storage.policy_lists import Deed, OnRooms, deeds_after
from tests.services.world import ALICE, SERVER, World, now

ON_ALL_ROOMS = Purpose(on_rooms=OnRooms.ALL)
ON_SERVER = Purpose(on_server=True)


class Policies:
    """What assembly makes. With `starts`, it runs by itself. `watched`: the database by which that is done."""

    def __init__(self, world: World, *, starts: bool = True, watched: Database | None = None) -> None:
        self.world = world
        database, clock = world.database, world.clock
        self.lists = PolicyLists(database, world.states, SERVER)
        self.destinations = Destinations(database, RetryPolicy(1, 2, 4), clock, world.randomness)
        self.planning = PolicyPlanning(database, world.states, self.lists, self.destinations, SERVER)
        self.audit = AdminAudit(database, clock)
        self.deeds = PolicyDeeds(
            database,
            RoomModeration(world.event_creation),
            RoomAcls(world.database, world.event_creation, SERVER),
            RoomBlocks(database, clock),
            self.destinations,
            self.audit,
        )
        self.watch = PolicyWatch(watched or database, self.lists, self.planning, self.deeds, world.news, clock, SERVER)
        recovery = RoomRecovery(database, world.event_creation, world.anywhere, SERVER)
        self.subscriptions = PolicySubscriptions(database, self.lists, self.planning, self.watch, recovery, clock)
        self.loops = Loops(clock)
        now(self.destinations.load())
        now(self.lists.load())
        if starts:
            self.watch.start(self.loops)
            clock.advance(0)

    def subscribe(self, list_id: RoomID, purpose: Purpose = ON_ALL_ROOMS) -> ListStatus:
        """Follow a list."""
        return now(self.subscriptions.subscribe(list_id, purpose, joins=None, via=(), subscribed_by=None))

    def noted(self) -> list[Deed]:
        """What was done because of lists and not undone."""
        return self.world.sync_database.read(deeds_after, None, limit=1_000)

    def acts(self) -> list[NotedAct]:
        """What the book of acts has, the oldest first."""
        return list(now(self.audit.page(Wanted(), before=None, limit=100)))[::-1]

    def close(self) -> None:
        """Watch no more."""
        self.watch.stop()
        now(self.loops.stop())


def new_list(world: World, creator: UserID = ALICE) -> RoomID:
    """A room for rules."""
    return world.create_room(creator, preset="public_chat", room_version="11")


def write_rule(
    world: World, list_id: RoomID, entity: str, *, kind: str = "user", key: str | None = None, **more: Any
) -> None:
    """Write a rule into a list; an empty `entity` takes it back."""
    content = {"entity": entity, "recommendation": "m.ban", "reason": "spam", **more} if entity else {}
    now(world.sending.set_state(ALICE, list_id, f"m.policy.rule.{kind}", key or f"rule:{entity}", content))


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    """What somebody is in a room."""
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership
