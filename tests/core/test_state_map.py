"""The state map against a dict, its partial maps, its verification, and what it stores per change."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core import state_map
from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import EventID
from homeserver.core.state_map import EMPTY_ROOT, EMPTY_SUBTREE, UNKNOWN_ROOT, Absence, Nodes, StateKey, UnknownState
from homeserver.core.state_nodes import (
    OPEN,
    SHAPE,
    TYPES,
    BadNode,
    Branch,
    HashedEventID,
    Leaf,
    Node,
    Shape,
    check_value,
    child_digests,
    decode,
    decode_value,
    digest_of,
    encode,
    encode_value,
)
from homeserver.core.state_verification import Fault, Position, verify
from tests.conftest import examples

P = ParamSpec("P")
T = TypeVar("T")
Model = dict[StateKey, EventID]

# The third is so flat that its deepest leaves hold keys of which all the bits that it looks at are equal.
SHAPES = st.sampled_from((SHAPE, Shape(1, 1, 64), Shape(1, 2, 3), Shape(3, 2, 21)))
EVENT_TYPES = st.sampled_from(("m.room.member", "m.room.name", "a", "b", "c", "d", "e", "f", "é"))
KEYS = st.tuples(EVENT_TYPES, st.text(max_size=2) | st.sampled_from(("", "@alice:example.org", "k" * 200)))


def event_id(seed: object) -> EventID:
    digest = hashlib.sha256(repr(seed).encode()).digest()
    return EventID("$" + base64.urlsafe_b64encode(digest).decode().rstrip("="))


EVENT_IDS = st.integers(0, 30).map(event_id) | st.sampled_from(
    (EventID("$1:example.org"), EventID("$" + "+/a" * 14 + "A"))
)
MODELS = st.dictionaries(KEYS, EVENT_IDS, max_size=40)
CHANGES = st.dictionaries(KEYS, st.none() | EVENT_IDS, max_size=12)


class Store:
    """Nodes as bytes; a question starts with none of them and loads what it turns out to need."""

    def __init__(self, shape: Shape = SHAPE) -> None:
        self.shape = shape
        self.bodies: dict[bytes, bytes] = {}
        self.rounds = 0
        self.loaded: dict[bytes, Node] = {}

    def ask(self, question: Callable[Concatenate[Nodes, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.rounds, self.loaded = 0, {}
        while True:
            try:
                return question(self.loaded.get, *args, **kwargs)
            except MissingNodes as lacking:
                missing = lacking.digests - self.loaded.keys()
            assert missing, "it asks for what it was given"
            self.rounds += 1
            self.loaded |= {digest: decode(self.bodies[digest], self.shape) for digest in missing}

    def update(self, root: bytes, changes: Mapping[StateKey, EventID | HashedEventID | None]) -> bytes:
        updated = self.ask(state_map.update, root, changes, shape=self.shape)
        assert {digest: encode(node) for digest, node in updated.parsed.items()} == updated.new_nodes
        self.bodies.update(updated.new_nodes)
        return updated.root

    def leave_open(self, root: bytes, event_types: Iterable[str]) -> bytes:
        updated = self.ask(state_map.leave_open, root, event_types, shape=self.shape)
        self.bodies.update(updated.new_nodes)
        return updated.root

    def get(self, root: bytes, key: StateKey) -> EventID | None:
        return self.ask(state_map.get, root, *key, shape=self.shape)

    def lookup(self, root: bytes, key: StateKey) -> EventID | Absence:
        return self.ask(state_map.lookup, root, *key, shape=self.shape)

    def items(self, root: bytes) -> Model:
        entries = list(self.ask(state_map.items, root))
        assert len(entries) == len(dict(entries))
        return dict(entries)

    def verify(self, root: bytes, passed: set[Position] | None = None) -> Fault | None:
        return verify(self.bodies.get, root, passed=passed, shape=self.shape)

    def put(self, node: Node) -> bytes:
        """Store a node as it is, right or wrong."""
        body = encode(node)
        self.bodies[digest_of(body)] = body
        return digest_of(body)


def changed(model: Model, changes: Mapping[StateKey, EventID | None]) -> Model:
    merged = {**model, **changes}
    return {key: event for key, event in merged.items() if event is not None}


def nothing(digest: bytes) -> Node | None:
    return None


def members(count: int) -> Model:
    return {("m.room.member", f"@user{number}:example.org"): event_id(number) for number in range(count)}


ROOM = {(event_type, ""): event_id(event_type) for event_type in ("m.room.create", "m.room.name", "m.room.topic", "x")}


# --- Against a dict ---


@given(SHAPES, MODELS, st.lists(CHANGES, max_size=4))
def test_a_map_that_was_changed_answers_as_a_dict_does(
    shape: Shape, model: Model, batches: list[dict[StateKey, EventID | None]]
) -> None:
    store = Store(shape)
    root = store.update(EMPTY_ROOT, model)

    for changes in batches:
        root, model = store.update(root, changes), changed(model, changes)

        assert store.items(root) == model
        keys = {*model, *changes, ("m.room.member", "nobody"), ("no such type", "")}
        assert {key: store.get(root, key) for key in keys} == {key: model.get(key) for key in keys}
        assert store.ask(state_map.get_many, root, keys, shape=shape) == model
        names = {event_type for event_type, _ in model}
        assert store.ask(state_map.types, root) == sorted(names)
        for name in {*names, "no such type"}:
            of_type = {key: event for key, event in model.items() if key[0] == name}
            assert dict(store.ask(state_map.items_of_type, root, name, shape=shape)) == of_type
            assert store.ask(state_map.count_of_type, root, name, shape=shape) == len(of_type)
        assert store.ask(state_map.count_known, root) == len(model)
        assert store.verify(root) is None


@given(SHAPES, MODELS, CHANGES, st.randoms(use_true_random=False))
def test_equal_maps_have_equal_roots_however_they_came_about(
    shape: Shape, model: Model, detour: dict[StateKey, EventID | None], random: Random
) -> None:
    at_once, one_by_one = Store(shape), Store(shape)
    keys = list(model)
    random.shuffle(keys)

    root = one_by_one.update(EMPTY_ROOT, detour)
    for key in keys:
        root = one_by_one.update(root, {key: model[key]})
    for key in detour.keys() - model.keys():
        root = one_by_one.update(root, {key: None})

    assert root == at_once.update(EMPTY_ROOT, model)
    assert one_by_one.ask(state_map.reachable, [root]) == at_once.bodies.keys()


@given(SHAPES, MODELS, CHANGES)
def test_a_difference_is_that_of_two_dicts(shape: Shape, model: Model, changes: dict[StateKey, EventID | None]) -> None:
    store = Store(shape)
    after = changed(model, changes)
    a, b = store.update(EMPTY_ROOT, model), store.update(EMPTY_ROOT, after)
    expected = {key: (model.get(key), after.get(key)) for key in model | after if model.get(key) != after.get(key)}

    found = store.ask(state_map.difference, a, b, shape=shape)

    assert found == expected
    assert (a == b) == (not expected)
    for name in ("m.room.member", "m.room.name", "no such type"):
        of_type = store.ask(state_map.difference, a, b, name, shape=shape)
        assert of_type == {key: pair for key, pair in expected.items() if key[0] == name}


@given(SHAPES, MODELS, st.lists(CHANGES, min_size=1, max_size=5), st.data())
def test_after_a_collection_the_kept_roots_are_whole_and_nothing_else_is_left(
    shape: Shape, model: Model, batches: list[dict[StateKey, EventID | None]], data: st.DataObject
) -> None:
    store = Store(shape)
    maps = [(store.update(EMPTY_ROOT, model), model)]
    for changes in batches:
        maps.append((store.update(maps[-1][0], changes), changed(maps[-1][1], changes)))
    kept = data.draw(st.lists(st.sampled_from(maps)))

    reached = store.ask(state_map.reachable, [root for root, _ in kept])
    store.bodies = {digest: store.bodies[digest] for digest in reached}

    assert all(store.items(root) == entries for root, entries in kept)
    for digest in reached:
        rest = {other: body for other, body in store.bodies.items() if other != digest}
        assert any(verify(rest.get, root, shape=shape) == Fault(digest, "it is missing") for root, _ in kept)


@given(MODELS, CHANGES)
def test_the_root_of_a_type_changes_with_its_entries_alone(
    model: Model, changes: dict[StateKey, EventID | None]
) -> None:
    store = Store()
    a = store.update(EMPTY_ROOT, model)
    b = store.update(a, changes)

    for name in ("m.room.member", "m.room.name", "a"):
        before = store.ask(state_map.subtree_root, a, name)
        after = store.ask(state_map.subtree_root, b, name)
        assert (before == after) == (not store.ask(state_map.difference, a, b, name))
        assert (after == EMPTY_SUBTREE) == (store.ask(state_map.count_of_type, b, name) == 0)


def test_a_change_that_changes_nothing_makes_no_nodes() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | members(50))

    changes: dict[StateKey, EventID | None] = {**members(3), ("m.room.member", "nobody"): None, ("no", "type"): None}
    updated = store.ask(state_map.update, root, changes)

    assert updated.root == root
    assert not updated.new_nodes


def test_nodes_of_an_update_can_be_read_before_they_are_stored() -> None:
    first = state_map.update(nothing, EMPTY_ROOT, members(100))

    nodes = state_map.layered(nothing, first.parsed)
    second = state_map.update(nodes, first.root, ROOM)
    both = state_map.layered(nothing, first.parsed, second.parsed)

    assert dict(state_map.items(both, second.root)) == ROOM | members(100)


# --- The form is for ever ---


def test_the_root_of_a_known_map_is_what_it_has_always_been() -> None:
    store = Store()

    small, large = store.update(EMPTY_ROOT, ROOM), store.update(EMPTY_ROOT, ROOM | members(100))

    assert EMPTY_ROOT.hex() == "f299791cddd3d6664f6670842812ef6053eb6501bd6282a476bbbf3ee91e750c"
    assert small.hex() == "82a6bcef8a20efd3dc042b59966f048425a3c473a7b01ba20bc9cdbe1b7a5179"
    assert large.hex() == "5251c1f2f4b005efae8736e98796073cb2c8d8b6c48ec2c3a675617b274f508c"


def test_equal_entries_in_tries_of_different_kinds_have_different_digests() -> None:
    entries = {"": encode_value(event_id(1))}

    digests = {digest_of(encode(Leaf(flags, entries))) for flags in (0, TYPES, OPEN, TYPES | OPEN)}
    digests |= {digest_of(encode(Branch(flags, 7, (b"d" * 32,) * 4))) for flags in (0, TYPES, OPEN, TYPES | OPEN)}

    assert len(digests) == 8


@given(EVENT_IDS | st.text(max_size=60).map(EventID) | st.from_regex(r"\A\$[A-Za-z0-9_+/-]{43}\Z").map(EventID))
def test_every_event_id_comes_back_from_its_value(event: EventID) -> None:
    hashed = HashedEventID(event, b"h" * 32)

    assert decode_value(encode_value(event)) == event
    assert decode_value(encode_value(hashed)) == event
    assert encode_value(event) != encode_value(hashed)
    check_value(encode_value(event))
    check_value(encode_value(hashed))


def test_an_event_id_that_is_a_hash_takes_the_room_of_the_hash() -> None:
    standard = EventID("$" + base64.b64encode(hashlib.sha256(b"3").digest()).decode().rstrip("="))

    assert [len(encode_value(event)) for event in (event_id(1), standard)] == [33, 33]


def test_in_old_rooms_the_reference_hash_is_part_of_the_root() -> None:
    store, key = Store(), ("m.room.name", "")

    roots = {store.update(EMPTY_ROOT, {key: HashedEventID(EventID("$1:a"), hash_)}) for hash_ in (b"x" * 32, b"y" * 32)}

    assert len(roots) == 2
    assert {store.get(root, key) for root in roots} == {"$1:a"}
    with pytest.raises(ValueError, match="32 bytes"):
        encode_value(HashedEventID(EventID("$1:a"), b"short"))


# --- What a change costs ---


def test_a_change_among_ten_thousand_members_stores_little() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | members(10_000))
    stored: list[int] = []

    for number in range(0, 10_000, 100):
        key = ("m.room.member", f"@user{number}:example.org")
        updated = store.ask(state_map.update, root, {key: event_id((key, "again"))})
        stored.append(sum(map(len, updated.new_nodes.values())))
        assert len(updated.new_nodes) <= 13
        assert len(store.loaded) == store.rounds <= 13

    assert sum(stored) / len(stored) < 1_400
    assert max(stored) < 2_000


def test_state_beside_ten_thousand_members_is_changed_without_reading_them() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | members(10_000))

    updated = store.ask(state_map.update, root, {("m.room.topic", ""): event_id("new")})

    assert len(store.loaded) <= 3
    assert sum(map(len, updated.new_nodes.values())) < 400


def test_a_whole_state_is_read_in_as_many_rounds_as_it_has_levels() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | members(10_000))

    assert len(store.items(root)) == 10_004
    assert store.rounds <= 13
    assert len(store.loaded) == len(store.bodies)


def test_a_difference_reads_the_paths_that_differ() -> None:
    store = Store()
    a = store.update(EMPTY_ROOT, ROOM | members(10_000))
    b = store.update(a, {("m.room.member", "@user7:example.org"): None, ("m.room.topic", ""): event_id("new")})

    found = store.ask(state_map.difference, a, b)

    assert found == {
        ("m.room.member", "@user7:example.org"): (event_id(7), None),
        ("m.room.topic", ""): (event_id("m.room.topic"), event_id("new")),
    }
    assert len(store.loaded) <= 30


def test_many_keys_of_a_cold_map_are_read_in_few_rounds() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | members(1_000))
    keys = list(members(100))

    assert store.ask(state_map.get_many, root, keys) == members(100)
    assert store.rounds <= 10


def test_ten_thousand_types_cost_as_little_as_ten_thousand_members() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, {(f"type{number}", ""): event_id(number) for number in range(10_000)})

    updated = store.ask(state_map.update, root, {("type77", ""): event_id("new")})

    assert len(updated.new_nodes) <= 13
    assert sum(map(len, updated.new_nodes.values())) < 2_000


def test_a_long_state_key_is_not_copied_by_changes_of_other_types() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, ROOM | {("long", "k" * 60_000): event_id("long")})

    updated = store.ask(state_map.update, root, {("m.room.topic", ""): event_id("new")})

    assert sum(map(len, updated.new_nodes.values())) < 700


def test_keys_that_collide_in_every_bit_share_the_deepest_leaf() -> None:
    store = Store(Shape(slot_bits=1, leaf_entries=2, depth=2))

    root = store.update(EMPTY_ROOT, members(500))
    deepest = [node for node in map(decode_any, store.bodies.values()) if isinstance(node, Leaf) and not node.flags]

    assert len(deepest) == 4
    assert store.items(root) == members(500)
    assert store.verify(root) is None
    assert store.update(root, dict.fromkeys(members(500))) == EMPTY_ROOT


def decode_any(body: bytes) -> Node:
    return decode(body, Shape(slot_bits=1, leaf_entries=2, depth=2))


# --- Partial maps ---


@given(SHAPES, MODELS, st.frozensets(EVENT_TYPES, max_size=3), CHANGES)
def test_an_open_type_knows_what_it_was_told_and_nothing_else(
    shape: Shape, model: Model, partial: frozenset[str], changes: dict[StateKey, EventID | None]
) -> None:
    store = Store(shape)
    root = store.leave_open(store.update(EMPTY_ROOT, model), partial)

    root = store.update(root, changes)

    told: dict[StateKey, EventID | None] = {**model, **changes}
    for key in {*told, ("m.room.member", "nobody"), ("a", "nobody")}:
        unknown = key[0] in partial and key not in told
        expected = Absence.UNKNOWN if unknown else told.get(key) or Absence.ABSENT
        assert store.lookup(root, key) == expected
    assert store.items(root) == changed(model, changes)
    assert store.ask(state_map.open_types, root) == partial
    assert store.verify(root) is None


@given(SHAPES, MODELS, CHANGES)
def test_a_map_of_which_nothing_is_known_learns(
    shape: Shape, model: Model, changes: dict[StateKey, EventID | None]
) -> None:
    store = Store(shape)

    root = store.update(store.update(UNKNOWN_ROOT, model), changes)

    told: dict[StateKey, EventID | None] = {**model, **changes}
    assert {key: store.lookup(root, key) for key in told} == {
        key: event or Absence.ABSENT for key, event in told.items()
    }
    assert store.lookup(root, ("m.room.member", "nobody")) is Absence.UNKNOWN
    assert store.lookup(root, ("never heard of", "")) is Absence.UNKNOWN
    assert store.ask(state_map.is_open, root)
    assert store.verify(root) is None


@given(SHAPES, MODELS, MODELS)
def test_a_partial_map_depends_on_what_it_knows_alone(shape: Shape, some: Model, more: Model) -> None:
    store = Store(shape)

    first = store.update(store.leave_open(store.update(EMPTY_ROOT, some), ["m.room.member", "a"]), more)
    other = store.leave_open(store.update(EMPTY_ROOT, {**some, **more}), ["a", "m.room.member"])

    assert first == other
    assert first != store.update(EMPTY_ROOT, {**some, **more})


def test_get_refuses_to_call_unknown_what_may_be_there() -> None:
    store = Store()
    root = store.leave_open(store.update(EMPTY_ROOT, ROOM), ["m.room.member"])

    with pytest.raises(UnknownState):
        store.get(root, ("m.room.member", "@alice:example.org"))
    with pytest.raises(UnknownState):
        store.ask(state_map.get_many, root, members(1))
    with pytest.raises(UnknownState):
        store.ask(state_map.count_of_type, root, "m.room.member")
    assert store.get(root, ("m.room.avatar", "")) is None


def test_when_the_whole_state_arrives_the_difference_is_what_was_not_known() -> None:
    store = Store()
    partial = store.leave_open(store.update(EMPTY_ROOT, ROOM | members(3)), ["m.room.member"])

    whole = store.update(EMPTY_ROOT, ROOM | members(40))
    found = store.ask(state_map.difference, partial, whole)

    assert found == {key: (None, event) for key, event in members(40).items() if key not in members(3)}


@given(MODELS, CHANGES, st.data())
def test_of_a_map_that_came_in_part_what_is_known_is_right(
    model: Model, changes: dict[StateKey, EventID | None], data: st.DataObject
) -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, model | members(30))
    withheld = data.draw(st.frozensets(st.sampled_from(sorted(store.bodies)), max_size=5))
    known = {digest: decode(body) for digest, body in store.bodies.items() if digest not in withheld}
    nodes = state_map.partial_nodes(known.get)

    for key in {**model, **members(30), **changes}:
        assert state_map.lookup(nodes, root, *key) in (Absence.UNKNOWN, store.lookup(root, key))
    try:
        updated = state_map.update(nodes, root, changes)
    except UnknownState:
        assert withheld
    else:
        assert updated.root == store.update(root, changes)


def test_a_known_path_of_a_map_that_came_in_part_can_be_changed() -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, members(1_000))
    key = ("m.room.member", "@user5:example.org")
    store.get(root, key)
    nodes = state_map.partial_nodes(store.loaded.get)

    updated = state_map.update(nodes, root, {key: event_id("new")})

    assert updated.root == store.update(root, {key: event_id("new")})
    assert state_map.lookup(nodes, root, "m.room.member", "@user6:example.org") is Absence.UNKNOWN
    with pytest.raises(UnknownState):
        list(state_map.items(nodes, root))


# --- Verification ---


@settings(max_examples=examples(60))
@given(SHAPES, MODELS, st.data())
def test_a_flipped_bit_is_found_where_it_is(shape: Shape, model: Model, data: st.DataObject) -> None:
    store = Store(shape)
    root = store.update(EMPTY_ROOT, model | {("x", "y"): event_id(1)})
    digest = data.draw(st.sampled_from(sorted(store.bodies)))
    body = bytearray(store.bodies[digest])
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    store.bodies[digest] = bytes(body)

    assert store.verify(root) == Fault(digest, "its content has another digest")


@given(st.binary(max_size=120))
def test_bytes_that_are_no_node_are_refused(body: bytes) -> None:
    for start in (b"", b"\x10", b"\x11", b"\x12"):
        try:
            node = decode(start + body)
        except BadNode:
            continue
        assert isinstance(node, (Branch, Leaf))


def state_leaf(count: int) -> Leaf:
    return Leaf(0, {f"key{number}": encode_value(event_id(number)) for number in range(count)})


def type_leaf(slot: bytes) -> Leaf:
    return Leaf(TYPES, {"some type": slot})


def branch_of(store: Store, entries: int) -> Branch:
    """The branch at the top of a type's trie, its children stored."""
    keys = {("t", f"key{number}"): event_id(number) for number in range(entries)}
    root = store.update(EMPTY_ROOT, keys)
    node = decode(store.bodies[store.ask(state_map.subtree_root, root, "t")])
    assert isinstance(node, Branch)
    return node


def lopsided(store: Store) -> Branch:
    node = branch_of(store, 8)
    return node._replace(children=node.children[::-1])


WRONG_SUBTREES: dict[str, Callable[[Store], Node]] = {
    "it is a leaf with so many entries that it ought to be a branch": lambda store: state_leaf(7),
    "it is the subtree of a type without entries": lambda store: Leaf(0, {}),
    "it belongs to another kind of trie": lambda store: Leaf(OPEN, state_leaf(2).entries),
    "its subtree has one entry, which ought to stand in its slot": lambda store: state_leaf(1),
    "it announces 9 entries and has 8": lambda store: branch_of(store, 8)._replace(total=9),
    "it is a branch with so few entries": lambda store: branch_of(store, 8)._replace(total=6),
    "does not belong into it": lopsided,
    "a value does not name an event": lambda store: Leaf(0, {"a": b"\xff", "b": b""}),
    "has no value": lambda store: Leaf(0, {"a": b"", "b": encode_value(event_id(1))}),
    "not written in its canonical form": lambda store: Leaf(0, {"a": b"\0" + event_id(1).encode(), "b": b"\0$"}),
}


@pytest.mark.parametrize("reason", WRONG_SUBTREES)
def test_a_map_in_another_form_than_the_canonical_is_found(reason: str) -> None:
    store = Store()
    subtree = store.put(WRONG_SUBTREES[reason](store))

    fault = store.verify(store.put(type_leaf(b"\0" + subtree)))

    assert fault is not None
    assert reason in fault.reason


def test_entries_out_of_order_are_found() -> None:
    store = Store()
    a, b = (encode(Leaf(0, {key: encode_value(event_id(1))}))[1:] for key in "ab")
    body = b"\x10" + b + a
    store.bodies[digest_of(body)] = body

    fault = store.verify(store.put(type_leaf(b"\0" + digest_of(body))))

    assert fault == Fault(digest_of(body), "its entries are not in order")


def test_a_slot_that_names_nothing_is_found() -> None:
    store = Store()

    fault = store.verify(store.put(type_leaf(b"\0too short")))

    assert fault is not None
    assert fault.reason == "the key 'some type': a type's slot names no subtree"


def test_branches_deeper_than_branches_go_are_found() -> None:
    shape = Shape(slot_bits=2, leaf_entries=1, depth=2)
    store = Store(shape)
    node: Node = Leaf(0, {"a": encode_value(event_id(1))})
    for _ in range(4):
        node = Branch(0, 2, (store.put(node), b"", b"", b""))

    fault = store.verify(store.put(type_leaf(b"\0" + store.put(node))))

    assert fault is not None
    assert fault.reason == "it is a branch deeper than branches go"


def test_what_has_passed_once_is_not_verified_again() -> None:
    store = Store()
    a = store.update(EMPTY_ROOT, ROOM | members(300))
    b = store.update(a, {("m.room.member", "@user7:example.org"): event_id("new")})
    passed: set[Position] = set()
    asked: list[bytes] = []

    def body_of(digest: bytes) -> bytes | None:
        asked.append(digest)
        return store.bodies.get(digest)

    assert verify(body_of, a, passed=passed) is None
    asked.clear()

    assert verify(body_of, b, passed=passed) is None
    assert len(set(asked)) <= 30


@given(MODELS)
def test_a_node_names_its_children_without_being_decoded(model: Model) -> None:
    store = Store()
    root = store.update(EMPTY_ROOT, model | members(20))
    reached, level = {root}, [root]

    while level:
        level = [child for digest in level for child in child_digests(store.bodies[digest])]
        reached.update(level)

    assert reached == store.bodies.keys()
