"""Rooms kept in files, so that they stay as they are when the generator changes: found once, tried ever after.

`python -m tests.convergence.kept_rooms SEED VERSION NAME` keeps the room that a run names by its seed and version.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from homeserver.core.event import view_event
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from tests.convergence.run import room_of
from tests.convergence.servers import check_agreement, sqlite_servers
from tests.forked_rooms import ForkedRoom
from tests.replicas import History

FOLDER: Final = Path(__file__).parent / "rooms"
ORDERS_TRIED: Final = 10


def kept_names() -> list[str]:
    """The rooms that are kept."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def kept_room(name: str) -> tuple[ForkedRoom, Random]:
    """A room, and what decides in which orders it is delivered."""
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    version = ROOM_VERSIONS[kept["version"]]
    history = History(version, RoomID(kept["room_id"]))
    for event_id, pdu in kept["events"]:
        history.add(view_event(pdu, version, event_id=EventID(event_id)))
    heard = {ServerName(server): tuple(map(EventID, ids)) for server, ids in kept["heard"].items()}
    return ForkedRoom(history, frozenset(), heard), Random(kept["order"])


def keep(name: str, room: ForkedRoom, order: int) -> None:
    """Keep a room in a file, an event in a line."""
    head = {
        "version": room.version.name,
        "room_id": room.room_id,
        "order": order,
        "heard": {server: list(ids) for server, ids in room.heard.items()},
    }
    events = ",\n".join(json.dumps([event.event_id, event.pdu]) for event in room.events)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(f'{json.dumps(head)[:-1]}, "events": [\n{events}\n]}}\n')


def _orders_that_fail(room: ForkedRoom) -> Iterator[int]:
    for order in range(ORDERS_TRIED):
        try:
            with sqlite_servers() as worlds:
                check_agreement(worlds, room, Random(order))
        except AssertionError as error:
            print(f"order {order}: {error}")
            yield order


def main() -> None:
    """Keep a room, with the first order in which the servers disagree about it, if there is one."""
    seed, version, name = sys.argv[1:]
    _, room = room_of(seed, ROOM_VERSIONS[version])
    keep(name, room, next(_orders_that_fail(room), 0))


if __name__ == "__main__":
    main()
