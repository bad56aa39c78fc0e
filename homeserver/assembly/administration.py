"""What administrators have done by the server, over a while."""

from dataclasses import dataclass

import homeserver
from homeserver.assembly.accounts import Accounts
from homeserver.assembly.events import Events
from homeserver.assembly.federation import Federation
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.rooms import Rooms
from homeserver.services.admin.announcements import AnnouncementJob, Announcements
from homeserver.services.admin.backup_process import BackupProcess
from homeserver.services.admin.backups import Backups, OwnServer
from homeserver.services.admin.closing_notices import ClosingNotices
from homeserver.services.admin.history_purge import HistoryPurge, HistoryPurgeJob
from homeserver.services.admin.jobs import Jobs
from homeserver.services.admin.known_keys import StoredKeys
from homeserver.services.admin.room_deletion import RoomDeletion, RoomDeletionJob
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.room_purge import RoomPurge
from homeserver.services.admin.room_repair import OtherServers, RoomRepair, RoomRepairJob
from homeserver.services.admin.user_redactions import UserRedaction
from homeserver.services.events.collection import StateCollection
from homeserver.services.events.expiry import Expiry
from homeserver.services.events.older_lifetimes import OlderLifetimes
from homeserver.storage.events import StoredEvent


@dataclass(frozen=True, slots=True)
class Administration:
    """What runs by itself once an administrator asked for it."""

    announcements: Announcements
    jobs: Jobs
    room_deletion: RoomDeletion
    history_purge: HistoryPurge
    room_repair: RoomRepair
    backups: Backups
    expiry: Expiry
    older_lifetimes: OlderLifetimes


def make_administration(
    made: Mechanics, events: Events, rooms: Rooms, accounts: Accounts, federation: Federation
) -> Administration:
    """Each kind of job is given to the one who does them."""
    announcing = AnnouncementJob(made.database, accounts.notices)
    deletion = _room_deletion(made, events, rooms, federation)
    redaction = UserRedaction(made.database, RoomModeration(events.creation))
    purging = HistoryPurgeJob(
        made.database,
        events.states.events,
        events.formats,
        StateCollection(made.database, made.clock),
        made.server_name,
    )

    def replaced(stored: StoredEvent) -> None:
        events.states.events.replace(stored)
        events.formats.forget([stored.nid])

    repairing = RoomRepairJob(
        made.database,
        StoredKeys(made.server_name, made.own_keys),
        OtherServers(
            federation.room_comparison, federation.missing_events, federation.recovery, federation.sender.retry
        ),
        (events.notifying.forget_room, events.news.forget_room),
        made.clock,
        made.server_name,
        replaced,
    )
    jobs = Jobs(made.database, made.clock, made.randomness, (announcing, deletion, redaction, purging, repairing))
    room_deletion = RoomDeletion(made.database, jobs, made.server_name)
    history_purge = HistoryPurge(made.database, jobs)
    room_repair = RoomRepair(made.database, jobs)
    expiry = Expiry(made.database, events.lifetimes, events.states.events, made.clock)
    older_lifetimes = OlderLifetimes(made.database, events.states, events.lifetimes, made.clock)
    return Administration(
        Announcements(jobs), jobs, room_deletion, history_purge, room_repair, _backups(made), expiry, older_lifetimes
    )


def _room_deletion(made: Mechanics, events: Events, rooms: Rooms, federation: Federation) -> RoomDeletionJob:
    forgetting = (
        events.notifying.forget_room,
        events.news.forget_room,
        events.partial_rooms.end,
        events.lifetimes.forget_room,
        rooms.backfill.forget_room,
        rooms.policy_lists.forget_room,
    )
    is_federated = made.settings.federation.enabled
    return RoomDeletionJob(
        made.database,
        ClosingNotices(rooms.creation, events.creation),
        rooms.anywhere,
        rooms.leaves,
        RoomPurge(made.database, events.states.events, events.formats, forgetting),
        made.clock,
        lambda: federation.sender.is_running if is_federated else None,
    )


def _backups(made: Mechanics) -> Backups:
    settings = made.settings
    server = OwnServer(
        made.server_name,
        homeserver.__version__,
        made.database.dialect.name,
        settings.signing_key_file,
        settings.file,
        settings.backup_folder,
        settings.backups.keep,
    )
    process = BackupProcess(made.database.backend, made.reactor.callFromThread)
    return Backups(server, process, made.own_keys, made.clock)
