"""The settings, against those who use them."""

from homeserver.core.room_versions import DEFAULT_ROOM_VERSION
from homeserver.http.endpoint import Surface
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.presence import Scope
from homeserver.settings.sections import DEFAULT_RATE_LIMITS, SURFACES, Settings


def test_what_a_listener_may_serve_is_what_endpoints_belong_to() -> None:
    assert list(SURFACES) == [surface.value for surface in Surface]


def test_every_class_of_endpoints_but_the_free_one_has_a_rate_limit() -> None:
    assert set(DEFAULT_RATE_LIMITS) == {each.value for each in RateClass if each is not RateClass.FREE}


def test_presence_goes_to_other_servers_unless_somebody_says_otherwise() -> None:
    assert Scope(Settings(server_name="example.org").presence) == Scope.ON


def test_new_rooms_have_the_version_that_the_specification_recommends() -> None:
    assert Settings(server_name="example.org").default_room_version == DEFAULT_ROOM_VERSION.name


def test_figures_about_the_server_are_shown_only_where_somebody_says_so() -> None:
    settings = Settings(server_name="example.org")

    assert all("metrics" not in listener.serve for listener in settings.listeners)
