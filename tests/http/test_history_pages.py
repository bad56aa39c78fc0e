"""Parts of a room's history, as they are asked for and answered."""

import orjson

from homeserver.http.history_pages import context_answer, history_answer
from homeserver.services.rooms.timeline import Context, Page

ONE, TWO, THREE = (orjson.Fragment(name) for name in (b"1", b"2", b"3"))


def test_a_page_tells_of_its_end_and_of_state_if_it_has_them() -> None:
    assert history_answer(Page([ONE], "a", None, [])) == {"chunk": [ONE], "start": "a"}
    whole = {"chunk": [ONE], "start": "a", "end": "b", "state": [TWO]}
    assert history_answer(Page([ONE], "a", "b", [TWO])) == whole


def test_an_event_is_told_of_with_what_is_around_it() -> None:
    around = context_answer(Context(ONE, [TWO], [], "a", "b", [THREE]))

    assert around == {
        "event": ONE,
        "events_before": [TWO],
        "events_after": [],
        "start": "a",
        "end": "b",
        "state": [THREE],
    }
