"""Who may see an event."""

from itertools import product
from typing import Any

import pytest

from homeserver.core.history_visibility import (
    Visibility,
    may_see_event,
    may_server_see,
    more_permissive,
    read_visibility,
)
from tests.core.rooms import Room

WORLD, SHARED, INVITED, JOINED = Visibility
OUT = (None, "leave", "ban", "knock")


def sees(visibility: Visibility, membership: str | None, *, joined_since: bool = False) -> bool:
    return may_see_event(visibility_before=visibility, membership_before=membership, joined_since=joined_since)


@pytest.mark.parametrize("visibility", Visibility)
def test_a_joined_member_sees_everything(visibility: Visibility) -> None:
    assert sees(visibility, "join")


@pytest.mark.parametrize("membership", [*OUT, "invite", "join"])
def test_everybody_sees_what_is_world_readable(membership: str | None) -> None:
    assert sees(WORLD, membership)


@pytest.mark.parametrize("membership", [*OUT, "invite"])
def test_what_is_shared_is_seen_by_those_who_joined_since(membership: str | None) -> None:
    assert sees(SHARED, membership, joined_since=True)
    assert not sees(SHARED, membership, joined_since=False)


def test_an_invited_user_sees_what_was_sent_under_invited() -> None:
    assert sees(INVITED, "invite")
    assert not sees(JOINED, "invite")
    assert not sees(JOINED, "invite", joined_since=True)


@pytest.mark.parametrize(("visibility", "membership"), list(product([INVITED, JOINED], OUT)))
def test_who_was_outside_does_not_see_it_by_joining_later(visibility: Visibility, membership: str | None) -> None:
    assert not sees(visibility, membership, joined_since=True)


@pytest.mark.parametrize(("before", "after"), [(WORLD, JOINED), (JOINED, WORLD)])
def test_a_change_of_visibility_is_seen_under_the_old_or_the_new_one(before: Visibility, after: Visibility) -> None:
    assert may_see_event(visibility_before=before, visibility_after=after, membership_before=None, joined_since=False)


def test_a_change_of_visibility_that_neither_side_shows_is_not_seen() -> None:
    assert not may_see_event(
        visibility_before=JOINED, visibility_after=INVITED, membership_before="leave", joined_since=True
    )


@pytest.mark.parametrize(("before", "after"), [("leave", "join"), ("join", "leave"), ("join", "ban"), (None, "join")])
def test_users_see_their_own_joining_and_leaving(before: str | None, after: str) -> None:
    assert may_see_event(visibility_before=JOINED, membership_before=before, membership_after=after, joined_since=False)


def test_users_see_their_own_invite_under_invited_only() -> None:
    for visibility, expected in ((INVITED, True), (JOINED, False), (SHARED, False)):
        assert expected is may_see_event(
            visibility_before=visibility, membership_before=None, membership_after="invite", joined_since=False
        )


def test_a_user_who_was_banned_while_outside_does_not_see_it() -> None:
    assert not may_see_event(
        visibility_before=JOINED, membership_before="leave", membership_after="ban", joined_since=False
    )


@pytest.mark.parametrize("value", ["", "SHARED", "unknown", None, 1, [], ["joined"], {}])
def test_a_value_that_is_not_known_counts_as_shared(value: Any) -> None:
    event = Room().put("m.room.history_visibility", {"history_visibility": value})

    assert read_visibility(event) is SHARED


def test_without_an_event_or_a_value_the_visibility_is_shared() -> None:
    assert read_visibility(None) is SHARED
    assert read_visibility(Room().put("m.room.history_visibility", {})) is SHARED


@pytest.mark.parametrize("visibility", Visibility)
def test_a_known_value_is_read(visibility: Visibility) -> None:
    event = Room().put("m.room.history_visibility", {"history_visibility": visibility.value})

    assert read_visibility(event) is visibility


def test_the_more_permissive_of_two_does_not_depend_on_their_order() -> None:
    order = [WORLD, SHARED, INVITED, JOINED]

    for one, other in product(order, order):
        assert more_permissive(one, other) is order[min(order.index(one), order.index(other))]


@pytest.mark.parametrize(
    ("visibility", "memberships", "expected"),
    [
        (WORLD, [], True),
        (SHARED, [], True),
        (SHARED, ["ban"], True),
        (INVITED, ["leave", "invite"], True),
        (INVITED, ["join"], True),
        (INVITED, ["leave", "ban", "knock"], False),
        (JOINED, ["leave", "join"], True),
        (JOINED, ["invite", "ban"], False),
        (JOINED, [], False),
    ],
)
def test_a_server_sees_what_one_of_its_users_could(
    visibility: Visibility, memberships: list[str], *, expected: bool
) -> None:
    assert may_server_see(visibility_before=visibility, memberships=memberships) is expected


def test_a_server_sees_a_change_of_visibility_under_the_old_or_the_new_one() -> None:
    assert may_server_see(visibility_before=JOINED, visibility_after=SHARED, memberships=[])
    assert may_server_see(visibility_before=SHARED, visibility_after=JOINED, memberships=[])
    assert not may_server_see(visibility_before=INVITED, visibility_after=JOINED, memberships=["leave"])
