"""Sessions: begun, continued, ended."""

from typing import Any

import pytest

from homeserver.core.identifiers import DeviceID
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import Forbidden, UnknownToken, UserLocked
from homeserver.storage.access_tokens import ENDED_KEPT
from tests.services.accounts.people import change_account, register, whose
from tests.services.world import ALICE, PHONE, World, now

TABLET = DeviceID("TABLET")
REFRESHING = DeviceWish(PHONE, None, wants_refresh_token=True)


def refresh_token_of(session: OpenedSession) -> str:
    assert session.tokens.refresh_token is not None
    return session.tokens.refresh_token


def test_the_access_token_of_a_new_account_tells_who_calls(world: World) -> None:
    session = register(world, "alice", device=DeviceWish(PHONE))

    requester = whose(world, session.tokens.access_token)

    assert requester is not None
    assert (requester.user_id, requester.device_id) == (ALICE, PHONE)
    assert not requester.is_admin
    assert not requester.is_guest


def test_a_token_that_was_used_is_known_without_the_database(world: World) -> None:
    token = register(world, "alice").tokens.access_token
    whose(world, token)
    reads = world.database.counts.reads

    found = world.tokens.find(token)

    assert isinstance(found, Requester)
    assert world.database.counts.reads == reads


@pytest.mark.parametrize(
    "token", ["", " ", "clba_", "clba_" + "x" * 32, "syt_YWxpY2U_abc", "clba_\u00e9", "x" * 100_000]
)
def test_what_is_no_token_is_nobodys(world: World, token: str) -> None:
    register(world, "alice")

    assert whose(world, token) is None


def test_the_database_holds_no_token(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)

    rows = world.sync_database.read(
        lambda tx: tx.all("SELECT token_hash FROM access_tokens UNION ALL SELECT token_hash FROM refresh_tokens")
    )

    stored = [bytes(row[0]) for row in rows]
    assert len(stored) == 2
    assert session.tokens.access_token.encode() not in stored
    assert refresh_token_of(session).encode() not in stored


def test_after_a_logout_the_token_is_nobodys_even_where_memory_knew_it(world: World) -> None:
    token = register(world, "alice").tokens.access_token
    requester = whose(world, token)
    assert requester is not None

    now(world.sessions.log_out(requester))

    assert whose(world, token) is None


def test_a_logout_leaves_other_devices_and_other_users(world: World) -> None:
    phone = register(world, "alice", device=DeviceWish(PHONE))
    tablet = now(world.login.with_password("alice", "wonderland", DeviceWish(TABLET)))
    other = register(world, "bob", device=DeviceWish(PHONE))
    requester = whose(world, phone.tokens.access_token)
    assert requester is not None

    now(world.sessions.log_out(requester))

    assert whose(world, tablet.tokens.access_token) is not None
    assert whose(world, other.tokens.access_token) is not None


def test_logging_out_everywhere_ends_all_sessions(world: World) -> None:
    tokens = [
        register(world, "alice").tokens.access_token,
        now(world.login.with_password("alice", "wonderland", DeviceWish(TABLET))).tokens.access_token,
    ]
    assert all(whose(world, token) for token in tokens)

    now(world.sessions.log_out_all(ALICE))

    assert [whose(world, token) for token in tokens] == [None, None]


def test_who_logs_out_everywhere_takes_back_what_would_log_in_another_device(world: World) -> None:
    register(world, "alice")
    token, _ = now(world.login.issue_token(ALICE))

    now(world.sessions.log_out_all(ALICE))

    with pytest.raises(Forbidden):
        now(world.login.with_token(token, DeviceWish()))


def test_a_second_login_of_a_device_ends_its_first_session(world: World) -> None:
    first = register(world, "alice", device=DeviceWish(PHONE))
    assert whose(world, first.tokens.access_token) is not None

    second = now(world.login.with_password("alice", "wonderland", DeviceWish(PHONE)))

    assert whose(world, first.tokens.access_token) is None
    assert whose(world, second.tokens.access_token) is not None


def test_without_refresh_tokens_an_access_token_does_not_expire(world: World) -> None:
    session = register(world, "alice")

    world.clock.advance(10 * 365 * 86_400)

    assert session.tokens.refresh_token is None
    requester = whose(world, session.tokens.access_token)
    assert requester is not None
    assert not requester.is_soft_logged_out


def test_an_expired_access_token_is_softly_logged_out_until_it_is_refreshed(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    assert session.tokens.expires_in_ms == 300_000
    fresh = whose(world, session.tokens.access_token)

    world.clock.advance(300)

    expired = whose(world, session.tokens.access_token)
    assert fresh is not None
    assert expired is not None
    assert (fresh.is_soft_logged_out, expired.is_soft_logged_out) == (False, True)
    renewed = now(world.sessions.refresh(refresh_token_of(session)))
    requester = whose(world, renewed.access_token)
    assert requester is not None
    assert not requester.is_soft_logged_out
    assert requester.device_id == PHONE


def test_a_refresh_token_can_be_tried_again_until_its_successor_is_used(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    lost = now(world.sessions.refresh(refresh_token_of(session)))
    got = now(world.sessions.refresh(refresh_token_of(session)))

    whose(world, got.access_token)

    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(refresh_token_of(session)))
    ended = whose(world, lost.access_token)
    assert ended is None or ended.is_soft_logged_out
    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(lost.refresh_token or ""))


def test_using_the_next_refresh_token_ends_the_one_before(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    second = now(world.sessions.refresh(refresh_token_of(session)))

    third = now(world.sessions.refresh(second.refresh_token or ""))

    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(refresh_token_of(session)))
    assert whose(world, third.access_token) is not None


def test_many_refreshes_leave_few_rows(world: World) -> None:
    tokens = register(world, "alice", device=REFRESHING).tokens

    for _ in range(ENDED_KEPT + 5):
        world.clock.advance(400)
        tokens = now(world.sessions.refresh(tokens.refresh_token or ""))
        whose(world, tokens.access_token)

    count = "SELECT (SELECT count(*) FROM access_tokens), (SELECT count(*) FROM refresh_tokens)"
    assert world.sync_database.read(lambda tx: tx.one(count)) == (1, 1 + ENDED_KEPT)


def test_a_refresh_token_that_comes_back_after_its_successor_was_used_ends_the_session(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    others = register(world, "bob", device=REFRESHING)
    second = now(world.sessions.refresh(refresh_token_of(session)))
    assert whose(world, second.access_token) is not None
    world.clock.advance(61)

    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(refresh_token_of(session)))

    assert whose(world, second.access_token) is None
    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(second.refresh_token or ""))
    assert whose(world, others.tokens.access_token) is not None
    assert [device.device_id for device in now(world.devices.of_user(ALICE))] == [PHONE]


def test_a_request_that_was_sent_twice_does_not_end_the_session(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    second = now(world.sessions.refresh(refresh_token_of(session)))
    assert whose(world, second.access_token) is not None
    world.clock.advance(30)

    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(refresh_token_of(session)))

    assert whose(world, second.access_token) is not None
    assert now(world.sessions.refresh(second.refresh_token or "")) is not None


@pytest.mark.parametrize("token", ["", "clbr_unknown", "clba_unknown"])
def test_an_unknown_refresh_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(token))


def test_an_access_token_refreshes_nothing(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)

    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(session.tokens.access_token))

    assert whose(world, refresh_token_of(session)) is None


def test_a_locked_user_does_not_refresh(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    change_account(world, ALICE, is_locked=True)

    with pytest.raises(UserLocked):
        now(world.sessions.refresh(refresh_token_of(session)))


def test_a_deactivated_user_neither_calls_nor_refreshes(world: World) -> None:
    session = register(world, "alice", device=REFRESHING)
    change_account(world, ALICE, is_deactivated=True)

    assert whose(world, session.tokens.access_token) is None
    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(refresh_token_of(session)))


class LoggingOutMeanwhile:
    """A database on which a logout is committed between a read and its answer."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, *asked: Any) -> Any:
        found = self._world.database.read_now(*asked)
        self._world.database.write_now(self._world.device_removal.remove, ALICE, (PHONE,))
        return found


def test_a_lookup_that_a_logout_overtakes_is_not_remembered(world: World) -> None:
    token = register(world, "alice").tokens.access_token
    slow: Any = LoggingOutMeanwhile(world)
    tokens = AccessTokens(slow, world.appservices, world.clock)
    removal = DeviceRemoval(tokens, world.device_lists)
    world.device_removal = removal
    lookup: Any = tokens.find(token)

    now(lookup)

    assert len(tokens) == 0
