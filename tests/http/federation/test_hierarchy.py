"""Spaces over HTTP."""

from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, SERVER


def test_a_space_is_told_with_its_children(served: Served, serving: Serving) -> None:
    def make() -> str:
        space = serving.world.create_room(ALICE, preset="public_chat", creation_content={"type": "m.space"})
        for name in ("Garden", "Pond"):
            content = {"via": [SERVER], "suggested": name == "Pond"}
            serving.set_state(space, "m.space.child", content, serving.room(name=name))
        return space

    space = in_reactor(make)

    whole = ask(served, "GET", "hierarchy", space)
    suggested = ask(served, "GET", "hierarchy", space, query={"suggested_only": "true"})

    assert whole.status == 200
    assert whole.json.keys() == {"room", "children", "inaccessible_children"}
    assert {child["name"] for child in whole.json["children"]} == {"Garden", "Pond"}
    assert {child["name"] for child in suggested.json["children"]} == {"Pond"}


def test_what_cannot_be_told_is_refused(served: Served) -> None:
    assert refusal(ask(served, "GET", "hierarchy", "!nowhere:b")) == (404, "M_NOT_FOUND")
    assert refusal(ask(served, "GET", "hierarchy", "!a:b", query={"suggested_only": "x"})) == (400, "M_INVALID_PARAM")
