"""The graph of a room's events in Graphviz' language."""

from homeserver.core.graph_drawing import DrawnEvent, graph_begin, graph_end, graph_event

PLAIN = DrawnEvent("$b", "m.room.message", "@alice:example.org", None, "accepted", "whole", ["$a", "$a", "$c"])


def test_an_event_is_drawn_with_an_edge_to_each_that_it_is_built_on() -> None:
    assert graph_event(PLAIN).splitlines() == [
        '  "$b" [label="m.room.message\\n@alice:example.org\\n$b", color=black, fillcolor=white, style=filled];',
        '  "$b" -> "$a";',
        '  "$b" -> "$c";',
    ]


def test_what_is_special_about_an_event_is_shown() -> None:
    event = DrawnEvent("$b", "m.room.member", "@a:b", "@c:d", "rejected", "redacted", None)

    drawn = graph_event(event)

    assert "for @c:d\\n$b\\nrejected\\nredacted\\ncannot be read" in drawn
    assert 'color=red, fillcolor=lightyellow, style="filled,dashed"' in drawn


def test_of_what_is_missing_only_the_name_is_drawn() -> None:
    drawn = graph_event(DrawnEvent("$a", None, None, None, "missing", "whole", ()))

    assert drawn == '  "$a" [label="$a\\nmissing", color=lightgray, fillcolor=white, style=filled];\n'


def test_nothing_in_an_event_can_end_a_string_of_the_drawing() -> None:
    nasty = 'a"];\n"b\\'
    event = DrawnEvent(nasty, nasty, nasty, nasty, "accepted", "whole", [nasty])

    drawn = graph_begin(nasty) + graph_event(event) + graph_end()

    quoted = 'a\\"];?\\"b\\\\'
    assert f'"{quoted}" -> "{quoted}";' in drawn
    assert drawn.count("\n") == 6
    unescaped = drawn.replace("\\\\", "").replace('\\"', "")
    assert unescaped.count('"') % 2 == 0


def test_a_long_text_is_cut_short() -> None:
    event = DrawnEvent("$b", "x" * 1000, "@a:b", "", "accepted", "whole", [])

    assert len(graph_event(event)) < 300
