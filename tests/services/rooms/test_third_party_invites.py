"""Invites of addresses that have found their users: here, elsewhere, and for other servers."""

from typing import Any, Final

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.signing import SigningKey, sign_json
from homeserver.outbound.errors import NotAsked
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.services.errors import Forbidden, InvalidParameter, InviteBlocked, NotFound, RemoteFailed
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.third_party_invites import redeemed
from homeserver.storage.memberships import find_membership
from tests.forked_rooms import ALICE, ONE
from tests.scenes import Scene
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import BOB as OUR_BOB
from tests.services.world import CAROL as OUR_CAROL
from tests.services.world import SERVER, World, now

KEY: Final = SigningKey("0", bytes([9] * 32))
TOKEN: Final = "token"
ISSUED: Final = {
    "display_name": "b...",
    "key_validity_url": "https://id.example",
    "public_key": KEY.verify_key.to_base64(),
}


def signed(sender: UserID, target: UserID, key: SigningKey = KEY) -> dict[str, Any]:
    return sign_json({"mxid": target, "sender": sender, "token": TOKEN}, "id.example", key)


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def room_with_invite(world: World) -> RoomID:
    """A room of Alice's, who has invited an address to it."""
    room_id = world.create_room(OUR_ALICE)
    now(world.sending.set_state(OUR_ALICE, room_id, "m.room.third_party_invite", TOKEN, ISSUED))
    return room_id


def test_the_user_of_an_invited_address_joins_a_room_here(world: World) -> None:
    room_id = room_with_invite(world)

    now(world.anywhere.join(OUR_BOB, room_id, None, signed(OUR_ALICE, OUR_BOB)))

    join, invite = world.history(OUR_BOB, room_id)[:2]
    assert join["content"] == {"membership": "join"}
    assert (invite["sender"], invite["content"]["membership"]) == (OUR_ALICE, "invite")
    assert invite["content"]["third_party_invite"]["display_name"] == "b..."
    assert membership(world, room_id, OUR_BOB) == "join"


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (signed(OUR_ALICE, OUR_BOB, SigningKey("0", bytes([8] * 32))), AuthRejected),
        (signed(OUR_CAROL, OUR_BOB), AuthRejected),
        ({**signed(OUR_ALICE, OUR_BOB), "token": "other"}, AuthRejected),
        (signed(OUR_ALICE, OUR_CAROL), InvalidParameter),
        ({**signed(OUR_ALICE, OUR_BOB), "signatures": 1}, InvalidParameter),
        ({**signed(OUR_ALICE, OUR_BOB), "token": None}, InvalidParameter),
        ({**signed(OUR_ALICE, OUR_BOB), "sender": "alice"}, InvalidParameter),
        ({}, InvalidParameter),
    ],
)
def test_what_is_no_invite_of_the_user_lets_nobody_in(
    world: World, bad: dict[str, Any], error: type[Exception]
) -> None:
    room_id = room_with_invite(world)

    with pytest.raises(error):
        now(world.anywhere.join(OUR_BOB, room_id, None, bad))

    assert membership(world, room_id, OUR_BOB) is None


def test_an_invite_outlives_the_stay_of_whoever_sent_it(world: World) -> None:
    room_id = room_with_invite(world)
    now(world.membership.invite(OUR_ALICE, room_id, OUR_CAROL, None))
    world.join(OUR_CAROL, room_id)
    now(world.membership.leave(OUR_ALICE, room_id, None))

    now(world.anywhere.join(OUR_BOB, room_id, None, signed(OUR_ALICE, OUR_BOB)))

    assert membership(world, room_id, OUR_BOB) == "join"


@pytest.mark.parametrize("loss", ["is taken back", "is by somebody who is banned"])
def test_an_invite_lets_nobody_in_once_it(world: World, loss: str) -> None:
    room_id = world.create_room(OUR_ALICE, power_levels={"state_default": 0})
    now(world.membership.invite(OUR_ALICE, room_id, OUR_CAROL, None))
    world.join(OUR_CAROL, room_id)
    now(world.sending.set_state(OUR_CAROL, room_id, "m.room.third_party_invite", TOKEN, ISSUED))
    if loss == "is taken back":
        now(world.sending.set_state(OUR_ALICE, room_id, "m.room.third_party_invite", TOKEN, {}))
    else:
        now(world.membership.ban(OUR_ALICE, room_id, OUR_CAROL, None))

    with pytest.raises((AuthRejected, Forbidden)):
        now(world.anywhere.join(OUR_BOB, room_id, None, signed(OUR_CAROL, OUR_BOB)))

    assert membership(world, room_id, OUR_BOB) is None


def test_an_invite_can_be_redeemed_before_its_user_joins_and_once_is_enough(world: World) -> None:
    room_id = room_with_invite(world)
    invite = redeemed(OUR_ALICE, OUR_BOB, signed(OUR_ALICE, OUR_BOB))

    now(world.anywhere.redeem(room_id, invite))
    now(world.anywhere.redeem(room_id, invite))

    assert membership(world, room_id, OUR_BOB) == "invite"
    told = [event for event in world.history(OUR_ALICE, room_id) if event.get("state_key") == OUR_BOB]
    assert len(told) == 1
    world.join(OUR_BOB, room_id)
    now(world.anywhere.redeem(room_id, invite))
    assert membership(world, room_id, OUR_BOB) == "join"


def test_an_invite_to_a_room_elsewhere_is_redeemed_by_the_server_of_whoever_sent_it(world: World) -> None:
    room_id = world.others.open(invited_scene(), ONE)

    now(world.anywhere.redeem(room_id, redeemed(ALICE, OUR_BOB, signed(ALICE, OUR_BOB))))

    assert world.others.asked == [(ONE, "exchange_third_party_invite")]


class Impatient(OpenGate):
    """No server answered lately: those alone are let through who do not care."""

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:
        """See Gate."""
        if not ignores_backoff:
            raise NotAsked(f"{destination} is left alone")


def test_a_server_that_does_not_answer_is_asked_for_its_user_alone(world: World) -> None:
    room_id = world.others.open(invited_scene(), ONE)
    client = FederationClient(world.others, Impatient(), SERVER, world.key, world.clock)
    joins = RemoteJoins(client, world.event_creation, world.receipt, world.given_rooms, world.clock, omits_members=True)
    before = world.anywhere
    anywhere = RemoteMembership(
        world.database, world.membership, world.aliases, joins, before._leaves, before._knocks, world.admission, SERVER
    )

    with pytest.raises(RemoteFailed):
        now(anywhere.redeem(room_id, redeemed(ALICE, OUR_BOB, signed(ALICE, OUR_BOB))))
    assert world.others.asked == []

    now(anywhere.join(OUR_BOB, room_id, None, signed(ALICE, OUR_BOB), via=[ONE]))
    assert membership(world, room_id, OUR_BOB) == "join"


def test_whoever_wants_no_invites_gets_none_for_an_address_either(world: World) -> None:
    room_id = room_with_invite(world)
    now(world.account_data.put(OUR_BOB, OUR_BOB, None, "m.invite_permission_config", {"default_action": "block"}))

    with pytest.raises(InviteBlocked):
        now(world.anywhere.redeem(room_id, redeemed(OUR_ALICE, OUR_BOB, signed(OUR_ALICE, OUR_BOB))))

    assert membership(world, room_id, OUR_BOB) is None


def test_what_is_brought_may_be_anything(world: World) -> None:
    nothing: tuple[object, ...] = (None, 1, "x", [], {"token": TOKEN})
    for odd in nothing:
        with pytest.raises(InvalidParameter):
            redeemed(OUR_ALICE, OUR_BOB, odd)
    assert membership(world, RoomID("!r:one.example"), OUR_BOB) is None


def invited_scene() -> Scene:
    scene = Scene(join_rule="invite")
    scene.last = scene.send(ALICE, "m.room.third_party_invite", ISSUED, TOKEN, after=[scene.last])
    return scene


def test_the_user_of_an_invited_address_joins_a_room_elsewhere(world: World) -> None:
    room_id = world.others.open(invited_scene(), ONE)

    now(world.anywhere.join(OUR_BOB, room_id, None, signed(ALICE, OUR_BOB), via=[ONE]))

    assert [operation for _, operation in world.others.asked] == [
        "exchange_third_party_invite",
        "make_join",
        "send_join",
    ]
    assert membership(world, room_id, OUR_BOB) == "join"


def test_an_invite_that_the_other_server_will_not_have_leads_nowhere(world: World) -> None:
    room_id = world.others.open(invited_scene(), ONE)

    with pytest.raises(Forbidden):
        now(world.anywhere.join(OUR_BOB, room_id, None, signed(ALICE, OUR_CAROL) | {"mxid": OUR_BOB}, via=[ONE]))
    with pytest.raises(NotFound):
        now(world.anywhere.join(OUR_BOB, RoomID("!r:two.example"), None, signed(UserID("@x:away.example"), OUR_BOB)))

    assert membership(world, room_id, OUR_BOB) is None
