"""The graph of a room's events in DOT, the language of Graphviz: in pieces, so that a long history needs no memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SHOWN_LENGTH: Final = 48


@dataclass(frozen=True, slots=True)
class DrawnEvent:
    """What is drawn of an event. `form` is "whole", or why it is not.

    `verdict` is "accepted", "soft-failed" or "rejected"; "outlier" for one known without the graph around it, "waiting"
    for one that was not judged yet, "missing" for one that others name and that is not here: of which nothing else is
    known. `prev_event_ids` is None where the event can no longer be read.
    """

    event_id: str
    type: str | None
    sender: str | None
    state_key: str | None
    verdict: str
    form: str
    prev_event_ids: Sequence[str] | None


_COLOURS: Final = {
    "accepted": "black",
    "soft-failed": "orange",
    "rejected": "red",
    "outlier": "gray",
    "waiting": "blue",
    "missing": "lightgray",
}


def graph_begin(room_id: str) -> str:
    """The beginning of a drawing. What is built on comes above what builds on it."""
    return (
        f"digraph {_quoted(room_id)} {{\n"
        "  rankdir=BT;\n"
        '  node [shape=box, style=filled, fillcolor=white, fontname="sans-serif", fontsize=10];\n'
    )


def graph_event(event: DrawnEvent) -> str:
    """One event, with an edge to each that it is built on."""
    own = _quoted(event.event_id)
    lines = [line for line in (event.type, event.sender) if line is not None]
    if event.state_key:
        lines.append(f"for {event.state_key}")
    lines.append(event.event_id)
    if event.verdict != "accepted":
        lines.append(event.verdict)
    if event.form != "whole":
        lines.append(event.form)
    if event.prev_event_ids is None:
        lines.append("cannot be read")
    label = '"' + "\\n".join(_escaped(_shortened(line)) for line in lines) + '"'
    colour = _COLOURS.get(event.verdict, "purple")
    fill = "lightyellow" if event.state_key is not None else "white"
    style = "filled" if event.form == "whole" else '"filled,dashed"'
    drawn = [f"  {own} [label={label}, color={colour}, fillcolor={fill}, style={style}];\n"]
    drawn += (f"  {own} -> {_quoted(prev)};\n" for prev in dict.fromkeys(event.prev_event_ids or ()))
    return "".join(drawn)


def graph_end() -> str:
    """The end of a drawing."""
    return "}\n"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """As it stands between quotes. Whatever is no plain character becomes a question mark."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')
