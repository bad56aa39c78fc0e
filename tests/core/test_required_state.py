"""What pairs of required state mean, and which of two ask for more."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.identifiers import UserID
from homeserver.core.required_state import LAZY_MEMBERS, RequiredState, required_state

ALICE = UserID("@alice:example.org")
TYPES = ("m.room.name", "m.room.member", "m.space.child")
KEYS = ("", str(ALICE), "@bob:example.org")

pairs = st.tuples(st.sampled_from((*TYPES, "*")), st.sampled_from((*KEYS, "*"))) | st.just(LAZY_MEMBERS)
states = st.frozensets(pairs, max_size=4).map(RequiredState)
EVERY_KEY = [(event_type, key) for event_type in (*TYPES, "org.example.other") for key in (*KEYS, "other")]


def wanted(required: RequiredState) -> set[tuple[str, str]]:
    return {key for key in EVERY_KEY if required.wants(*key)}


def test_pairs_are_wild_in_type_or_key_or_both() -> None:
    assert required_state([("m.room.name", "")], ALICE).wants("m.room.name", "")
    assert not required_state([("m.room.name", "")], ALICE).wants("m.room.name", "x")
    assert required_state([("m.space.child", "*")], ALICE).wants("m.space.child", "!room")
    assert required_state([("*", "x")], ALICE).wants("m.anything", "x")
    assert required_state([("*", "*")], ALICE).wants("m.room.member", "@bob:example.org")


def test_me_is_who_asks() -> None:
    required = required_state([("m.room.member", "$ME")], ALICE)

    assert required.wants("m.room.member", ALICE)
    assert not required.wants("m.room.member", "@bob:example.org")


def test_who_loads_members_lazily_means_others_by_what_is_wild_in_its_type() -> None:
    lazy = required_state([("*", "*"), LAZY_MEMBERS, ("m.room.member", "$ME")], ALICE)

    assert lazy.is_lazy
    assert not lazy.wants_all_members
    assert lazy.wants("m.room.name", "")
    assert lazy.wants("m.room.member", ALICE)
    assert not lazy.wants("m.room.member", "@bob:example.org")
    assert required_state([("*", "*")], ALICE).wants_all_members
    assert required_state([("m.room.member", "*"), LAZY_MEMBERS], ALICE).wants_all_members


@given(states, states)
def test_two_together_ask_for_what_either_asks_for(one: RequiredState, other: RequiredState) -> None:
    both = one.with_pairs_of(other)

    assert wanted(both) == wanted(one) | wanted(other)
    assert both.is_lazy == (one.is_lazy or other.is_lazy)
    assert both.covers(one)
    assert both.covers(other)


@given(states, states)
def test_what_covers_another_asks_for_all_that_it_asks_for(one: RequiredState, other: RequiredState) -> None:
    if one.covers(other):
        assert wanted(one) >= wanted(other)
        assert one.is_lazy >= other.is_lazy


@given(states)
def test_everything_covers_itself(one: RequiredState) -> None:
    assert one.covers(one)
