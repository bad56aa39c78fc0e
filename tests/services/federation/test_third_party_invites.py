"""Invites of addresses that other servers have exchanged, or whose users are here: who is invited, in whose name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.room_versions import room_version
from homeserver.core.signing import SigningKey, sign_json
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.events.receipt import Received
from homeserver.services.federation.third_party_invites import MOST_BOUND
from homeserver.services.rooms.third_party_invites import Redeemed, redeemed
from homeserver.storage.events import Form
from tests.forked_rooms import ALICE as ONE_ALICE
from tests.forked_rooms import BOB, ONE, TWO
from tests.scenes import Scene
from tests.services.federation.others import FAR, FAY, Sending, join_remotely, remote_event, take
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, CAROL, SERVER, now
from tests.services.world import BOB as OUR_BOB

# Any: JSON.

KEY: Final = SigningKey("0", bytes([9] * 32))
TOKEN: Final = "token"
ISSUED: Final = {
    "display_name": "b...",
    "key_validity_url": "https://id.example",
    "public_key": KEY.verify_key.to_base64(),
}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def room_with_invite(serving: Serving, inviter: UserID = ALICE) -> RoomID:
    """A room of Alice's in which a user has invited an address."""
    room_id = serving.world.create_room(ALICE, power_levels={"state_default": 0})
    if inviter != ALICE:
        now(serving.world.membership.invite(ALICE, room_id, inviter, None))
        serving.world.join(inviter, room_id)
    now(serving.world.sending.set_state(inviter, room_id, "m.room.third_party_invite", TOKEN, ISSUED))
    return room_id


def brought(room_id: RoomID, sender: UserID = ALICE, *, token: str = TOKEN, key: SigningKey = KEY) -> dict[str, Any]:
    """What the server of Bob brings."""
    signed = sign_json({"mxid": BOB, "sender": sender, "token": token}, "id.example", key)
    content = {"membership": "invite", "third_party_invite": {"display_name": "x", "signed": signed}}
    return {"type": "m.room.member", "room_id": room_id, "sender": sender, "state_key": BOB, "content": content}


def refusal(serving: Serving, room_id: RoomID, event: dict[str, Any]) -> tuple[type[Exception], str]:
    """How an exchange is refused."""
    with pytest.raises((Forbidden, NotFound)) as refused:
        now(serving.third_party_invites.exchange(TWO, room_id, event))
    return type(refused.value), str(refused.value)


def test_a_user_of_another_server_whose_address_was_invited_is_invited(serving: Serving) -> None:
    room_id = room_with_invite(serving)

    now(serving.third_party_invites.exchange(TWO, room_id, brought(room_id)))

    [invited] = serving.world.others.invited
    assert invited["event"]["content"]["third_party_invite"]["display_name"] == "b..."
    assert serving.member(room_id, BOB) == "invite"


def test_only_the_invites_of_the_asking_servers_users_are_exchanged(serving: Serving) -> None:
    room_id = room_with_invite(serving)
    good = brought(room_id)
    for origin, event in (
        (ONE, good),
        (TWO, {**good, "type": "m.room.power_levels"}),
        (TWO, {**good, "room_id": "!other:one.example"}),
        (TWO, {**good, "state_key": None}),
        (TWO, {**good, "content": {"membership": "join"}}),
        (TWO, {**good, "sender": BOB}),
        (TWO, {}),
    ):
        with pytest.raises(InvalidParameter):
            now(serving.third_party_invites.exchange(origin, room_id, event))

    assert serving.world.others.invited == []
    assert serving.member(room_id, BOB) is None


def test_an_invite_that_another_key_signed_is_not_exchanged(serving: Serving) -> None:
    room_id = room_with_invite(serving)

    with pytest.raises(AuthRejected):
        now(serving.third_party_invites.exchange(TWO, room_id, brought(room_id, key=SigningKey("0", bytes(32)))))

    assert serving.world.others.invited == []


def test_rooms_that_are_not_here_look_like_those_without_the_invite(serving: Serving) -> None:
    room_id, nowhere, left = room_with_invite(serving), RoomID("!other:example.org"), room_with_invite(serving)
    now(serving.world.membership.leave(ALICE, left, None))

    answers = [
        refusal(serving, room_id, brought(room_id, token="another")),
        refusal(serving, nowhere, brought(nowhere)),
        refusal(serving, left, brought(left)),
    ]

    assert {kind for kind, _ in answers} == {NotFound}
    assert len(set(answers)) == 1


def test_a_server_that_the_room_shuts_out_has_nothing_exchanged(serving: Serving) -> None:
    room_id = room_with_invite(serving)
    serving.shut_out(room_id, TWO)

    assert refusal(serving, room_id, brought(room_id))[0] is Forbidden

    assert serving.member(room_id, BOB) is None


def test_an_invite_is_exchanged_after_its_sender_has_left(serving: Serving) -> None:
    room_id = room_with_invite(serving, OUR_BOB)
    now(serving.world.membership.leave(OUR_BOB, room_id, None))

    now(serving.third_party_invites.exchange(TWO, room_id, brought(room_id, OUR_BOB)))

    assert [told["event"]["sender"] for told in serving.world.others.invited] == [OUR_BOB]
    assert serving.member(room_id, BOB) == "invite"


def test_nobody_is_invited_in_the_name_of_a_user_who_is_banned(serving: Serving) -> None:
    room_id = room_with_invite(serving, OUR_BOB)
    now(serving.world.membership.ban(ALICE, room_id, OUR_BOB, None))

    assert refusal(serving, room_id, brought(room_id, OUR_BOB))[0] is Forbidden
    with pytest.raises(AuthRejected):
        now(serving.third_party_invites.exchange(TWO, room_id, brought(room_id, CAROL)))

    assert serving.world.others.invited == []
    assert serving.member(room_id, BOB) is None


# What identity servers tell


def invite_of(room_id: RoomID, target: UserID, inviter: UserID = ALICE, **how: Any) -> tuple[RoomID, Redeemed]:
    """An invite of an address that has become a user's."""
    key: SigningKey = how.get("key", KEY)
    signed = sign_json({"mxid": target, "sender": inviter, "token": how.get("token", TOKEN)}, "id.example", key)
    return room_id, redeemed(inviter, target, signed)


def test_a_user_whose_address_was_invited_to_rooms_here_and_elsewhere_is_invited_to_them(serving: Serving) -> None:
    room_id, user_id = room_with_invite(serving), serving.named("dora", "Dora")
    scene = Scene(join_rule="invite")
    scene.last = scene.send(ONE_ALICE, "m.room.third_party_invite", ISSUED, TOKEN, after=[scene.last])
    elsewhere = serving.world.others.open(scene, ONE)

    now(serving.addresses.bound(user_id, [invite_of(room_id, user_id), invite_of(elsewhere, user_id, ONE_ALICE)]))

    assert serving.member(room_id, user_id) == "invite"
    assert serving.world.others.asked == [(ONE, "exchange_third_party_invite")]


def test_an_invite_by_a_user_of_another_server_is_redeemed_here_and_told_to_that_server(serving: Serving) -> None:
    world = serving.world
    room_id, user_id = serving.room(power_levels={"invite": 0}), serving.named("dora", "Dora")
    join_remotely(world, FAY, room_id)
    take(world, remote_event(world, FAY, room_id, "m.room.third_party_invite", ISSUED, TOKEN))
    sending = Sending(world)
    sending.settle()

    now(serving.addresses.bound(user_id, [invite_of(room_id, user_id, FAY)]))
    sending.settle()

    assert serving.member(room_id, user_id) == "invite"
    [told] = [pdu for sent in sending.client.taken_by(FAR) for pdu in sent.body["pdus"] if pdu["sender"] == FAY]
    assert (told["state_key"], list(told["signatures"])) == (user_id, [SERVER])
    [checked] = now(serving.receipt.check([told], room_version("12")))
    assert isinstance(checked, Received)
    assert checked.form is Form.FULL


def test_whatever_comes_to_nothing_looks_alike(serving: Serving) -> None:
    room_id, gone = room_with_invite(serving), room_with_invite(serving)
    user_id, closed = serving.named("dora", "Dora"), serving.named("eve", "Eve")
    now(serving.world.deactivation.deactivate(closed, erase=False))
    now(serving.world.membership.leave(ALICE, gone, None))
    stranger, far = UserID(f"@nobody:{SERVER}"), UserID("@dora:elsewhere.example")

    refusals = set()
    for told_user, invite in (
        (stranger, invite_of(room_id, stranger)),
        (closed, invite_of(room_id, closed)),
        (far, invite_of(room_id, far)),
        (user_id, invite_of(RoomID("!none:example.org"), user_id)),
        (user_id, invite_of(RoomID("!none:one.example"), user_id, ONE_ALICE)),
        (user_id, invite_of(room_id, user_id, CAROL)),
        (user_id, invite_of(room_id, user_id, token="another")),
        (user_id, invite_of(room_id, user_id, key=SigningKey("0", bytes(32)))),
    ):
        with pytest.raises(Forbidden) as refused:
            now(serving.addresses.bound(told_user, [invite]))
        refusals.add(str(refused.value))

    assert len(refusals) == 1
    assert [serving.member(room_id, one) for one in (stranger, closed, far, user_id)] == [None] * 4


def test_an_invite_that_is_no_good_keeps_none_of_the_others_from_its_user(serving: Serving) -> None:
    room_id, user_id = room_with_invite(serving), serving.named("dora", "Dora")

    with pytest.raises(Forbidden):
        now(serving.addresses.bound(user_id, [invite_of(room_id, user_id, CAROL), invite_of(room_id, user_id)]))

    assert serving.member(room_id, user_id) == "invite"


def test_too_many_invites_or_those_of_another_user_are_refused_as_a_whole(serving: Serving) -> None:
    room_id, user_id = room_with_invite(serving), serving.named("dora", "Dora")
    good = invite_of(room_id, user_id)

    for invites in ([good, invite_of(room_id, CAROL)], [good] * (MOST_BOUND + 1)):
        with pytest.raises(InvalidParameter):
            now(serving.addresses.bound(user_id, invites))

    assert serving.member(room_id, user_id) is None
