"""The authorisation rules of m.room.member, version by version."""

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from nacl.signing import SigningKey

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.event import Event
from homeserver.core.membership_rules import join_rule_of, membership_of
from homeserver.core.room_versions import V7, V8, V9, V10, V11, V12, RoomVersion
from tests.core.rooms import ALICE, BOB, CAROL, DAVE, Room, chat, in_every_version, in_versions_where

OUTSIDE = (None, "leave")
MEMBERSHIPS = (None, "leave", "invite", "join", "ban", "knock")


def room_with(version: RoomVersion, user: str, membership: str | None, **chat_arguments: Any) -> Room:
    room = chat(version, **chat_arguments)
    if membership is not None:
        room.put_member(user, membership)
    return room


# The event itself


@in_every_version
def test_a_member_event_needs_a_state_key(version: RoomVersion) -> None:
    room = chat(version)

    assert not room.allows(room.event("m.room.member", {"membership": "leave"}))


@in_every_version
@pytest.mark.parametrize(
    "content", [{}, {"membership": None}, {"membership": 1}, {"membership": "JOIN"}, {"membership": ["join"]}]
)
@pytest.mark.parametrize("join_rule", ["public", "knock"])
def test_a_membership_that_is_missing_or_unknown_is_refused(
    version: RoomVersion, content: dict[str, Any], join_rule: str
) -> None:
    room = chat(version, join_rule=join_rule)

    for user in (ALICE, CAROL):
        assert not room.allows(room.event("m.room.member", content, sender=user, state_key=user))


# Join


@in_every_version
def test_the_creator_joins_right_after_the_create_event(version: RoomVersion) -> None:
    room = Room(version)
    content = {"membership": "join"}

    first = room.event("m.room.member", content, state_key=ALICE, prev=(room.create.event_id,))
    late = room.event("m.room.member", content, state_key=ALICE)
    merging = room.event("m.room.member", content, state_key=ALICE, prev=(room.create.event_id, late.event_id))

    assert room.allows(first)
    assert not room.allows(late)
    assert not room.allows(merging)


@in_every_version
def test_nobody_else_joins_right_after_the_create_event(version: RoomVersion) -> None:
    room = Room(version, {"additional_creators": [BOB]})
    join = room.event("m.room.member", {"membership": "join"}, sender=BOB, state_key=BOB, prev=(room.create.event_id,))

    assert not room.allows(join)


def test_the_creator_named_in_the_content_joins_first_before_version_11_and_the_sender_after() -> None:
    for version, first, other in ((V10, BOB, ALICE), (V11, ALICE, BOB), (V12, ALICE, BOB)):
        room = Room(version, {"creator": BOB})
        joins = {
            user: room.event("m.room.member", {"membership": "join"}, sender=user, state_key=user, prev=(prev,))
            for user in (first, other)
            for prev in (room.create.event_id,)
        }

        assert room.allows(joins[first])
        assert not room.allows(joins[other])


@in_every_version
@pytest.mark.parametrize("join_rule", ["public", "invite", "knock", "restricted", "knock_restricted"])
def test_nobody_joins_for_somebody_else(version: RoomVersion, join_rule: str) -> None:
    room = room_with(version, CAROL, "invite", join_rule=join_rule)

    assert not room.allows(room.member_event(CAROL, "join", sender=ALICE))


@in_every_version
@pytest.mark.parametrize("join_rule", ["public", "invite", "knock", "restricted", "knock_restricted"])
def test_a_banned_member_who_joins_is_refused(version: RoomVersion, join_rule: str) -> None:
    room = room_with(version, CAROL, "ban", join_rule=join_rule)

    assert not room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=ALICE))


@in_every_version
@pytest.mark.parametrize("membership", [*OUTSIDE, "knock", "invite", "join"])
def test_a_public_room_is_open_to_all(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, CAROL, membership, join_rule="public")

    assert room.allows(room.member_event(CAROL, "join"))


@in_every_version
@pytest.mark.parametrize(
    ("membership", "expected"), [("invite", True), ("join", True), ("leave", False), (None, False)]
)
def test_an_invite_room_is_open_to_the_invited(version: RoomVersion, membership: str | None, *, expected: bool) -> None:
    room = room_with(version, CAROL, membership, join_rule="invite")

    assert room.allows(room.member_event(CAROL, "join")) is expected


@in_every_version
def test_without_join_rules_the_rule_is_invite(version: RoomVersion) -> None:
    room = chat(version)
    del room.state["m.room.join_rules", ""]
    stranger = room.allows(room.member_event(CAROL, "join"))
    room.put_member(CAROL, "invite")

    assert not stranger
    assert room.allows(room.member_event(CAROL, "join"))


@in_every_version
@pytest.mark.parametrize("join_rule", ["private", "", "PUBLIC", None, 1, ["public"], {"public": 1}])
def test_a_join_rule_that_is_unknown_lets_nobody_join(version: RoomVersion, join_rule: Any) -> None:
    room = room_with(version, CAROL, "invite", join_rule=join_rule)

    assert not room.allows(room.member_event(CAROL, "join"))


@pytest.mark.parametrize(
    ("join_rule", "rule_name"),
    [("knock", "knocking"), ("restricted", "restricted_joins"), ("knock_restricted", "knock_restricted_joins")],
)
@in_every_version
def test_an_invite_suffices_under_the_newer_join_rules_where_they_exist(
    version: RoomVersion, join_rule: str, rule_name: str
) -> None:
    room = room_with(version, CAROL, "invite", join_rule=join_rule)

    assert room.allows(room.member_event(CAROL, "join")) is getattr(version, rule_name)


@pytest.mark.parametrize("membership", [*OUTSIDE, "knock"])
@in_versions_where("knocking")
def test_a_knock_alone_opens_nothing(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, CAROL, membership, join_rule="knock")

    assert not room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=ALICE))


@pytest.mark.parametrize(
    ("version", "join_rule", "expected"),
    [
        (V7, "restricted", False),
        (V8, "restricted", True),
        (V9, "restricted", True),
        (V9, "knock_restricted", False),
        (V10, "restricted", True),
        (V10, "knock_restricted", True),
        (V12, "restricted", True),
        (V12, "knock_restricted", True),
        (V12, "invite", False),
    ],
)
def test_a_member_who_may_invite_vouches_for_a_join(version: RoomVersion, join_rule: str, *, expected: bool) -> None:
    room = chat(version, join_rule=join_rule, levels={"invite": 50, "users": {BOB: 50}})

    assert room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=BOB)) is expected
    assert not room.allows(room.member_event(CAROL, "join"))


@in_versions_where("restricted_joins")
def test_who_may_not_invite_does_not_vouch(version: RoomVersion) -> None:
    room = chat(version, join_rule="restricted", levels={"invite": 50, "users": {BOB: 49}})

    assert not room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=BOB))


@in_versions_where("restricted_joins")
@pytest.mark.parametrize("membership", [*OUTSIDE, "invite", "ban", "knock"])
def test_who_is_not_in_the_room_does_not_vouch(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, DAVE, membership, join_rule="restricted")

    assert not room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=DAVE))


@in_versions_where("restricted_joins")
@pytest.mark.parametrize("garbage", [None, 1, "", "bob", "@bob", [], {}, [BOB]])
def test_who_vouches_must_be_a_user_whatever_the_membership(version: RoomVersion, garbage: Any) -> None:
    room = chat(version, join_rule="public")

    assert not room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=garbage))
    assert not room.allows(room.member_event(BOB, "leave", join_authorised_via_users_server=garbage))


@in_versions_where("restricted_joins", holds=False)
def test_before_version_8_nobody_looks_at_who_vouches(version: RoomVersion) -> None:
    room = chat(version, join_rule="public")

    assert room.allows(room.member_event(CAROL, "join", join_authorised_via_users_server=["garbage"]))


# Invite


@in_every_version
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_an_invite_goes_to_those_who_are_neither_in_nor_banned(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, CAROL, membership)

    assert room.allows(room.member_event(CAROL, "invite", sender=ALICE)) is (membership not in ("join", "ban"))


@in_every_version
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_only_a_joined_member_invites(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, DAVE, membership)

    assert room.allows(room.member_event(CAROL, "invite", sender=DAVE)) is (membership == "join")


@in_every_version
@pytest.mark.parametrize(("level", "expected"), [(49, False), (50, True), (51, True)])
def test_inviting_takes_the_invite_level(version: RoomVersion, level: int, *, expected: bool) -> None:
    room = chat(version, levels={"invite": 50, "users": {BOB: level}})

    assert room.allows(room.member_event(CAROL, "invite", sender=BOB)) is expected


# Third-party invites


KEY = SigningKey(b"k" * 32)
OTHER_KEY = SigningKey(b"o" * 32)


def signed_by(key: SigningKey, **fields: Any) -> dict[str, Any]:
    signature = b64encode(key.sign(encode_lenient(fields)).signature).decode().rstrip("=")
    return {**fields, "signatures": {"identity.example": {"ed25519:0": signature}}}


def public(key: SigningKey, *, urlsafe: bool = False) -> str:
    encode = urlsafe_b64encode if urlsafe else b64encode
    return encode(bytes(key.verify_key)).decode().rstrip("=")


def redeeming(room: Room, signed: Any, *, sender: str = ALICE) -> Event:
    return room.member_event(CAROL, "invite", sender=sender, third_party_invite={"display_name": "c", "signed": signed})


def room_with_token(version: RoomVersion, **content: Any) -> Room:
    room = chat(version)
    room.put("m.room.third_party_invite", content or {"public_key": public(KEY)}, state_key="token")
    return room


@in_every_version
@pytest.mark.parametrize(
    "content",
    [
        {"public_key": public(KEY)},
        {"public_key": public(KEY, urlsafe=True)},
        {"public_key": public(KEY) + "="},
        {"public_keys": [{"public_key": public(OTHER_KEY)}, {"public_key": public(KEY)}]},
        {"public_key": public(OTHER_KEY), "public_keys": [None, "x", {}, {"public_key": public(KEY)}]},
    ],
)
def test_a_third_party_invite_is_redeemed_with_a_signature_of_one_of_its_keys(
    version: RoomVersion, content: dict[str, Any]
) -> None:
    room = room_with_token(version, **content)

    assert room.allows(redeeming(room, signed_by(KEY, mxid=CAROL, token="token")))


@in_every_version
def test_redeeming_takes_neither_membership_nor_level(version: RoomVersion) -> None:
    room = room_with_token(version)
    room.put_member(ALICE, "leave")
    room.put_power_levels({"invite": 1000})

    assert room.allows(redeeming(room, signed_by(KEY, mxid=CAROL, token="token")))


@in_every_version
def test_redeeming_does_not_lift_a_ban(version: RoomVersion) -> None:
    room = room_with_token(version)
    room.put_member(CAROL, "ban")

    assert not room.allows(redeeming(room, signed_by(KEY, mxid=CAROL, token="token")))


@in_every_version
def test_only_who_issued_a_third_party_invite_redeems_it(version: RoomVersion) -> None:
    room = room_with_token(version)

    assert not room.allows(redeeming(room, signed_by(KEY, mxid=CAROL, token="token"), sender=BOB))


@in_every_version
@pytest.mark.parametrize(
    "signed",
    [
        None,
        {},
        signed_by(KEY, mxid=CAROL),
        signed_by(KEY, token="token"),
        signed_by(KEY, mxid=BOB, token="token"),
        signed_by(KEY, mxid=CAROL, token="other"),
        signed_by(KEY, mxid=CAROL, token=["token"]),
        signed_by(OTHER_KEY, mxid=CAROL, token="token"),
        signed_by(KEY, mxid=CAROL, token="token") | {"more": 1},
        signed_by(KEY, mxid=CAROL, token="token") | {"nested": [float("nan")]},
        {"mxid": CAROL, "token": "token"},
    ],
)
def test_a_third_party_invite_that_is_not_signed_for_this_user_and_token_is_refused(
    version: RoomVersion, signed: Any
) -> None:
    room = room_with_token(version)

    assert not room.allows(redeeming(room, signed))


@in_every_version
@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        {"server": None},
        {"server": {"ed25519:0": None}},
        {"server": {"ed25519:0": "x"}},
        {"server": {"ed25519:0": "=" * 86}},
        {"server": {"ed25519:0": "é" * 86}},
        {"server": {"ed25519:0": "A" * 86}},
        {"server": {"": "A" * 86}},
    ],
)
def test_a_third_party_invite_with_garbage_for_signatures_is_refused(version: RoomVersion, signatures: Any) -> None:
    room = room_with_token(version)

    assert not room.allows(redeeming(room, {"mxid": CAROL, "token": "token", "signatures": signatures}))


@in_every_version
def test_among_many_keys_and_signatures_only_so_many_are_tried(version: RoomVersion) -> None:
    keys = [{"public_key": public(SigningKey(bytes([number]) * 32))} for number in range(40)]
    room = room_with_token(version, public_keys=keys)
    first, last = (SigningKey(bytes([number]) * 32) for number in (0, 39))

    assert room.allows(redeeming(room, signed_by(first, mxid=CAROL, token="token")))
    assert not room.allows(redeeming(room, signed_by(last, mxid=CAROL, token="token")))


@in_every_version
@pytest.mark.parametrize(
    "content",
    [
        {"public_key": None},
        {"public_key": "A" * 43},
        {"public_key": "x"},
        {"public_key": public(OTHER_KEY)},
        {"public_keys": {}},
        {"public_keys": [[]]},
        {"public_keys": [{"public_key": 1}]},
    ],
)
def test_a_third_party_invite_without_a_fitting_key_cannot_be_redeemed(
    version: RoomVersion, content: dict[str, Any]
) -> None:
    room = room_with_token(version, **content)

    assert not room.allows(redeeming(room, signed_by(KEY, mxid=CAROL, token="token")))


@in_every_version
@pytest.mark.parametrize("garbage", [None, [], "text", 1, {}])
def test_a_third_party_invite_that_is_garbage_is_refused_even_from_who_may_invite(
    version: RoomVersion, garbage: Any
) -> None:
    room = room_with_token(version)

    assert not room.allows(room.member_event(CAROL, "invite", sender=ALICE, third_party_invite=garbage))


# Leave, kick, unban


@in_every_version
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_who_is_in_or_invited_or_knocking_leaves(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, CAROL, membership)
    leavable = ("join", "invite", "knock") if version.knocking else ("join", "invite")

    assert room.allows(room.member_event(CAROL, "leave")) is (membership in leavable)


@in_every_version
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_only_a_joined_member_kicks(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, DAVE, membership, levels={"users": {DAVE: 50}})

    assert room.allows(room.member_event(BOB, "leave", sender=DAVE)) is (membership == "join")


@in_every_version
@pytest.mark.parametrize(
    ("kicker", "target", "expected"),
    [(50, 0, True), (50, 49, True), (49, 0, False), (50, 50, False), (50, 51, False), (51, 50, True)],
)
@pytest.mark.parametrize("membership", [*OUTSIDE, "invite", "join", "knock"])
def test_kicking_takes_the_kick_level_and_more_than_the_target(
    version: RoomVersion, kicker: int, target: int, membership: str | None, *, expected: bool
) -> None:
    room = room_with(version, CAROL, membership, levels={"users": {BOB: kicker, CAROL: target}})

    assert room.allows(room.member_event(CAROL, "leave", sender=BOB)) is expected


@in_every_version
@pytest.mark.parametrize(
    ("level", "ban", "kick", "expected"),
    [(60, 60, 50, True), (59, 60, 50, False), (60, 50, 60, True), (59, 50, 60, False)],
)
def test_lifting_a_ban_takes_the_ban_level_and_the_kick_level(
    version: RoomVersion, level: int, ban: int, kick: int, *, expected: bool
) -> None:
    room = room_with(version, CAROL, "ban", levels={"ban": ban, "kick": kick, "users": {BOB: level}})

    assert room.allows(room.member_event(CAROL, "leave", sender=BOB)) is expected


@in_versions_where("privileged_creators")
@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_nobody_removes_a_creator_not_even_another_one(version: RoomVersion, membership: str) -> None:
    room = Room(version, {"additional_creators": [BOB]})
    for user in (ALICE, BOB, CAROL):
        room.put_member(user, "join")
    room.put_power_levels({"users": {CAROL: 2**53 - 1}})

    assert not room.allows(room.member_event(BOB, membership, sender=ALICE))
    assert not room.allows(room.member_event(ALICE, membership, sender=BOB))
    assert not room.allows(room.member_event(ALICE, membership, sender=CAROL))
    assert room.allows(room.member_event(CAROL, membership, sender=BOB))


# Ban


@in_every_version
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_only_a_joined_member_bans(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, DAVE, membership, levels={"users": {DAVE: 50}})

    assert room.allows(room.member_event(BOB, "ban", sender=DAVE)) is (membership == "join")


@in_every_version
@pytest.mark.parametrize(
    ("banner", "target", "expected"),
    [(50, 0, True), (49, 0, False), (50, 50, False), (51, 50, True)],
)
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_banning_takes_the_ban_level_and_more_than_the_target(
    version: RoomVersion, banner: int, target: int, membership: str | None, *, expected: bool
) -> None:
    room = room_with(version, CAROL, membership, levels={"users": {BOB: banner, CAROL: target}})

    assert room.allows(room.member_event(CAROL, "ban", sender=BOB)) is expected


@in_every_version
def test_nobody_bans_themselves(version: RoomVersion) -> None:
    room = chat(version)

    assert not room.allows(room.member_event(ALICE, "ban"))


# Knock


@in_every_version
@pytest.mark.parametrize("join_rule", ["public", "invite", "restricted", "private", "knock", "knock_restricted", ["x"]])
def test_knocking_takes_a_version_and_a_join_rule_that_know_it(version: RoomVersion, join_rule: Any) -> None:
    room = chat(version, join_rule=join_rule)

    expected = (join_rule == "knock" and version.knocking) or (
        join_rule == "knock_restricted" and version.knock_restricted_joins
    )
    assert room.allows(room.member_event(CAROL, "knock")) is expected


@in_versions_where("knocking")
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_who_is_in_or_invited_or_banned_does_not_knock(version: RoomVersion, membership: str | None) -> None:
    room = room_with(version, CAROL, membership, join_rule="knock")

    assert room.allows(room.member_event(CAROL, "knock")) is (membership not in ("join", "invite", "ban"))


@in_versions_where("knocking")
def test_nobody_knocks_for_somebody_else(version: RoomVersion) -> None:
    room = chat(version, join_rule="knock")

    assert not room.allows(room.member_event(CAROL, "knock", sender=ALICE))


# Reading state


@pytest.mark.parametrize("garbage", [None, 1, [], ["join"], {}])
def test_a_garbage_membership_in_the_state_is_none(garbage: Any) -> None:
    room = Room()
    room.put_member(BOB, garbage)

    assert membership_of(room.state, BOB) is None
    assert membership_of(room.state, CAROL) is None


def test_a_join_rule_that_is_absent_is_invite_and_garbage_is_none() -> None:
    room = Room()
    absent = join_rule_of(room.state)
    room.put("m.room.join_rules", {})
    empty = join_rule_of(room.state)
    room.put_join_rule({"public": True})

    assert absent == empty == "invite"
    assert join_rule_of(room.state) is None
