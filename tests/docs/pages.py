"""The pages that people read, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("README.md", "CHANGELOG.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

# What a block is. Of shell only `sh` is run: it needs nothing but this project, and no root. `console` has a prompt.
LANGUAGES: Final = {"sh", "python", "console", "text", "yaml", "json", "nginx", "caddyfile"}

FENCE: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What is typed: a `sh` block has a command per line, a `console` block behind each prompt."""
        lines = self.text.splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith(("$ ", "# "))]
        return [line for line in lines if line.strip()]


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str, *languages: str) -> Iterator[Block]:
    """The blocks of a page in these languages, or all, in order."""
    text = read(page)
    for match in FENCE.finditer(text):
        if not languages or match["language"] in languages:
            yield Block(page, text.count("\n", 0, match.start()) + 1, match["language"], match["text"])
