"""The settings, against those who use them."""

from pathlib import Path

import pytest

from homeserver.core.room_versions import DEFAULT_ROOM_VERSION
from homeserver.http.endpoint import Surface
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rate_limits import Counted
from homeserver.services.rooms.presence import Scope
from homeserver.settings.sections import DEFAULT_RATE_LIMITS, SURFACES, Settings
from tests.settings.configurations import load, mistakes


def test_what_a_listener_may_serve_is_what_endpoints_belong_to() -> None:
    assert list(SURFACES) == [surface.value for surface in Surface]


def test_every_class_of_endpoints_but_the_free_one_has_a_rate_limit_and_so_has_whatever_else_is_counted() -> None:
    classes = {each.value for each in RateClass if each is not RateClass.FREE}

    assert set(DEFAULT_RATE_LIMITS) == classes | {each.value for each in Counted}
    assert not classes & {each.value for each in Counted}


def test_presence_goes_to_other_servers_unless_somebody_says_otherwise() -> None:
    assert Scope(Settings(server_name="example.org").presence) == Scope.ON


def test_new_rooms_have_the_version_that_the_specification_recommends() -> None:
    assert Settings(server_name="example.org").default_room_version == DEFAULT_ROOM_VERSION.name


def test_figures_about_the_server_are_shown_only_where_somebody_says_so() -> None:
    settings = Settings(server_name="example.org")

    assert all("metrics" not in listener.serve for listener in settings.listeners)


def test_documents_to_accept_are_of_one_version_and_each_is_there_once(tmp_path: Path) -> None:
    document = "{policy: privacy, version: %s, language: %s, name: Privacy, url: https://example.org/privacy}"
    rest = "server_name: example.org\nregistration: {terms: [%s]}\n"

    read = load(tmp_path, rest % ", ".join((document % ("'1'", "en"), document % ("'1'", "pt-BR"))))
    wrong = [
        rest % ", ".join((document % ("'1'", "en"), document % ("'2'", "fr"))),
        rest % ", ".join((document % ("'1'", "en"), document % ("'1'", "en"))),
        rest % (document % ("1.2", "en")),
        rest % (document % ("'1'", "version")),
        rest % (document % ("'1'", "en")).replace("policy: privacy", "policy: privacy policy"),
    ]

    assert [(one.policy, one.version, one.language) for one in read.registration.terms] == [
        ("privacy", "1", "en"),
        ("privacy", "1", "pt-BR"),
    ]
    assert [len(mistakes(tmp_path, text)) for text in wrong] == [1] * len(wrong)


@pytest.mark.parametrize(("key", "is_one"), [("A" * 43, True), ("A" * 44, False), ("A" * 42 + "=", False), ("", False)])
def test_the_key_of_a_policy_server_looks_like_one(tmp_path: Path, key: str, is_one: bool) -> None:
    assert (mistakes(tmp_path, f"server_name: example.org\npolicy_server_key: '{key}'\n") == []) is is_one
