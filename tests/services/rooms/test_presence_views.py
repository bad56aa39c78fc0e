"""What was told of whom: each watcher is told once, whatever happens to the others."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.identifiers import UserID
from homeserver.core.presence import Status
from homeserver.services.rooms.presence_views import PresenceViews
from homeserver.services.rooms.serials import Serials

A, B, C = (UserID(f"@{name}:example.org") for name in "abc")
HERE, GONE = Status("online"), Status("offline")


def views(most_statuses: int = 100, most_pairs: int = 100) -> tuple[Serials, PresenceViews]:
    serials = Serials()
    return serials, PresenceViews(serials, most_statuses, most_pairs)


def seen(shown: PresenceViews, watcher: UserID, serial: int = 0) -> list[UserID]:
    return [user_id for user_id, _ in shown.since(watcher, serial)]


def test_watchers_are_told_since_when_and_the_newest_first() -> None:
    serials, shown = views()
    shown.show(A, HERE, [A, B])
    between = serials.newest
    shown.show(B, HERE, [B])

    assert seen(shown, B) == [B, A]
    assert seen(shown, B, between) == [B]
    assert seen(shown, A, between) == []
    assert seen(shown, C) == []


def test_who_is_introduced_is_told_and_nobody_else_anew() -> None:
    serials, shown = views()
    shown.show(A, HERE, [A, B])
    before = serials.newest

    assert shown.introduce(A, [B, C]) == {C}

    assert seen(shown, C, before) == [A]
    assert seen(shown, B, before) == []


def test_offline_is_told_to_those_who_follow_and_not_to_those_who_begin() -> None:
    serials, shown = views()
    shown.show(A, HERE, [B])
    before = serials.newest
    shown.show(A, GONE, [B])

    assert shown.since(B, before) == [(A, GONE)]
    assert shown.since(B, 0) == []
    assert shown.introduce(A, [C]) == set()


def test_who_parts_sees_and_is_seen_by_nobody_else() -> None:
    _, shown = views()
    for one in (A, B, C):
        shown.show(one, HERE, [A, B, C])

    assert shown.part(A) == {B, C}

    assert seen(shown, A) == [A]
    assert seen(shown, B) == seen(shown, C) == [C, B]


def test_beyond_their_number_the_oldest_are_forgotten() -> None:
    _, few = views(most_statuses=1)
    _, narrow = views(most_pairs=3)
    for shown in (few, narrow):
        shown.show(A, HERE, [A, B])
        shown.show(B, HERE, [A, B])

        assert (len(shown), seen(shown, A), shown.find(A)) == (1, [B], None)


PEOPLE = st.sampled_from([A, B, C])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("show"), PEOPLE, st.sets(PEOPLE), st.sampled_from([HERE, GONE])),
        st.tuples(st.just("introduce"), PEOPLE, st.sets(PEOPLE), st.none()),
        st.tuples(st.just("part"), PEOPLE, st.just(set[UserID]()), st.none()),
    ),
    max_size=30,
)


@given(STEPS, st.integers(1, 3), st.integers(1, 9))
def test_whatever_happens_a_watcher_who_follows_has_what_one_who_begins_is_told(
    steps: list[tuple[str, UserID, set[UserID], Status | None]], most_statuses: int, most_pairs: int
) -> None:
    serials, shown = views(most_statuses, most_pairs)
    since = 0
    known: dict[UserID, Status] = {}
    for kind, user_id, watchers, status in steps:
        if kind == "show" and status is not None:
            shown.show(user_id, status, watchers)
        elif kind == "introduce":
            shown.introduce(user_id, watchers)
        else:
            shown.part(user_id)
        if serials.newest > since:
            known.update(shown.since(A, since) if since else shown.since(A, 0))
            since = serials.newest

    # Of those whom A sees no more, or who were forgotten, A keeps what was told last.
    now = dict(shown.since(A, 0))
    assert now.items() <= known.items()
    assert len(shown) <= most_statuses
