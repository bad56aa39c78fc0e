"""What of the change log is for which other server: the log is read once for all of them.

What is sent of it, and when, is in sender.py; what a server gets that was away for long, in catch_up.py.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.services.federation.outgoing_edus import device_edu, signatures_of
from homeserver.storage.cross_signing import published_keys
from homeserver.storage.database import Transaction
from homeserver.storage.device_lists import DeviceUpdate, device_updates, device_updates_at
from homeserver.storage.outgoing_events import (
    OutgoingEvent,
    outgoing_events,
    outgoing_events_at,
    removal_notices,
)
from homeserver.storage.receipts import Receipt, public_receipts_at, public_receipts_since
from homeserver.storage.room_servers import (
    Stay,
    servers_in_room,
    servers_sharing_other_rooms,
    servers_sharing_rooms,
    stays_in_rooms,
)
from homeserver.storage.streams import visible_position
from homeserver.storage.to_device_outbox import destinations_with_messages

EVENTS_PER_READ: Final = 100


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be sent of one position: an event, a device list update, or receipts."""

    event: OutgoingEvent | None = None
    device: bytes | None = None  # an EDU
    receipts: tuple[Receipt, ...] = ()


@dataclass(slots=True)
class Followed:
    """A part of the log: what is for whom, up to `upto`; `is_all` when the log goes no further."""

    upto: int
    is_all: bool
    contents: dict[int, Content] = field(default_factory=dict)
    targets: dict[ServerName, list[int]] = field(default_factory=dict)  # positions, in order
    with_messages: set[ServerName] = field(default_factory=set)  # for which messages wait that were written there
    rooms: dict[RoomID, frozenset[ServerName]] = field(default_factory=dict)  # of those that were asked about
    newcomers: set[UserID] = field(default_factory=set)  # local users who met servers that did not know them


def read_log(
    tx: Transaction,
    after: int,
    server_name: ServerName,
    rooms: Collection[RoomID],
    joined: Collection[tuple[RoomID, UserID]],
) -> Followed:
    """The next part of the log.

    `rooms` are those of which the servers are wanted that are there now, `joined` local users who came into a room.
    """
    upto: int = visible_position(tx)
    events = outgoing_events(tx, after=after, upto=upto, limit=EVENTS_PER_READ)
    is_all = len(events) < EVENTS_PER_READ
    if not is_all:
        upto = events[-1].position
    followed = Followed(upto, is_all)
    receipts = public_receipts_since(tx, after=after, upto=upto, server=server_name)
    in_rooms = {*(event.room_id for event in events), *(one.room_id for one in receipts), *rooms}
    by_room: dict[RoomID, list[Stay]] = {}
    for stay in stays_in_rooms(tx, tuple(in_rooms), after=after):
        if stay.server != server_name:
            by_room.setdefault(stay.room_id, []).append(stay)
    _aim_events(followed, events, by_room)
    for position, destination in removal_notices(tx, after=after, upto=upto):
        _aim(followed, position, (destination,))
    _aim_devices(tx, followed, device_updates(tx, after=after, upto=upto), server_name)
    _aim_receipts(followed, receipts, by_room)
    followed.targets = {server: sorted(set(positions)) for server, positions in followed.targets.items()}
    followed.with_messages = destinations_with_messages(tx, after=after, upto=upto)
    followed.rooms = {room_id: _now(by_room.get(room_id, ())) for room_id in rooms}
    for room_id, user_id in joined:
        there = servers_in_room(tx, room_id) - {server_name}
        if there and there - servers_sharing_other_rooms(tx, user_id, room_id):
            followed.newcomers.add(user_id)
    return followed


def contents_at(tx: Transaction, positions: Collection[int], server_name: ServerName) -> dict[int, Content]:
    """What is to be sent of these positions, whoever it is for; of some there is nothing any more."""
    wanted = tuple(positions)
    contents = {event.position: Content(event=event) for event in outgoing_events_at(tx, wanted)}
    contents.update(_device_contents(tx, device_updates_at(tx, wanted)))
    contents.update(_receipt_contents(public_receipts_at(tx, wanted, server=server_name)))
    return contents


def _aim(followed: Followed, position: int, servers: Iterable[ServerName]) -> None:
    for server in servers:
        followed.targets.setdefault(server, []).append(position)


def _aim_events(followed: Followed, events: list[OutgoingEvent], by_room: Mapping[RoomID, list[Stay]]) -> None:
    """An event is for the servers that were in the room before it: so one that leaves by it hears of it."""
    for event in events:
        followed.contents[event.position] = Content(event=event)
        own = server_name_of_user(event.sender)  # of a join that this server relays
        stays = by_room.get(event.room_id, ())
        _aim(
            followed,
            event.position,
            (stay.server for stay in stays if stay.server != own and stay.covers(event.position - 1)),
        )


def _aim_devices(tx: Transaction, followed: Followed, updates: list[DeviceUpdate], server_name: ServerName) -> None:
    sharing = servers_sharing_rooms(tx, {update.user_id for update in updates}, but=server_name)
    aimed = [update for update in updates if update.user_id in sharing]
    followed.contents.update(_device_contents(tx, aimed))
    for update in aimed:
        _aim(followed, update.position, sharing[update.user_id])


def _aim_receipts(followed: Followed, receipts: list[Receipt], by_room: Mapping[RoomID, list[Stay]]) -> None:
    followed.contents.update(_receipt_contents(receipts))
    for receipt in receipts:
        _aim(followed, receipt.log_position, _now(by_room.get(receipt.room_id, ())))


def _device_contents(tx: Transaction, updates: list[DeviceUpdate]) -> dict[int, Content]:
    if not updates:
        return {}
    signatures = signatures_of(published_keys(tx, {update.user_id for update in updates}, viewer_id=""))
    return {update.position: Content(device=device_edu(update, signatures)) for update in updates}


def _receipt_contents(receipts: Iterable[Receipt]) -> dict[int, Content]:
    by_position: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        by_position.setdefault(receipt.log_position, []).append(receipt)
    return {position: Content(receipts=tuple(moved)) for position, moved in by_position.items()}


def _now(stays: Iterable[Stay]) -> frozenset[ServerName]:
    return frozenset(stay.server for stay in stays if stay.until_position is None)
