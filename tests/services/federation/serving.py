"""A server's world with what it serves to other servers, and how these read what it answers."""

from pathlib import Path
from typing import Any

import orjson

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.federation.serving_events import EventServing
from homeserver.services.federation.serving_state import StateReading, StateServing
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.database import Transaction
from homeserver.storage.room_servers import give_servers
from tests.databases import fresh_sqlite
from tests.services.world import ALICE, SERVER, World, now

# Any: JSON, throughout.


class Serving:
    """One server, on SQLite, and what others may ask of it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(fresh_sqlite(folder / "homeserver.db"))
        world = self.world
        self.access = RoomAccess(world.states, ServerAcls(world.states, world.budget), SERVER)
        self.visibility = ServerVisibility(world.states)
        self.events = EventServing(world.database, self.access, self.visibility, world.states, world.clock, SERVER)
        self.reading = StateReading(world.database)
        self.states = StateServing(world.database, self.access, self.visibility, world.states, self.reading)

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

    def close(self) -> None:
        """Close the database."""
        self.world.close()


def read(answer: object) -> Any:
    """What a server reads of an answer."""
    return orjson.loads(orjson.dumps(answer))


def bodies(pdus: Any) -> list[str | None]:
    """The texts of messages; None for one that was redacted."""
    return [pdu["content"].get("body") for pdu in pdus if pdu["type"] == "m.room.message"]
