"""Replacing rooms: what the new room has, what becomes of the old one, who may, and what is said twice."""

import itertools
from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomAlias, RoomID, UserID
from homeserver.core.room_upgrades import TRANSFERRED_TYPES
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, UnsupportedVersion
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.services.rooms.upgrades import Followers, RoomUpgrades, Upgrade
from homeserver.storage.database import Conflict, Transaction
from tests.durability.audit import audit
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

NAMES = tuple(ROOM_VERSIONS)
MEMBER = "m.room.member"
PAIRS = sorted(
    {(old, "12") for old in NAMES}
    | {("12", new) for new in NAMES}
    | set(itertools.pairwise(NAMES))
    | {("1", "6"), ("5", "10"), ("6", "1"), ("9", "11"), ("10", "7"), ("11", "9"), ("10", "10"), ("2", "1")},
    key=lambda pair: (int(pair[0]), int(pair[1])),
)


def upgrade(
    world: World, room_id: RoomID, version: str, user_id: UserID = ALICE, creators: tuple[str, ...] = ()
) -> Any:
    return now(world.upgrades.upgrade(user_id, room_id, version, creators))


def state_of(world: World, room_id: RoomID) -> dict[tuple[str, str], Any]:
    """The contents of the room's state."""

    def read(tx: Transaction) -> dict[tuple[str, str], Any]:
        write = world.writer.open(tx, room_id)
        assert write is not None
        return {
            (stored.event.type, stored.event.state_key or ""): stored.event.content
            for stored in world.states.whole(tx, room_id, write.root)
        }

    return world.sync_database.read(read)


def set_state(world: World, room_id: RoomID, event_type: str, content: dict[str, Any], state_key: str = "") -> None:
    now(world.sending.set_state(ALICE, room_id, event_type, state_key, content))


def busy_room(world: World, version: str, **wishes: Any) -> RoomID:
    """A room with something of everything that goes with it, and something that does not."""
    room_id = world.create_room(
        ALICE,
        room_version=version,
        preset="public_chat",
        name="Dovecote",
        topic="Pigeons",
        alias_localpart="dovecote",
        is_public=True,
        initial_state=[
            InitialState("m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"}),
            InitialState("m.room.avatar", "", {"url": "mxc://example.org/dove"}),
            InitialState("m.room.server_acl", "", {"allow": ["*"], "deny": ["evil.example"]}),
            InitialState("m.space.parent", "!space:example.org", {"via": ["example.org"]}),
            InitialState("org.example.own", "", {"mine": True}),
            InitialState("m.room.pinned_events", "", {"pinned": ["$old"]}),
        ],
        **wishes,
    )
    world.join(BOB, room_id)
    world.join(CAROL, room_id)
    now(world.membership.ban(ALICE, room_id, CAROL, "coos too loudly"))
    return room_id


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_what_a_room_is_goes_from_each_version_to_each_other(world: World, old: str, new: str) -> None:
    room_id = busy_room(world, old)
    before = state_of(world, room_id)

    replacement = upgrade(world, room_id, new)

    after = state_of(world, replacement)
    for event_type in (*TRANSFERRED_TYPES, "m.room.canonical_alias"):
        assert after.get((event_type, "")) == before.get((event_type, "")), event_type
    assert after["m.space.parent", "!space:example.org"] == {"via": ["example.org"]}
    assert after["m.room.member", CAROL] == {"membership": "ban", "reason": "coos too loudly"}
    assert {key for kind, key in after if kind == "m.room.member"} == {ALICE, CAROL}
    assert ("org.example.own", "") not in after
    assert ("m.room.pinned_events", "") not in after
    create = after["m.room.create", ""]
    assert create["room_version"] == new
    assert create["predecessor"]["room_id"] == room_id
    assert ("event_id" in create["predecessor"]) == (new != "12")
    old_state = state_of(world, room_id)
    assert old_state["m.room.tombstone", ""]["replacement_room"] == replacement
    assert old_state["m.room.power_levels", ""]["events_default"] == 50
    assert old_state["m.room.canonical_alias", ""] == {}
    assert world.sync_database.read(audit) == []


@pytest.mark.parametrize(("old", "new"), [("6", "12"), ("12", "6"), ("11", "11"), ("12", "12"), ("1", "2")])
def test_power_goes_with_a_room(world: World, old: str, new: str) -> None:
    room_id = world.create_room(ALICE, room_version=old, preset="public_chat", power_levels={"kick": 60})
    levels = {**state_of(world, room_id)["m.room.power_levels", ""]}
    levels["users"] = {**levels["users"], BOB: 70}
    set_state(world, room_id, "m.room.power_levels", levels)

    replacement = upgrade(world, room_id, new)

    after = state_of(world, replacement)["m.room.power_levels", ""]
    assert after["kick"] == 60
    alice = {} if new == "12" else {ALICE: 150 if old == "12" else 100}
    assert after["users"] == {BOB: 70, **alice}
    assert after["events"]["m.room.tombstone"] == (150 if "12" in (old, new) else 100)
    set_state(world, replacement, "m.room.power_levels", {**after, "kick": 61})


def test_a_moderator_who_may_replace_the_room_stays_one_where_creators_are_no_more(world: World) -> None:
    levels = {"users": {ALICE: 100, BOB: 50}, "events": {"m.room.tombstone": 50}, "state_default": 100, "ban": 100}
    room_id = world.create_room(ALICE, room_version="10", preset="public_chat", power_levels=levels)
    world.join(BOB, room_id)

    replacement = upgrade(world, room_id, "11", BOB)

    after = state_of(world, replacement)
    assert after["m.room.power_levels", ""]["users"] == {ALICE: 100, BOB: 50}
    assert after["m.room.join_rules", ""] == {"join_rule": "public"}
    old = state_of(world, room_id)
    assert old["m.room.tombstone", ""]["replacement_room"] == replacement
    assert old["m.room.power_levels", ""]["events_default"] == 0  # that was not Bob's to change


def test_ordinary_members_can_speak_and_invite_no_more_in_the_old_room(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", power_levels={"users_default": 60})
    world.join(BOB, room_id)

    upgrade(world, room_id, "12")

    levels = state_of(world, room_id)["m.room.power_levels", ""]
    assert (levels["events_default"], levels["invite"]) == (61, 61)
    with pytest.raises(AuthRejected):
        world.send(BOB, room_id)
    world.send(ALICE, room_id)


def test_additional_creators_are_those_that_are_named(world: World) -> None:
    room_id = world.create_room(
        ALICE, creation_content={"additional_creators": [CAROL]}, power_levels={"users": {BOB: 50}}
    )

    replacement = upgrade(world, room_id, "12", creators=(BOB, ALICE, BOB))

    after = state_of(world, replacement)
    assert after["m.room.create", ""]["additional_creators"] == [BOB]
    assert after["m.room.power_levels", ""]["users"] == {CAROL: 100}


def test_additional_creators_mean_nothing_to_older_versions(world: World) -> None:
    room_id = world.create_room(ALICE, room_version="10")

    replacement = upgrade(world, room_id, "11", creators=("not a user",))

    assert "additional_creators" not in state_of(world, replacement)["m.room.create", ""]


def test_a_banned_user_who_is_made_a_creator_is_not_banned_there(world: World) -> None:
    room_id = busy_room(world, "11")

    replacement = upgrade(world, room_id, "12", creators=(CAROL,))

    assert ("m.room.member", CAROL) not in state_of(world, replacement)


def test_a_space_keeps_its_rooms_and_a_closed_room_stays_closed(world: World) -> None:
    content = {"type": "m.space", "m.federate": False}
    children = [
        InitialState("m.space.child", f"!child{number}:example.org", {"via": [SERVER], "order": str(number)})
        for number in range(3)
    ]
    gone = InitialState("m.space.child", "!gone:example.org", {})
    room_id = world.create_room(ALICE, creation_content=content, initial_state=[*children, gone])

    replacement = upgrade(world, room_id, "11")

    after = state_of(world, replacement)
    assert (after["m.room.create", ""]["type"], after["m.room.create", ""]["m.federate"]) == ("m.space", False)
    assert {key for kind, key in after if kind == "m.space.child"} == {child.state_key for child in children}


def test_a_join_rule_that_the_new_version_does_not_know_becomes_a_stricter_one(world: World) -> None:
    allow = [{"type": "m.room_membership", "room_id": "!space:example.org"}]
    rule = InitialState("m.room.join_rules", "", {"join_rule": "knock_restricted", "allow": allow})
    found = {}

    for version in ("12", "10", "9", "7", "6"):
        room_id = world.create_room(ALICE, initial_state=[rule])
        replacement = upgrade(world, room_id, version)
        found[version] = state_of(world, replacement)["m.room.join_rules", ""]["join_rule"]

    assert found == {"12": "knock_restricted", "10": "knock_restricted", "9": "restricted", "7": "knock", "6": "invite"}


def test_what_the_new_version_cannot_carry_stays_behind(world: World) -> None:
    weird = [
        InitialState("m.room.avatar", "", {"url": "mxc://example.org/a", "info": {"w": 1.5}}),
        InitialState("m.room.guest_access", "", {"guest_access": "can_join", "n": 2**60}),
    ]
    levels = {"users": {ALICE: "100", BOB: 50.0}, "kick": " 51 ", "org.example": 0.5}
    room_id = world.create_room(ALICE, room_version="3", initial_state=weird, power_levels=levels)

    replacement = upgrade(world, room_id, "11")

    after = state_of(world, replacement)
    assert ("m.room.avatar", "") not in after
    assert ("m.room.guest_access", "") not in after
    assert after["m.room.power_levels", ""]["users"] == {ALICE: 100, BOB: 50}
    assert after["m.room.power_levels", ""]["kick"] == 51
    assert "org.example" not in after["m.room.power_levels", ""]


def test_aliases_and_the_place_in_the_directory_move(world: World) -> None:
    room_id = busy_room(world, "11")
    second = RoomAlias(f"#second:{SERVER}")
    now(world.aliases.create(BOB, second, room_id))
    elsewhere = "#dovecote:elsewhere.example"

    replacement = upgrade(world, room_id, "12")

    assert now(world.aliases.resolve(RoomAlias(f"#dovecote:{SERVER}")))[0] == replacement
    assert now(world.aliases.resolve(second))[0] == replacement
    assert now(world.directory.is_published(replacement))
    assert not now(world.directory.is_published(room_id))
    assert elsewhere not in str(state_of(world, replacement))


def test_a_room_that_is_not_in_the_directory_does_not_come_into_it(world: World) -> None:
    room_id = world.create_room(ALICE)

    replacement = upgrade(world, room_id, "12")

    assert not now(world.directory.is_published(replacement))


def test_an_upgrade_is_one_write(world: World) -> None:
    room_id = busy_room(world, "11")
    before = world.sync_database.counts.writes

    upgrade(world, room_id, "12")

    assert world.sync_database.counts.writes == before + 1


def test_the_same_request_again_leads_to_the_same_room(world: World) -> None:
    room_id = busy_room(world, "11")
    rooms = len(now(world.membership.joined_rooms(ALICE)))

    first = upgrade(world, room_id, "12")
    again = upgrade(world, room_id, "12")

    assert again == first
    assert len(now(world.membership.joined_rooms(ALICE))) == rooms + 1


def test_another_request_leads_to_another_room_with_a_tombstone_of_its_own(world: World) -> None:
    levels = {"users": {ALICE: 100, BOB: 100}}
    room_id = world.create_room(ALICE, room_version="10", preset="public_chat", power_levels=levels)
    world.join(BOB, room_id)
    first = upgrade(world, room_id, "11")

    by_another = upgrade(world, room_id, "11", BOB)
    to_another_version = upgrade(world, room_id, "12", BOB)
    with_another_creator = upgrade(world, room_id, "12", BOB, (ALICE,))

    assert len({first, by_another, to_another_version, with_another_creator}) == 4
    assert state_of(world, room_id)["m.room.tombstone", ""]["replacement_room"] == with_another_creator


def test_a_tombstone_that_somebody_made_up_is_not_believed(world: World) -> None:
    unrelated = world.create_room(ALICE)
    for made_up in (unrelated, "!none:example.org", "nonsense\0", 7):
        room_id = world.create_room(ALICE)
        set_state(world, room_id, "m.room.tombstone", {"body": "gone", "replacement_room": made_up})

        assert upgrade(world, room_id, "12") not in (unrelated, made_up)


def crowded_room(world: World) -> tuple[RoomID, list[UserID]]:
    """A room with bans, and who is banned."""
    room_id = world.create_room(ALICE, preset="public_chat")
    banned = [UserID(f"@banned{number}:{SERVER}") for number in range(8)]
    for user_id in banned:
        now(world.membership.ban(ALICE, room_id, user_id, None))
    return room_id, banned


def memberships_of(world: World, room_id: RoomID) -> dict[str, str]:
    return {key: said["membership"] for (kind, key), said in state_of(world, room_id).items() if kind == MEMBER}


def in_slices(world: World, per_write: int) -> RoomUpgrades:
    settings = RoomSettings(world.push_rules, world.news)
    return RoomUpgrades(world.database, world.event_creation, settings, world.randomness, SERVER, per_write)


def test_a_room_with_many_bans_and_members_is_replaced_in_slices(world: World) -> None:
    room_id, banned = crowded_room(world)
    members = [UserID(f"@member{number}:{SERVER}") for number in range(8)]
    for user_id in members:
        world.join(user_id, room_id)
        now(world.account_data.put_tag(user_id, user_id, room_id, "m.favourite", {}))

    replacement = now(in_slices(world, 3).upgrade(ALICE, room_id, "12"))

    assert memberships_of(world, replacement) == {ALICE: "join", **dict.fromkeys(banned, "ban")}
    for user_id in members:
        assert now(world.account_data.tags(user_id, user_id, replacement)) == {"m.favourite": {}}
    assert world.sync_database.read(audit) == []


def test_the_same_request_completes_an_upgrade_that_was_interrupted(world: World) -> None:
    room_id, banned = crowded_room(world)
    wish = Upgrade(ALICE, room_id, ROOM_VERSIONS["12"], ())
    some = Followers([(MEMBER, user_id) for user_id in banned[:2]], ())
    replacement, _ = now(world.event_creation.write(world.upgrades.replace, wish, some))
    now(world.membership.unban(ALICE, replacement, banned[0], None))

    again = now(in_slices(world, 2).upgrade(ALICE, room_id, "12"))

    assert again == replacement
    expected = {ALICE: "join", banned[0]: "leave", **dict.fromkeys(banned[1:], "ban")}
    assert memberships_of(world, again) == expected


def test_a_write_that_lost_a_race_leaves_one_new_room(world: World) -> None:
    room_id = world.create_room(ALICE)
    rooms = len(now(world.membership.joined_rooms(ALICE)))
    tried = []

    def lose_once(tx: Transaction) -> RoomID:
        found, _ = world.upgrades.replace(tx, Upgrade(ALICE, room_id, ROOM_VERSIONS["12"], ()), Followers((), ()))
        tried.append(found)
        if len(tried) == 1:
            raise Conflict("lost")
        return found

    replacement = now(world.event_creation.write(lose_once))

    assert len(tried) == 2
    assert state_of(world, room_id)["m.room.tombstone", ""]["replacement_room"] == replacement
    assert len(now(world.membership.joined_rooms(ALICE))) == rooms + 1


@pytest.mark.parametrize(
    ("user_id", "version", "creators", "error"),
    [
        (ALICE, "no such", (), UnsupportedVersion),
        (ALICE, "12", ("nobody",), InvalidParameter),
        (ALICE, "12", tuple(f"@user{number}:{SERVER}" for number in range(101)), InvalidParameter),
        (BOB, "12", (), Forbidden),
        (CAROL, "12", (), NotFound),
        (UserID("@stranger:example.org"), "12", (), NotFound),
    ],
)
def test_who_may_not_or_asks_for_nonsense_changes_nothing(
    world: World, user_id: UserID, version: str, creators: tuple[str, ...], error: type[Exception]
) -> None:
    room_id = busy_room(world, "11")
    before = state_of(world, room_id)

    with pytest.raises(error):
        upgrade(world, room_id, version, user_id, creators)

    assert state_of(world, room_id) == before
    assert now(world.aliases.resolve(RoomAlias(f"#dovecote:{SERVER}")))[0] == room_id


def test_a_room_that_is_not_known_cannot_be_replaced(world: World) -> None:
    with pytest.raises(NotFound):
        upgrade(world, RoomID("!none:example.org"), "12")
