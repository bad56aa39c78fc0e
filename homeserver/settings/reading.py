"""Where in which file something stands, and what is wrong with it.

What may stand there is in kinds.py and sections.py.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a file that the operator has to change."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class SettingsError(Exception):
    """The configuration cannot be used: every mistake that was found, in the order of the files and lines."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = list(mistakes)


class Refused(Exception):  # noqa: N818 - the mistake is written down already
    """A value that cannot be used; its mistakes are in the document."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration must agree with and only the protocol knows."""

    is_server_name: Callable[[str], bool]
    room_versions: Collection[str]


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is being read. Relative paths in it count from its own folder."""

    path: Path
    rules: Rules
    mistakes: list[Mistake] = field(default_factory=list)

    def beside(self, path: Path) -> "Document":
        """Another file, read on behalf of this one: its mistakes are in the same list."""
        return Document(path, self.rules, self.mistakes)


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a document; `name` is how the operator finds it: "listeners[0].port"."""

    document: Document
    node: yaml.Node
    name: str = ""

    def below(self, node: yaml.Node, key: str) -> "Place":
        """The value `node` of `key` in this mapping."""
        return Place(self.document, node, f"{self.name}.{key}" if self.name else key)

    def at(self, node: yaml.Node, index: int) -> "Place":
        """The item `node` of this list."""
        return Place(self.document, node, f"{self.name}[{index}]")

    def refuse(self, message: str) -> Refused:
        """Write down a mistake, and give the exception to raise."""
        text = f"{self.name}: {message}" if self.name else message
        self.document.mistakes.append(Mistake(self.document.path, self.node.start_mark.line + 1, text))
        return Refused()


def compose(document: Document) -> Place | None:
    """The whole of a YAML file, or None when it is empty. Raises Refused."""
    top = _TopOfFile(document)
    try:
        node = yaml.compose(document.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as problem:
        raise top.refuse(1, f"cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise top.refuse(1, "is not text in UTF-8") from problem
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise top.refuse(mark.line + 1 if mark else 1, f"is not YAML: {problem.problem}") from problem
    except yaml.YAMLError as problem:
        raise top.refuse(1, f"is not YAML: {problem}") from problem
    return None if node is None else Place(document, node)


@dataclass(frozen=True, slots=True)
class _TopOfFile:
    document: Document

    def refuse(self, line: int, message: str) -> Refused:
        self.document.mistakes.append(Mistake(self.document.path, line, message))
        return Refused()


def entries(place: Place) -> dict[str, tuple[Place, Place]]:
    """The (key, value) of each key of a mapping; none for null. Raises Refused when it is no mapping.

    A key that stands twice, or is no text, is a mistake and left out.
    """
    if is_null(place.node):
        return {}
    if not isinstance(place.node, yaml.MappingNode):
        raise place.refuse("must be a table of settings (key: value)")
    found: dict[str, tuple[Place, Place]] = {}
    for key_node, value_node in place.node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            place.below(key_node, "?").refuse("a key must be a word")
            continue
        key = key_node.value
        at_key = place.below(key_node, key)
        if key in found:
            first_line = found[key][0].node.start_mark.line + 1
            at_key.refuse(f"stands twice; it is already in line {first_line}")
        else:
            found[key] = at_key, place.below(value_node, key)
    return found


def refuse_unknown(found: dict[str, tuple[Place, Place]], known: Collection[str]) -> None:
    """Write down a mistake for each key that is not known."""
    for key, (at_key, _) in found.items():
        if key not in known:
            similar = get_close_matches(key, known, n=1)
            at_key.refuse("there is no such setting" + (f"; did you mean {similar[0]}?" if similar else ""))


def is_null(node: yaml.Node) -> bool:
    """True for `null`, `~` and nothing at all."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def word_of(node: yaml.Node) -> str | None:
    """What is written there, whatever YAML takes it for; None for a table or list."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None
