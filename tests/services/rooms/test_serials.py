"""Serials only grow."""

from homeserver.services.rooms.serials import Serials


def test_each_serial_is_newer_than_all_before() -> None:
    serials = Serials()

    assert [serials.newest, serials.advance(), serials.advance(), serials.newest] == [0, 1, 2, 2]
