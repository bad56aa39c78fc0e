"""What is said of a user's presence."""

import pytest

from homeserver.core.presence import PresenceWord, Status, most_present


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([], "offline"),
        (["offline"], "offline"),
        (["offline", "unavailable"], "unavailable"),
        (["unavailable", "online", "offline"], "online"),
    ],
)
def test_a_user_is_as_present_as_the_most_present_device(devices: list[PresenceWord], expected: PresenceWord) -> None:
    assert most_present(devices) == expected


def test_content_has_what_is_known_and_no_more() -> None:
    unknown = Status().content(100.0)
    known = Status("online", "busy", currently_active=True, last_active_s=40.0).content(100.0)

    assert unknown == {"presence": "offline"}
    assert known == {"presence": "online", "status_msg": "busy", "currently_active": True, "last_active_ago": 60_000}


def test_nobody_was_active_in_the_future() -> None:
    assert Status("online", last_active_s=101.0).content(100.0)["last_active_ago"] == 0


def test_it_is_no_news_when_somebody_was_active_last() -> None:
    before = Status("online", "busy", currently_active=True, last_active_s=1.0)

    assert Status("online", "busy", currently_active=True, last_active_s=2.0).says_the_same(before)
    assert not Status("online", "idle", currently_active=True, last_active_s=1.0).says_the_same(before)
    assert not Status("online", "busy", currently_active=False, last_active_s=1.0).says_the_same(before)
    assert not Status("offline", "busy", currently_active=True, last_active_s=1.0).says_the_same(before)


def test_who_only_pauses_is_told_from_who_goes() -> None:
    before = Status("online", "busy", currently_active=True)

    assert Status("online", "busy").is_only_active(before)
    assert not Status("unavailable", "busy").is_only_active(before)
    assert not Status("online").is_only_active(before)
