"""Rooms that are shut down and deleted: how it goes, what clients see of it, and that rooms can come again."""

from typing import Any, Final

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomAlias, RoomID, UserID
from homeserver.core.sync_tokens import SyncToken
from homeserver.runtime.loops import Loops
from homeserver.services.admin.jobs import IDLE_S
from homeserver.services.admin.room_deletion import LEAVING_PER_STEP, NOT_SENDING, TOLD_FOR_MS, DeletionWishes
from homeserver.services.errors import BadState, Forbidden, InvalidParameter, NotFound
from homeserver.services.sync.request import SyncRequest
from homeserver.storage.admin_jobs import Job, JobStatus, note_end
from homeserver.storage.aliases import find_alias
from homeserver.storage.blocked_rooms import find_block
from homeserver.storage.memberships import find_membership, joined_room_ids
from homeserver.storage.outboxes import move_outgoing_position
from homeserver.storage.outgoing_events import is_room_told
from homeserver.storage.purged_rooms import count_events
from homeserver.storage.rooms import find_head, find_published
from tests.forked_rooms import ONE
from tests.scenes import Scene
from tests.services.accounts.people import register
from tests.services.admin.deleting import ROWS_PER_STEP, Deleting
from tests.services.sync.sliding import Phone, Sliding, window
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

KEEPING: Final = DeletionWishes(purge=False)
BLOCKING: Final = DeletionWishes(block=True)


def delete(deleting: Deleting, room_id: RoomID, wishes: DeletionWishes | None = None) -> Job:
    """The job, once it can do no more now."""
    job = now(deleting.rooms.delete(room_id, wishes or DeletionWishes(), asked_by=ALICE))
    now(deleting.jobs.work())
    return now(deleting.jobs.job(job.job_id))


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def sync(world: World, user_id: UserID, since: SyncToken | None = None) -> tuple[dict[str, Any], SyncToken]:
    answer = now(world.long_poll.sync(SyncRequest(viewer=world.viewer(user_id), since=since)))
    return shown(answer.body), answer.next_batch


def test_everybody_leaves_and_nothing_is_left_of_the_room(world: World) -> None:
    room_id = world.create_room(ALICE, invite=(CAROL,))
    now(world.membership.invite(ALICE, room_id, BOB, None))
    world.join(BOB, room_id)

    job = delete(Deleting(world), room_id)

    assert (job.status, job.error) == (JobStatus.COMPLETE, None)
    assert job.progress.done == job.progress.total
    assert set(job.progress.outcome["kicked_users"]) == {ALICE, BOB, CAROL}
    assert job.progress.outcome["failed_to_kick_users"] == []
    assert world.sync_database.read(find_head, room_id) is None
    assert world.sync_database.read(count_events, room_id) == 0
    assert world.sync_database.read(find_block, room_id) is None
    with pytest.raises(Forbidden):
        world.history(ALICE, room_id)


def test_a_client_that_was_away_meanwhile_sees_that_its_user_left(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.send(ALICE, room_id)
    _, token = sync(world, BOB)

    delete(Deleting(world), room_id)
    body, later = sync(world, BOB, token)
    nothing, _ = sync(world, BOB, later)
    anew, _ = sync(world, BOB)

    [event] = body["rooms"]["leave"][room_id]["timeline"]["events"]
    assert (event["type"], event["state_key"], event["content"]["membership"]) == ("m.room.member", BOB, "leave")
    assert "join" not in body["rooms"]
    assert "rooms" not in nothing
    assert "rooms" not in anew


def test_a_client_with_a_window_of_rooms_sees_that_its_user_left(world: World) -> None:
    room_id, other = world.create_room(ALICE, preset="public_chat"), world.create_room(BOB)
    world.join(BOB, room_id)
    phone = Phone(Sliding(world), BOB, lists=window())
    before = phone.ask()

    delete(Deleting(world), room_id)
    told = phone.ask()
    afterwards = phone.ask()

    assert set(before["rooms"]) == {room_id, other}
    [event] = told["rooms"][room_id]["timeline"]
    assert (event["type"], event["content"]["membership"]) == ("m.room.member", "leave")
    assert room_id not in afterwards["rooms"]
    assert [each["count"] for each in afterwards["lists"].values()] == [1]


def test_an_invite_vanishes(world: World) -> None:
    room_id = world.create_room(ALICE, invite=(BOB,))
    body, token = sync(world, BOB)

    delete(Deleting(world), room_id)

    later, _ = sync(world, BOB, token)
    assert room_id in body["rooms"]["invite"]
    assert room_id in later["rooms"]["leave"]


def test_a_room_may_be_left_by_all_and_be_kept(world: World) -> None:
    room_id = world.create_room(ALICE)
    events = world.sync_database.read(count_events, room_id)

    job = delete(Deleting(world), room_id, KEEPING)

    assert job.status is JobStatus.COMPLETE
    assert membership(world, room_id, ALICE) == "leave"
    assert world.sync_database.read(count_events, room_id) == events + 1


def test_a_room_is_in_no_directory_any_more_and_stays_blocked_if_that_is_wanted(world: World) -> None:
    room_id = world.create_room(ALICE, is_public=True, preset="public_chat", alias_localpart="spam")
    alias = RoomAlias("#spam:example.org")
    now(world.directory.publish(ALICE, room_id, is_published=True, is_admin=True))

    job = delete(Deleting(world), room_id, DeletionWishes(block=True, purge=False))

    block = world.sync_database.read(find_block, room_id)
    assert job.progress.outcome["local_aliases"] == [alias]
    assert world.sync_database.read(find_alias, alias) is None
    assert world.sync_database.read(find_published, room_id) is False
    assert block is not None
    assert block.blocked_by == ALICE


def test_a_block_outlives_the_purge_and_one_of_before_stays(world: World) -> None:
    one, other = world.create_room(ALICE, preset="public_chat"), world.create_room(ALICE)
    deleting = Deleting(world)

    delete(deleting, one, BLOCKING)
    delete(deleting, other, DeletionWishes(block=True, purge=False))
    delete(deleting, other)

    for room_id in (one, other):
        assert world.sync_database.read(find_block, room_id) is not None
        assert world.sync_database.read(find_head, room_id) is None


def test_users_find_themselves_in_a_room_that_tells_of_it(world: World) -> None:
    register(world, "carol")
    room_id = world.create_room(ALICE, preset="public_chat", alias_localpart="spam")
    world.join(BOB, room_id)
    alias = RoomAlias("#spam:example.org")

    job = delete(
        Deleting(world), room_id, DeletionWishes(new_room_user_id=CAROL, room_name="Closed", message="Spam is no fun")
    )

    new_room_id = RoomID(job.progress.outcome["new_room_id"])
    found = world.sync_database.read(find_alias, alias)
    assert {membership(world, new_room_id, user_id) for user_id in (ALICE, BOB, CAROL)} == {"join"}
    assert found is not None
    assert found.room_id == new_room_id
    history = world.history(BOB, new_room_id)
    assert [event["content"]["body"] for event in history if event["type"] == "m.room.message"] == ["Spam is no fun"]
    assert [event["content"]["name"] for event in history if event["type"] == "m.room.name"] == ["Closed"]
    with pytest.raises(AuthRejected):
        world.send(BOB, new_room_id)


def test_a_server_that_ends_before_it_notes_that_room_makes_no_second_one(world: World) -> None:
    register(world, "carol")
    room_id = world.create_room(ALICE, preset="public_chat", alias_localpart="spam")
    wishes = DeletionWishes(new_room_user_id=CAROL)
    job = now(Deleting(world).rooms.delete(room_id, wishes, asked_by=None))

    Deleting(world).step(job.job_id, is_noted=False)
    now(Deleting(world).jobs.work())

    outcome = now(Deleting(world).jobs.job(job.job_id)).progress.outcome
    assert world.sync_database.read(joined_room_ids, CAROL) == [outcome["new_room_id"]]
    assert outcome["local_aliases"] == ["#spam:example.org"]
    assert membership(world, outcome["new_room_id"], ALICE) == "join"


def test_only_a_user_of_this_server_can_create_that_room(world: World) -> None:
    room_id = world.create_room(ALICE)
    for user_id in (UserID("@eve:elsewhere.example"), UserID("@nobody:example.org")):
        with pytest.raises(InvalidParameter):
            delete(Deleting(world), room_id, DeletionWishes(new_room_user_id=user_id))
    with pytest.raises(InvalidParameter):
        delete(Deleting(world), room_id, DeletionWishes(message="a" * 5_000))

    assert membership(world, room_id, ALICE) == "join"


def test_an_unknown_room_can_be_blocked_but_not_deleted(world: World) -> None:
    unknown = RoomID("!unknown:elsewhere.example")
    with pytest.raises(NotFound):
        delete(Deleting(world), unknown)

    job = delete(Deleting(world), unknown, BLOCKING)

    assert job.status is JobStatus.COMPLETE
    assert world.sync_database.read(find_block, unknown) is not None


def test_a_room_elsewhere_is_joined_again_after_it_was_purged(world: World) -> None:
    scene = Scene()
    room_id = world.others.open(scene, ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    world.send(ALICE, room_id, "before")
    world.history(ALICE, room_id)

    delete(Deleting(world), room_id)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    world.send(ALICE, room_id, "after")

    bodies = [event["content"].get("body") for event in world.history(ALICE, room_id)]
    assert "after" in bodies
    assert "before" not in bodies
    body, _ = sync(world, ALICE)
    assert room_id in body["rooms"]["join"]


def test_other_servers_are_told_before_anything_is_deleted_if_they_can_be(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    deleting = Deleting(world, is_sending=True)

    waiting = delete(deleting, room_id)
    told_yet = world.sync_database.read(is_room_told, room_id)
    world.sync_database.write(move_outgoing_position, world.sync_database.position)
    now(deleting.jobs.work())

    assert not told_yet
    assert (waiting.status, waiting.progress.outcome["phase"]) == (JobStatus.ACTIVE, "telling")
    assert now(deleting.jobs.job(waiting.job_id)).status is JobStatus.COMPLETE


def test_servers_that_do_not_answer_are_waited_for_no_longer_than_a_while(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    deleting = Deleting(world, is_sending=True)
    waiting = delete(deleting, room_id)

    world.clock.advance(IDLE_S)
    now(deleting.jobs.work())
    still = now(deleting.jobs.job(waiting.job_id))
    world.clock.advance(TOLD_FOR_MS / 1000)
    now(deleting.jobs.work())

    assert still.status is JobStatus.ACTIVE
    assert now(deleting.jobs.job(waiting.job_id)).status is JobStatus.COMPLETE


def test_nobody_is_given_up_while_nothing_is_sent_at_all(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    deleting = Deleting(world, is_sending=False)
    waiting = delete(deleting, room_id)

    world.clock.advance(2 * TOLD_FOR_MS / 1000)
    now(deleting.jobs.work())

    still = now(deleting.jobs.job(waiting.job_id))
    assert (still.status, still.progress.outcome["waits_for"]) == (JobStatus.ACTIVE, NOT_SENDING)


def break_room(world: World, room_id: RoomID) -> None:
    """Let nobody be able to leave: what is kept of the room's state is damaged."""
    world.sync_database.write(lambda tx: tx.run("DELETE FROM state_nodes WHERE room_id = :room_id", room_id=room_id))
    world.states._nodes.clear()


def test_a_damaged_room_is_deleted_by_force_alone(world: World) -> None:
    room_id = world.create_room(ALICE)
    _, token = sync(world, ALICE)
    break_room(world, room_id)

    failed = delete(Deleting(world), room_id)
    kept = world.sync_database.read(count_events, room_id)
    done = delete(Deleting(world), room_id, DeletionWishes(force_purge=True))

    assert failed.status is JobStatus.FAILED
    assert failed.progress.outcome["failed_to_kick_users"] == [ALICE]
    assert kept > 0
    assert done.status is JobStatus.COMPLETE
    assert world.sync_database.read(count_events, room_id) == 0
    body, _ = sync(world, ALICE, token)
    assert room_id in body["rooms"]["leave"]


def test_what_was_cut_short_goes_on_wherever_it_was(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    for number in range(LEAVING_PER_STEP + 2):
        world.join(UserID(f"@user{number:02}:example.org"), room_id)
    world.send(ALICE, room_id)
    job = now(Deleting(world).rooms.delete(room_id, DeletionWishes(), asked_by=None))

    restarts = 0
    while now(Deleting(world).jobs.job(job.job_id)).status is not JobStatus.COMPLETE:
        # Each server does one step, and ends before it notes that it did: the next one does it again.
        Deleting(world).step(job.job_id, is_noted=False)
        Deleting(world).step(job.job_id)
        restarts += 1

    assert restarts > 10
    assert world.sync_database.read(find_head, room_id) is None
    assert world.sync_database.read(count_events, room_id) == 0


def test_what_failed_half_way_can_be_finished_by_another_deletion(world: World) -> None:
    room_id = world.create_room(ALICE)
    for _ in range(ROWS_PER_STEP):
        world.send(ALICE, room_id)
    deleting = Deleting(world)
    job = now(deleting.rooms.delete(room_id, DeletionWishes(), asked_by=None))
    while world.sync_database.read(find_head, room_id) is not None:
        deleting.step(job.job_id)
    world.sync_database.write(note_end, job.job_id, JobStatus.FAILED, "the disk was full", now_ms=0)

    left = world.sync_database.read(count_events, room_id)
    again = delete(Deleting(world), room_id)

    assert left > 0
    assert again.status is JobStatus.COMPLETE
    assert world.sync_database.read(count_events, room_id) == 0
    with pytest.raises(NotFound):
        delete(Deleting(world), room_id)


def test_it_may_be_cancelled_until_rows_go(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    deleting = Deleting(world, is_sending=True)
    waiting = delete(deleting, room_id)

    cancelled = now(deleting.jobs.cancel(waiting.job_id))
    again = Deleting(world)
    job = now(again.rooms.delete(room_id, DeletionWishes(), asked_by=None))
    while now(again.jobs.job(job.job_id)).progress.outcome.get("phase") != "purging":
        again.step(job.job_id)

    assert cancelled.status is JobStatus.CANCELLED
    with pytest.raises(BadState):
        now(again.jobs.cancel(job.job_id))


def test_who_waits_for_the_end_is_told_what_came_of_it(world: World) -> None:
    room_id = world.create_room(ALICE)
    deleting = Deleting(world)
    deleting.jobs.start(Loops(world.clock))
    world.clock.advance(0)

    job = now(deleting.rooms.delete_now(room_id, DeletionWishes(), asked_by=None))

    assert job.status is JobStatus.COMPLETE
