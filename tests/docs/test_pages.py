"""The pages hold together: their links lead somewhere, what they name exists, what is missing is still missing."""

import re

import pytest

from tests.conformance.operations import declared
from tests.docs.pages import LANGUAGES, PAGES, ROOT, blocks_of, read

LINK = re.compile(r"\]\((?!https?:)(?P<file>[^)#]*)(?:#(?P<heading>[^)]*))?\)")
MAKE = re.compile(r"(?<![\w-])make (?:-C \S+ )?(?P<target>[a-z][a-z-]*)")
METRIC = re.compile(r"`(columba_\w+)`")

# What docs/operating.md says is not there, and the beginning of the paths by which it would be.
MISSING = {
    "**Media**": "/_matrix/client/v1/media/",
    "**Push notifications**": "/_matrix/client/v3/pushers",
    "**Application services**": "/_matrix/client/v1/appservice/",
    "**Search**": "/_matrix/client/v3/search",
    "**E-mail addresses": "/_matrix/client/v3/account/3pid",
}


def anchor(heading: str) -> str:
    """What a link to a heading says."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in LINK.finditer(read(page)):
        target = (ROOT / page).parent / link["file"] if link["file"] else ROOT / page
        assert target.exists(), link[0]
        if link["heading"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert link["heading"] in map(anchor, headings), link[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    assert [block for block in blocks_of(page) if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [command for block in blocks_of(page, "sh", "console") for command in block.commands]

    used = {match["target"] for command in commands for match in MAKE.finditer(command.replace("install git make", ""))}

    assert used <= targets


def test_every_page_is_reached_from_the_first_one() -> None:
    reached, new = set(), {"README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        links = {(ROOT / page).parent / link["file"] for link in LINK.finditer(read(page)) if link["file"]}
        pages = {str(link.resolve().relative_to(ROOT)) for link in links if link.suffix == ".md"}
        new |= pages - reached

    assert reached == set(PAGES)


@pytest.mark.parametrize("name", MISSING)
def test_what_the_guide_says_is_missing_is_missing(name: str) -> None:
    section = read("docs/operating.md").partition("## What is not there yet")[2]

    served = any(mark.path.startswith(MISSING[name]) for mark in declared())

    assert (name in section) is not served


def test_every_figure_that_the_guide_names_is_exported() -> None:
    exported = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "homeserver").rglob("*.py"))

    for name in METRIC.findall(read("docs/operating.md")):
        assert f'"{name.removesuffix("_total")}"' in exported
