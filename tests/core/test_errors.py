"""Tests of the errors that say more than their class."""

from homeserver.core.errors import BadEvent, EventTooLarge, MissingEvents, MissingNodes, ProtocolError


def test_a_protocol_error_keeps_its_reason() -> None:
    error = EventTooLarge("too large")

    assert error.reason == str(error) == "too large"
    assert isinstance(error, BadEvent)
    assert isinstance(error, ProtocolError)


def test_a_question_for_what_is_missing_names_it_once() -> None:
    assert MissingEvents(["$a", "$b", "$a"]).event_ids == {"$a", "$b"}
    assert MissingNodes([b"a"]).digests == {b"a"}
    assert not isinstance(MissingEvents([]), ProtocolError)
