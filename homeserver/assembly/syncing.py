"""Sync, which follows all that is written."""

from dataclasses import dataclass

from homeserver.assembly.encryption import Encryption
from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.rooms import Rooms
from homeserver.runtime.continuity_files import ContinuityFiles
from homeserver.services.sync.assembling import SyncAssembling
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.event_stream import EventStream
from homeserver.services.sync.initial_sync import InitialSync
from homeserver.services.sync.long_poll import LongPoll
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.peeked_rooms import PeekedRooms
from homeserver.services.sync.room_listings import RoomListings
from homeserver.services.sync.room_lists import RoomLists
from homeserver.services.sync.rooms import SyncRooms
from homeserver.services.sync.sent_members import SentMembers
from homeserver.services.sync.sliding_assembling import SlidingAssembling
from homeserver.services.sync.sliding_connections import SlidingConnections
from homeserver.services.sync.sliding_extensions import SlidingExtensions
from homeserver.services.sync.sliding_lists import SlidingLists
from homeserver.services.sync.sliding_poll import SlidingPoll
from homeserver.services.sync.sliding_rooms import SlidingRooms
from homeserver.services.sync.sliding_states import SlidingStates
from homeserver.services.sync.states import SyncStates
from homeserver.services.sync.stream_chunks import StreamChunks
from homeserver.services.sync.timelines import Timelines
from homeserver.services.sync.unread import Unread


@dataclass(frozen=True, slots=True)
class Syncing:
    """What a client hears of, and when."""

    lost_time: LostTime
    long_poll: LongPoll
    sliding_poll: SlidingPoll
    initial_sync: InitialSync
    event_stream: EventStream


def make_syncing(made: Mechanics, events: Events, encryption: Encryption, rooms: Rooms) -> Syncing:
    """A reader of the log: nobody that writes knows of it."""
    database, clock, states, readers = made.database, made.clock, events.states, rooms.readers
    memory = SyncMemory()
    unread = Unread(events.push_classes, memory, events.news)
    timelines = Timelines(readers, states)
    sync_rooms = SyncRooms(
        timelines, SyncStates(states, memory.sent_members), unread, events.formats, rooms.aggregations
    )
    room_lists = RoomLists(sync_rooms, states, unread, readers, memory)
    parts = DeviceParts(memory)
    assembling = SyncAssembling(
        sync_rooms, room_lists, parts, memory, rooms.typing, rooms.presence, events.partial_rooms, database.epoch
    )
    outside = ContinuityFiles(made.settings.data_dir)
    lost_time = LostTime(database, encryption.device_keys, encryption.remote_users, outside, clock)
    long_poll = LongPoll(database, assembling, memory, lost_time, events.news, events.bell, clock)
    sent_members = SentMembers()
    listings = RoomListings(database, events.news, made.budget)
    connections = SlidingConnections(database, memory, sent_members, listings, made.budget, clock)
    sliding_assembling = SlidingAssembling(
        SlidingLists(listings, states, readers),
        SlidingRooms(
            timelines,
            SlidingStates(states, sent_members),
            states,
            readers,
            events.formats,
            rooms.aggregations,
        ),
        SlidingExtensions(parts),
        unread,
        connections,
        rooms.typing,
        database.epoch,
    )
    sliding_poll = SlidingPoll(database, sliding_assembling, connections, lost_time, events.news, events.bell, clock)
    # What clients used before there was /sync
    initial_sync = InitialSync(database, assembling, sync_rooms, readers, states, events.formats, events.partial_rooms)
    chunks = StreamChunks(timelines, readers, events.formats, rooms.typing, rooms.presence, database.epoch)
    peeked = PeekedRooms(events.news, events.bell)
    event_stream = EventStream(database, chunks, lost_time, peeked, events.news, events.bell, clock)
    return Syncing(lost_time, long_poll, sliding_poll, initial_sync, event_stream)
