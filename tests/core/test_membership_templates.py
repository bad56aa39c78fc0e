"""What another server's template of a membership can make this server say, and what it cannot."""

from typing import Any, Final

import pytest

from homeserver.core.errors import BadEvent
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.membership_templates import AUTHORISER, MembershipWish, template_for
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.unpadded_base64 import encode_base64

ROOM: Final = RoomID("!room:one.example")
BOB: Final = UserID("@bob:example.org")
ONE: Final = ServerName("one.example")
WISH: Final = MembershipWish(ROOM, BOB, "join", {"displayname": "Bob"}, 17)
V11: Final = ROOM_VERSIONS["11"]
PREV: Final = "$" + "p" * 43
AUTH: Final = "$" + "a" * 43


def answered(**changes: Any) -> dict[str, Any]:
    """A template as an honest server makes it, but for some changes."""
    honest = {
        "type": "m.room.member",
        "room_id": ROOM,
        "sender": BOB,
        "state_key": BOB,
        "content": {"membership": "join"},
        "prev_events": [PREV],
        "auth_events": [AUTH],
        "depth": 5,
        "origin_server_ts": 1,
    }
    return {**honest, **changes}


def test_the_place_in_the_graph_is_taken_and_everything_else_is_what_was_wished() -> None:
    content = {"membership": "join", "displayname": "Mallory", "org.example.bad": 1}
    said = answered(content=content, origin_server_ts=99, redacts="$x", unsigned={"a": 1}, hashes={}, origin="x")

    template = template_for(WISH, said, V11, ONE)

    assert template.content == {"membership": "join", "displayname": "Bob"}
    assert template.origin_server_ts == 17
    assert template.redacts is None
    assert (template.room_id, template.type, template.sender, template.state_key) == (ROOM, "m.room.member", BOB, BOB)
    assert template.prev_events == ((PREV, b""),)
    assert template.auth_events == ((AUTH, b""),)
    assert template.depth == 5


@pytest.mark.parametrize(
    "change",
    [
        {"type": "m.room.power_levels"},
        {"room_id": "!other:one.example"},
        {"room_id": None},
        {"sender": "@alice:example.org"},
        {"state_key": "@alice:example.org"},
        {"state_key": None},
        {"content": {"membership": "ban"}},
        {"content": {}},
        {"content": None},
        {"depth": "5"},
        {"depth": True},
        {"depth": 0},
        {"depth": 2**53},
        {"prev_events": []},
        {"prev_events": [PREV] * 21},
        {"prev_events": None},
        {"prev_events": [[PREV, {"sha256": "x"}]]},
        {"prev_events": ["no event"]},
        {"auth_events": [AUTH] * 11},
        {"auth_events": [1]},
        {"auth_events": {"a": 1}},
    ],
)
def test_a_template_of_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadEvent):
        template_for(WISH, answered(**change), V11, ONE)


def test_in_old_rooms_events_are_named_with_their_hashes() -> None:
    named = [["$prev:one.example", {"sha256": encode_base64(b"h" * 32)}]]
    said = answered(prev_events=named, auth_events=[])

    template = template_for(WISH, said, ROOM_VERSIONS["1"], ONE)

    assert template.prev_events == (("$prev:one.example", b"h" * 32),)


def test_in_old_rooms_the_other_server_need_not_know_the_hashes() -> None:
    named = [["$prev:one.example", {}]]

    template = template_for(WISH, answered(prev_events=named, auth_events=named), ROOM_VERSIONS["1"], ONE)

    assert template.prev_events == template.auth_events == (("$prev:one.example", b""),)


@pytest.mark.parametrize("hashes", [{"sha256": 1}, {"sha256": "short"}, {"sha256": ""}, {"md5": "x"}, None])
def test_in_old_rooms_an_event_with_what_is_no_hash_is_refused(hashes: Any) -> None:
    named = [["$prev:one.example", hashes]]

    with pytest.raises(BadEvent):
        template_for(WISH, answered(prev_events=named, auth_events=[]), ROOM_VERSIONS["1"], ONE)


def test_a_user_of_the_resident_server_may_vouch_for_a_restricted_join() -> None:
    said = answered(content={"membership": "join", AUTHORISER: "@alice:one.example"})

    assert template_for(WISH, said, V11, ONE).content[AUTHORISER] == "@alice:one.example"
    assert AUTHORISER not in template_for(WISH, said, ROOM_VERSIONS["7"], ONE).content


@pytest.mark.parametrize("authoriser", ["@alice:two.example", "@bob:example.org", "alice", 1, None])
def test_nobody_else_may_vouch_for_a_restricted_join(authoriser: Any) -> None:
    with pytest.raises(BadEvent):
        template_for(WISH, answered(content={"membership": "join", AUTHORISER: authoriser}), V11, ONE)
