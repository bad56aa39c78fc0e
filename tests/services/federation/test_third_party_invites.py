"""Invites of addresses that other servers have exchanged: by whom, into which rooms, in whose name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.signing import SigningKey, sign_json
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from tests.forked_rooms import BOB, ONE, TWO
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, CAROL, now
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


@pytest.mark.parametrize("ending", ["leaves", "is banned"])
def test_nobody_is_invited_in_the_name_of_a_user_who_is_gone(serving: Serving, ending: str) -> None:
    room_id = room_with_invite(serving, OUR_BOB)
    if ending == "leaves":
        now(serving.world.membership.leave(OUR_BOB, room_id, None))
    else:
        now(serving.world.membership.ban(ALICE, room_id, OUR_BOB, None))

    assert refusal(serving, room_id, brought(room_id, OUR_BOB))[0] is Forbidden
    assert refusal(serving, room_id, brought(room_id, CAROL))[0] is Forbidden

    assert serving.world.others.invited == []
    assert serving.member(room_id, BOB) is None
