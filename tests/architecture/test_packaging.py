"""What setup.cfg promises is what the package needs: its libraries, and the files that are no Python."""

import configparser
import re
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

from tests.architecture.import_rules import third_party_imports
from tests.architecture.source_tree import ROOT, read_tree

# Reached through another: twisted[tls] brings what its TLS needs, Twisted its interfaces.
BROUGHT_BY_TWISTED = {"pyopenssl", "service-identity", "idna", "zope-interface"}


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _required() -> set[str]:
    lines = _setup()["options"]["install_requires"].splitlines()
    return {_normal(re.split(r"[\[<>=~;]", line)[0]) for line in lines if line.strip()}


def test_every_library_that_is_imported_is_required_and_no_other() -> None:
    distributions = packages_distributions()
    known = _required() | BROUGHT_BY_TWISTED

    sources = [{_normal(each) for each in distributions[name]} for name in third_party_imports(read_tree())]

    assert [source for source in sources if not source & known] == []
    assert _required() - set().union(*sources) == set()


def test_every_requirement_has_an_upper_bound() -> None:
    lines = _setup()["options"]["install_requires"].split("\n")

    assert [line for line in lines if line.strip() and "<" not in line] == []


def test_every_file_that_is_no_python_is_packaged() -> None:
    patterns = {
        PurePosixPath(package.replace(".", "/")) / pattern
        for package, value in _setup()["options.package_data"].items()
        for pattern in re.split(r"[\n,]\s*", value)
    }
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "homeserver").rglob("*") if path.is_file()]

    left_out = [
        name
        for name in files
        if not name.endswith((".py", ".pyc")) and not any(fnmatch(name, str(pattern)) for pattern in patterns)
    ]

    assert left_out == []
