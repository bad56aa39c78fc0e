"""State resolution of room version 1, step by step. Spec: rooms/v1/#state-resolution"""

import hashlib

from homeserver.core.event import Event
from homeserver.core.room_versions import V1
from tests.forked_rooms import ALICE, BOB, CAROL, DAVE
from tests.scenes import Scene, with_entry, without_entry

LEVELS = ("m.room.power_levels", "")
NAME = ("m.room.name", "")


def scene() -> Scene:
    room = Scene(V1, users={BOB: 100, CAROL: 50})
    room.join_in_turn(BOB, CAROL)
    return room


def by_hash(*events: Event) -> list[Event]:
    """From the greatest SHA-1 of the event ID to the smallest."""
    return sorted(events, key=lambda event: hashlib.sha1(event.event_id.encode()).hexdigest(), reverse=True)


def test_a_key_that_only_some_states_have_is_in_no_conflict() -> None:
    room = scene()
    name = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    topic = room.send(BOB, "m.room.topic", {"topic": "b"}, after=[room.last])

    state = room.after(name, topic)

    assert state == {
        **room.after(room.last),
        NAME: name.event_id,
        ("m.room.topic", ""): topic.event_id,
    }


def test_of_power_levels_the_deepest_that_follows_from_the_others_wins() -> None:
    room = scene()
    first = room.power_levels({BOB: 100, CAROL: 60}, after=[room.last])
    second = room.power_levels({BOB: 100, CAROL: 70}, sender=BOB, after=[room.last], depth=first.depth + 1)

    assert room.after(first, second)[LEVELS] == second.event_id


def test_power_levels_stop_at_the_first_that_does_not_follow() -> None:
    room = scene()
    demotion = room.power_levels({BOB: 100, CAROL: 0}, after=[room.last])
    revolt = room.power_levels({BOB: 100, CAROL: 50, DAVE: 50}, sender=CAROL, after=[room.last], depth=90)
    later = room.power_levels({BOB: 100, CAROL: 1}, after=[room.last], depth=91)

    state = room.resolve(*(with_entry(room.after(room.last), each) for each in (demotion, revolt, later)))

    assert state[LEVELS] == demotion.event_id


def test_at_equal_depth_the_smaller_hash_of_the_id_comes_later_and_wins() -> None:
    room = scene()
    names = [room.send(sender, "m.room.name", {"name": sender}, after=[room.last]) for sender in (ALICE, BOB, CAROL)]

    assert room.after(*names)[NAME] == by_hash(*names)[-1].event_id


def test_a_ban_at_a_lesser_depth_than_the_join_loses_to_it_only_if_the_join_is_allowed_after_the_ban() -> None:
    room = scene()
    ban = room.member(DAVE, "ban", sender=ALICE, after=[room.last])
    join = room.member(DAVE, "join", after=[room.last], depth=ban.depth + 5)

    assert room.after(ban, join)["m.room.member", DAVE] == ban.event_id


def test_power_levels_are_decided_before_join_rules() -> None:
    room = scene()
    levels = [room.power_levels({BOB: 100, CAROL: level}, after=[room.last]) for level in (50, 51)]
    by_alice = room.send(ALICE, "m.room.join_rules", {"join_rule": "invite"}, after=[room.last])
    by_carol = room.send(CAROL, "m.room.join_rules", {"join_rule": "public"}, after=[room.last], depth=90)

    state = room.resolve(with_entry(room.after(levels[0]), by_alice), with_entry(room.after(levels[1]), by_carol))

    assert state["m.room.join_rules", ""] == by_carol.event_id


def test_join_rules_are_decided_before_members() -> None:
    room = scene()
    first = room.send(ALICE, "m.room.join_rules", {"join_rule": "public"}, after=[room.last])
    closed = room.send(ALICE, "m.room.join_rules", {"join_rule": "invite"}, after=[room.last], depth=first.depth + 1)
    left = room.member(CAROL, "leave", after=[first])
    back = room.member(CAROL, "join", after=[left])

    state = room.resolve(with_entry(room.after(left), closed), room.after(back))

    assert state["m.room.join_rules", ""] == closed.event_id
    assert state["m.room.member", CAROL] == left.event_id


def test_members_in_conflict_say_nothing_about_each_other() -> None:
    room = scene()
    bob_left = room.member(BOB, "leave", after=[room.last])
    bob_stays = room.member(BOB, "join", after=[room.last], depth=bob_left.depth + 1)
    invited = room.member(DAVE, "invite", sender=BOB, after=[room.last])
    kicked = room.member(DAVE, "leave", sender=BOB, after=[invited], depth=invited.depth + 1)

    state = room.resolve(with_entry(room.after(bob_left), invited), with_entry(room.after(bob_stays), kicked))

    # Whoever sent the kick is in conflict, so it cannot follow.
    assert state["m.room.member", DAVE] == invited.event_id


def test_of_other_events_the_highest_that_passes_wins() -> None:
    room = scene()
    allowed = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    higher = room.send(CAROL, "m.room.name", {"name": "c"}, after=[room.last], depth=allowed.depth + 9)
    demotion = room.power_levels({BOB: 100, CAROL: 0}, after=[room.last])

    before = room.resolve(*(with_entry(room.after(room.last), each) for each in (allowed, higher)))
    after = room.resolve(*(with_entry(room.after(demotion), each) for each in (allowed, higher)))

    assert before[NAME] == higher.event_id
    assert after[NAME] == allowed.event_id


def test_where_no_candidate_passes_the_lowest_stays() -> None:
    room = scene()
    low = room.send(CAROL, "m.room.name", {"name": "1"}, after=[room.last])
    high = room.send(CAROL, "m.room.name", {"name": "2"}, after=[low])
    gone = room.member(CAROL, "ban", sender=ALICE, after=[room.last])

    state = room.resolve(with_entry(room.after(gone), high), with_entry(room.after(gone), low))

    assert state[NAME] == low.event_id


def test_a_rejected_event_is_no_candidate() -> None:
    room = scene()
    name = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    forged = room.send(DAVE, "m.room.name", {"name": "d"}, after=[room.last], depth=99)

    state = room.resolve(with_entry(room.after(name), forged), room.after(name))

    assert room.is_rejected(forged)
    assert state[NAME] == name.event_id
    assert NAME not in room.resolve(with_entry(room.after(room.last), forged), room.after(room.last))


def test_power_levels_with_another_state_key_are_decided_last() -> None:
    room = scene()
    content = {"users": {ALICE: 100, BOB: 100, CAROL: 50}}
    one = room.send(ALICE, "m.room.power_levels", content, "other", after=[room.last])
    two = room.send(BOB, "m.room.power_levels", content, "other", after=[room.last], depth=one.depth + 1)

    state = room.after(one, two)

    assert state[LEVELS] == room.levels.event_id
    assert state["m.room.power_levels", "other"] == two.event_id


def test_a_state_without_power_levels_does_not_take_them_away() -> None:
    room = scene()
    whole = room.after(room.last)

    assert room.resolve(whole, without_entry(whole, "m.room.power_levels")) == whole
