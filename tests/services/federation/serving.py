"""A server's world with what it serves to other servers, and how these read what it answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from homeserver.core.event import EncodedEvent
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.membership_templates import MembershipWish, template_for
from homeserver.core.rate_limits import RateLimit
from homeserver.core.room_versions import room_version
from homeserver.core.state_map import UNKNOWN_ROOT, StateKey, update
from homeserver.services.events.keyring import GivenKeys, OwnKeysAnd
from homeserver.services.events.receipt import Receipt
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.directory_queries import DirectoryQueries
from homeserver.services.federation.hierarchy import HierarchyServing
from homeserver.services.federation.invites import InviteServing
from homeserver.services.federation.joins import JoinServing
from homeserver.services.federation.knocks import KnockServing
from homeserver.services.federation.leaves import LeaveServing
from homeserver.services.federation.membership_intake import MembershipIntake
from homeserver.services.federation.membership_templates import MembershipTemplates
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.federation.serving_events import EventServing
from homeserver.services.federation.serving_state import StateReading, StateServing
from homeserver.services.federation.third_party_invites import BoundAddresses, ThirdPartyInviteServing
from homeserver.services.federation.timestamps import TimestampServing
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.services.federation.vouching import Vouching
from homeserver.services.rate_limits import Counted
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.remote_invites import RemoteInvites
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.room_servers import give_servers
from homeserver.storage.rooms import find_head
from homeserver.storage.state_nodes import store_nodes
from tests.databases import fresh_sqlite
from tests.services.federation.others import FAR, FAY, KEY, NEAR
from tests.services.world import ALICE, NOTHING_COUNTS, SERVER, World, call_now, now

# Any: JSON, throughout.


class Serving:
    """One server, on SQLite, and what others may ask of it."""

    def __init__(self, folder: Path, counted: Mapping[Counted, RateLimit] = NOTHING_COUNTS) -> None:
        self.world = World(fresh_sqlite(folder / "homeserver.db"), counted=counted)
        world = self.world
        acls = ServerAcls(world.states, world.budget)
        self.access = RoomAccess(world.states, acls, SERVER)
        self.visibility = ServerVisibility(world.states, world.erased_users, world.formats.is_expired)
        self.events = EventServing(world.database, self.access, self.visibility, world.states, world.clock, SERVER)
        self.reading = StateReading(world.database, world.erased_users)
        self.states = StateServing(world.database, self.access, self.visibility, world.states, self.reading)
        keys = GivenKeys({server: [PublishedKey(KEY.verify_key, FOR_EVER_MS)] for server in (FAR, NEAR)})
        self.receipt = Receipt(OwnKeysAnd(SERVER, [world.key.verify_key], keys), call_now)
        self.templates = MembershipTemplates(world.database, self.access, world.writer, world.clock, SERVER)
        vouching = Vouching(world.writer, world.key, SERVER)
        policies = PolicyServers(world.database, world.states, world.policy_source)
        self.intake = MembershipIntake(world.database, self.access, vouching, self.receipt, policies, world.intake)
        self.joins = JoinServing(
            world.database,
            self.templates,
            self.intake,
            world.states,
            self.reading,
            self.visibility,
            world.rate_limits,
            SERVER,
        )
        self.leaves = LeaveServing(self.templates, self.intake)
        self.knocks = KnockServing(world.database, self.templates, self.intake, world.states, world.rate_limits)
        self.hierarchy = HierarchyServing(world.database, self.access, acls, world.spaces)
        invites = RemoteInvites(
            world.database,
            self.receipt,
            world.outside,
            world.ended_knocks,
            world.rate_limits,
            world.spam_checks,
            SERVER,
            world.key,
        )
        self.invites = InviteServing(world.database, acls, invites, world.rate_limits)
        self.third_party_invites = ThirdPartyInviteServing(
            world.database, self.access, world.states, world.inviting, SERVER
        )
        self.addresses = BoundAddresses(world.database, world.anywhere, SERVER)
        self.timestamps = TimestampServing(world.database, self.access, self.visibility, world.states)
        self.queries = DirectoryQueries(world.aliases, world.profiles, SERVER)

    def room(self, visibility: str = "shared", creator: UserID = ALICE, **wishes: Any) -> RoomID:
        """A public room with a history visibility."""
        state = InitialState("m.room.history_visibility", "", {"history_visibility": visibility})
        return self.world.create_room(creator, preset="public_chat", initial_state=[state], **wishes)

    def set_state(self, room_id: RoomID, event_type: str, content: dict[str, Any], state_key: str = "") -> EventID:
        """Let Alice set state."""
        return now(self.world.sending.set_state(ALICE, room_id, event_type, state_key, content))

    def shut_out(self, room_id: RoomID, server: str) -> None:
        """Let the room deny a server."""
        self.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": [server]})

    def let_in(self, room_id: RoomID, server: ServerName) -> None:
        """Let the room count a server as one of its own, without any member."""

        def give(tx: Transaction) -> None:
            give_servers(tx, room_id, [server], position=tx.log_position)

        self.world.sync_database.write(give)

    def named(self, localpart: str, display_name: str) -> UserID:
        """A user of this server who has an account and a name."""
        registration = self.world.registration
        registering = registration.register_by_administrator(
            localpart, "wonderland", is_admin=False, display_name=display_name
        )
        return now(registering).user_id

    def member(self, room_id: RoomID, user_id: UserID) -> str | None:
        """What a user is in the room."""
        membership = self.world.sync_database.read(find_membership, room_id, user_id)
        return None if membership is None else membership.membership

    def make_partial(self, room_id: RoomID) -> None:
        """Let it be as in a room of which not all state has come yet: its members are not known."""

        def forget(tx: Transaction) -> None:
            head = find_head(tx, room_id)
            assert head is not None
            known: dict[StateKey, EventID | None] = {("m.room.server_acl", ""): None}
            for stored in self.world.states.all_but_type(tx, room_id, head.current_root, "m.room.member"):
                known[stored.event.type, stored.event.state_key or ""] = stored.event.event_id
            updated = update(lambda _: None, UNKNOWN_ROOT, known)
            store_nodes(tx, room_id, updated.new_nodes)
            tx.run("UPDATE rooms SET is_partial = :yes, current_root = :root", yes=True, root=updated.root)

        self.world.sync_database.write(forget)

    def close(self) -> None:
        """Close the database."""
        self.world.close()


def finished(answer: Any, user_id: UserID, membership: str, said: Any = None, event_id: str = "$a") -> EncodedEvent:
    """The event that the user's server makes of a template. In old versions it has the ID that is given."""
    version = room_version(answer["room_version"])
    event = answer["event"]
    wish = MembershipWish(event["room_id"], user_id, membership, said or {}, event["origin_server_ts"])
    template = template_for(wish, event, version, SERVER)
    server = server_name_of_user(user_id)
    assigned = None if version.event_ids_are_hashes else EventID(f"{event_id}:{server}")
    return build_event(template, version, server, KEY, assigned)


def invite_to(user_id: UserID, version: str = "11", inviter: UserID = FAY, **changes: Any) -> tuple[EncodedEvent, Any]:
    """An invite to a room of another server, and what that one shows of the room."""
    rules, server = room_version(version), server_name_of_user(inviter)
    is_old = not rules.event_ids_are_hashes
    create = EventTemplate(
        room_id=None if rules.room_id_is_create_hash else RoomID(f"!room:{server}"),
        type="m.room.create",
        sender=inviter,
        content={"room_version": version},
        state_key="",
        prev_events=(),
        auth_events=(),
        depth=1,
        origin_server_ts=1,
    )
    created = build_event(create, rules, server, KEY, EventID(f"$create:{server}") if is_old else None)
    fields: dict[str, Any] = {
        "room_id": created.event.room_id,
        "type": "m.room.member",
        "sender": inviter,
        "content": {"membership": "invite"},
        "state_key": user_id,
        "prev_events": ((created.event.event_id, bytes(32)),),
        "auth_events": (),
        "depth": 2,
        "origin_server_ts": 2,
        **changes,
    }
    template = EventTemplate(**fields)
    invite = build_event(template, rules, server, KEY, EventID(f"$invite:{server}") if is_old else None)
    return invite, [dict(created.event.pdu)]


def read(answer: object) -> Any:
    """What a server reads of an answer."""
    return orjson.loads(orjson.dumps(answer))


def bodies(pdus: Any) -> list[str | None]:
    """The texts of messages; None for one that was redacted."""
    return [pdu["content"].get("body") for pdu in pdus if pdu["type"] == "m.room.message"]
