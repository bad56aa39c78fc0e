"""Which operations the specification has (operations.tsv), and which this server does not serve yet (not_yet.txt).

Run as a program it takes from not_yet.txt what is served by now:

    .venv/bin/python -m tests.conformance.operations
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeserver.http.endpoint import Endpoint, endpoints_of
from homeserver.http.table import ENDPOINT_CLASSES

HERE: Final = Path(__file__).parent
NOT_YET: Final = HERE / "not_yet.txt"

# Served, and no operation of the client-server API: by the start of the path, and why.
OWN_PATHS: Final = {
    "/_columba/": "this server's own: its administration, health and metrics",
    "/_synapse/admin/": "what existing moderation tools call",
    "/_matrix/client/unstable/": "proposals that clients use before they are in the specification",
    "/_matrix/client/v1/delayed_events": "MSC4140, which is accepted",
    "/_matrix/client/v3/rooms/{}/delayed_event/": "MSC4140, which is accepted",
    "/_matrix/client/v1/rtc/": "MSC4143, which clients use by this name too",
    "/_matrix/client/v3/pushrules/global/{}/": "the rules of one kind, as Synapse lists them",
    "/_matrix/client/v3/auth/": "fallback pages of user-interactive authentication, in prose only",
    "/_matrix/client/v3/rooms/{}/redact/{}": "without a transaction ID, as before there were any",
    "/_matrix/client/v3/rooms/{}/send/{}": "as above",
    "/_matrix/client/v3/rooms/{}/state/{}": "the empty state key without its slash",
    "/_matrix/static/": "the login fallback page, in prose only",
    "/_matrix/federation/": "the server-server API",
    "/_matrix/key/": "the server-server API",
    "/.well-known/matrix/server": "the server-server API",
}


@dataclass(frozen=True, slots=True)
class SpecifiedOperation:
    """One line of operations.tsv: facts of the client-server API, version 1.19."""

    method: str
    path: str
    operation_id: str
    auth: tuple[str, ...]
    deprecated: bool

    @property
    def key(self) -> str:
        """Method and path, as not_yet.txt writes them."""
        return f"{self.method} {self.path}"


def specified() -> list[SpecifiedOperation]:
    """Read operations.tsv."""
    with (HERE / "operations.tsv").open(encoding="utf-8", newline="") as opened:
        return [
            SpecifiedOperation(
                row["method"],
                row["path"],
                row["operationId"],
                tuple(row["auth"].split(",")),
                row["deprecated"] == "yes",
            )
            for row in csv.DictReader(opened, delimiter="\t")
        ]


def declared() -> list[Endpoint]:
    """Return every endpoint that is marked in the table's classes."""
    return [mark for owner in ENDPOINT_CLASSES for mark in endpoints_of(owner)]


def shape(method: str, path: str) -> str:
    """Return method and path with the names of parameters left out: two servers may name them differently."""
    return f"{method} {nameless(path)}"


def nameless(path: str) -> str:
    """Return a path with the names of its parameters left out."""
    return re.sub(r"{[^}]*}", "{}", path)


def served(endpoints: Iterable[Endpoint]) -> set[str]:
    """Return the shapes of everything that the endpoints answer."""
    return {shape(mark.method, path) for mark in endpoints for path in mark.paths}


def not_yet() -> list[str]:
    """Read not_yet.txt."""
    return [line for line in NOT_YET.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def shrink() -> None:
    """Take from not_yet.txt what is served by now; nothing is ever added."""
    answered = served(declared())
    kept = []
    for line in NOT_YET.read_text(encoding="utf-8").splitlines():
        method, _, path = line.partition(" ")
        if line.startswith("#") or shape(method, path) not in answered:
            kept.append(line)
    NOT_YET.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    shrink()
