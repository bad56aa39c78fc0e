"""Asking a moderation bot as it wants to be asked."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.core.identifiers import DeviceID, EventID, RoomAlias, RoomID, UserID
from homeserver.outbound.errors import Unreachable
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.http_antispam import REST_S, AntispamWishes, HttpAntispam
from homeserver.services.spam_checks import CheckedEvent, Refusal
from tests.services.world import now

# Any: JSON.

ALICE, BOB = UserID("@alice:b"), UserID("@bob:b")
ROOM = RoomID("!room:b")
EVENT = CheckedEvent(ROOM, "m.room.member", ALICE, {"membership": "invite"}, BOB, None, 5, EventID("$event"))


class Bot:
    """Answers what it is told to answer."""

    def __init__(self, status: int = 200, answer: Any = None) -> None:
        self.status, self.answer = status, answer
        self.is_there = True
        self.clock = ManualClock()
        self.takes_s = 0.0
        self.asked: list[tuple[str, Any]] = []

    async def post(self, name: str, body: object) -> tuple[int, Any]:
        self.asked.append((name, body))
        self.clock.advance(self.takes_s)
        if not self.is_there:
            raise Unreachable("nobody is there")
        answer = self.answer(body) if callable(self.answer) else self.answer
        return self.status, answer


def antispam(bot: Bot, **wishes: Any) -> HttpAntispam:
    wished: Mapping[str, Any] = {"enabled": None, "told_only": frozenset(), "fails_open": frozenset(), **wishes}
    return HttpAntispam(bot, AntispamWishes(**wished), bot.clock, SeededRandomness(1))


def test_each_question_is_asked_by_its_callback_and_with_its_fields() -> None:
    bot = Bot()
    check = antispam(bot)
    shown = {
        "type": "m.room.member",
        "room_id": ROOM,
        "sender": ALICE,
        "content": {"membership": "invite"},
        "event_id": "$event",
        "origin_server_ts": 5,
        "state_key": BOB,
    }
    profile = {"user_id": ALICE, "display_name": "Alice", "avatar_url": None}
    alias = RoomAlias("#room:b")

    for asked in (
        check.may_receive_event(EVENT),
        check.may_send_event(CheckedEvent(ROOM, "m.room.redaction", ALICE, {}, None, EventID("$other"))),
        check.may_receive_invite(EVENT),
        check.may_invite(ALICE, BOB, ROOM),
        check.may_invite(ALICE, BOB, None),
        check.may_join(ALICE, ROOM, is_invited=True),
        check.may_create_room(ALICE),
        check.may_create_alias(ALICE, alias),
        check.may_publish_room(ALICE, ROOM),
        check.may_be_found(ALICE, "Alice", None, BOB),
        check.may_log_in(ALICE, DeviceID("PHONE"), "phone", "192.0.2.1"),
    ):
        assert now(asked) is None

    redaction = {"type": "m.room.redaction", "room_id": ROOM, "sender": ALICE, "content": {}, "redacts": "$other"}
    assert bot.asked == [
        ("check_event_for_spam", {"event": shown}),
        ("check_event_for_spam", {"event": {**redaction, "event_id": "", "origin_server_ts": None}}),
        ("federated_user_may_invite", {"event": shown}),
        ("user_may_invite", {"inviter": ALICE, "invitee": BOB, "room_id": ROOM}),
        ("user_may_invite", {"inviter": ALICE, "invitee": BOB, "room_id": ""}),
        ("user_may_join_room", {"user": ALICE, "room": ROOM, "is_invited": True}),
        ("user_may_create_room", {"user_id": ALICE}),
        ("user_may_create_room_alias", {"user_id": ALICE, "room_alias": alias}),
        ("user_may_publish_room", {"user_id": ALICE, "room_id": ROOM}),
        ("check_username_for_spam", {"user_profile": profile, "requester_id": BOB}),
        (
            "check_login_for_spam",
            {
                "user_id": ALICE,
                "device_id": "PHONE",
                "initial_display_name": "phone",
                "request_info": [[None, "192.0.2.1"]],
                "auth_provider_id": None,
            },
        ),
    ]


@pytest.mark.parametrize(
    ("status", "answer", "refusal"),
    [
        (200, {"errcode": "M_FORBIDDEN"}, None),
        (204, None, None),
        (403, {"errcode": "ORG.EXAMPLE_NO", "error": "no"}, Refusal("no", "ORG.EXAMPLE_NO")),
        (500, {}, Refusal()),
        (302, None, Refusal()),
        (400, {"errcode": 1, "error": []}, Refusal()),
        (400, [], Refusal()),
    ],
)
def test_an_answer_of_2xx_is_a_yes_and_any_other_a_no(status: int, answer: Any, refusal: Refusal | None) -> None:
    assert now(antispam(Bot(status, answer)).may_create_room(ALICE)) == refusal


def test_what_is_not_enabled_is_not_asked() -> None:
    bot = Bot(403)
    check = antispam(bot, enabled=frozenset({"user_may_invite"}))

    assert now(check.may_create_room(ALICE)) is None
    assert now(check.may_invite(ALICE, BOB, ROOM)) == Refusal()
    assert [name for name, _ in bot.asked] == ["user_may_invite"]


def test_no_answer_is_a_yes_where_that_is_wished_and_a_no_elsewhere() -> None:
    bot = Bot()
    bot.is_there = False
    check = antispam(bot, fails_open=frozenset({"user_may_create_room"}))

    assert now(check.may_create_room(ALICE)) is None
    refusal = now(check.may_invite(ALICE, BOB, ROOM))
    assert refusal is not None
    assert refusal.errcode == "M_UNKNOWN"


def test_who_is_only_told_refuses_nothing() -> None:
    bot = Bot(403)
    check = antispam(bot, told_only=frozenset({"user_may_invite"}))

    for is_there in (True, False):
        bot.is_there = is_there
        assert now(check.may_invite(ALICE, BOB, ROOM)) is None

    assert len(bot.asked) == 2


def test_hello_is_said_until_it_is_answered() -> None:
    bot = Bot(200, {"id": "another", "status": "ok"})
    check = antispam(bot)
    now(check.ping())
    bot.is_there = False
    now(check.ping())
    bot.is_there = True
    bot.answer = lambda body: {**body, "status": "ok"}

    for _ in range(3):
        now(check.ping())

    assert [name for name, _ in bot.asked] == ["ping"] * 3
    assert len({body["id"] for _, body in bot.asked}) == 3


def test_who_takes_long_to_say_nothing_is_left_alone_for_a_while() -> None:
    bot = Bot()
    bot.is_there, bot.takes_s = False, 5.0
    check = antispam(bot, fails_open=frozenset({"user_may_create_room"}))

    for _ in range(10):
        assert now(check.may_create_room(ALICE)) is None
        assert now(check.may_invite(ALICE, BOB, ROOM)) is not None

    assert len(bot.asked) == 1
    bot.is_there, bot.takes_s = True, 0.0
    bot.clock.advance(REST_S)
    assert now(check.may_invite(ALICE, BOB, ROOM)) is None


def test_who_is_not_there_is_asked_again_at_once() -> None:
    bot = Bot()
    bot.is_there = False
    check = antispam(bot)
    now(check.may_create_room(ALICE))
    bot.is_there = True

    assert now(check.may_create_room(ALICE)) is None
