"""Dot-separated property paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.property_paths import ABSENT, look_up, split_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", r"m\foo")),
        (r"content.m\foo", ("content", r"m\foo")),
        (r"content.m\\.foo", ("content", "m\\", "foo")),
        ("type", ("type",)),
        ("", ("",)),
        ("a..b", ("a", "", "b")),
        ("a\\", ("a\\",)),
    ],
)
def test_a_path_is_split_at_its_unescaped_dots(path: str, names: tuple[str, ...]) -> None:
    assert split_path(path) == names


@given(st.lists(st.text(alphabet="a.\\", max_size=4), min_size=1, max_size=4))
def test_escaped_names_survive_a_path(names: list[str]) -> None:
    path = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)

    assert split_path(path) == tuple(names)


def test_a_value_is_found_only_through_objects() -> None:
    document = {"content": {"body": None, "list": [{"a": 1}], "m.x": {"y": 3}}}

    assert look_up(document, ("content", "body")) is None
    assert look_up(document, ("content", "m.x", "y")) == 3
    assert look_up(document, ("content", "missing")) is ABSENT
    assert look_up(document, ("content", "list", "a")) is ABSENT
    assert look_up(document, ("content", "body", "a")) is ABSENT
