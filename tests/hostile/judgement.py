"""What must hold whatever was sent: no 5xx, an errcode with each refusal, and a refusal changes nothing.

Faults are gathered and told at the end: one test shows all of an endpoint's, each with its request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.conformance.openapi import ResponseMismatch, validate_response
from tests.hostile.cast import Cast
from tests.hostile.tables import Tables
from tests.hostile.wire import Answer, Sent, Wire

# What the specification answers with a 5xx although nothing is wrong with the server.
SPECIFIED: Final[Mapping[int, frozenset[str]]] = {
    502: frozenset({"M_BAD_STATUS", "M_CONNECTION_FAILED"}),  # of an application service that is to be pinged
    504: frozenset({"M_CONNECTION_TIMEOUT", "M_NOT_YET_UPLOADED"}),
}
# What a client has stored is shown as it is, also where the specification knows one value only.
ECHOES: Final = (b"/_matrix/client/v3/room_keys/version",)
MOST_TOLD: Final = 8


@dataclass
class Judge:
    """Sends requests, looks at each answer and at the tables, and remembers what was wrong."""

    cast: Cast
    tables: Tables
    wire: Wire
    faults: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def begin(self, endpoint: str = "") -> None:
        """Make the cast whole, with what an endpoint is about, and forget the faults."""
        self.faults.clear()
        self.statuses.clear()
        self.cast.assemble()
        self.cast.provide(endpoint)
        self.tables.settle()
        self.tables.mark()

    def send(self, sent: Sent) -> Answer:
        """Send, judge, and return the answer."""
        answer = self.wire.send(sent)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        complaints = complaints_about(sent, answer)
        if 400 <= answer.status < 500:
            complaints += [f"refused, and yet changed: {change}" for change in self.tables.changes()]
            if answer.status == 401 and self._is_of_somebody(sent):
                # It may be that an earlier request has ended the session, which is what it asked for.
                self.cast.wake_up()
                self.tables.mark()
        elif self.tables.was_written():
            self.cast.has_spoiled_rooms = True
            self.tables.settle()
            self.tables.mark()
        self.faults += [f"{complaint}\n{sent}\n  answer {answer}" for complaint in complaints]
        return answer

    def _is_of_somebody(self, sent: Sent) -> bool:
        bearers = {b"Bearer " + self.cast.tokens[name].encode() for name in self.cast.people}
        return any(value in bearers for _, value in sent.headers)

    def conclude(self) -> None:
        """Raise AssertionError if anything was wrong."""
        told = list(dict.fromkeys(self.faults))[:MOST_TOLD]
        assert not told, f"{len(self.faults)} faults:\n\n" + "\n\n".join(told)


def complaints_about(sent: Sent, answer: Answer) -> list[str]:
    """What is wrong with an answer as such."""
    if answer.status >= 500:
        if answer.errcode in SPECIFIED.get(answer.status, ()):
            return []
        return [f"answered {answer.status}"]
    if sent.method == "HEAD":
        return [] if not answer.body else ["a HEAD was answered with a body"]
    if not answer.is_json:
        return [] if answer.status < 400 else ["an error that is not JSON"]
    try:
        body = answer.json
    except ValueError as wrong:
        return [f"the answer is not JSON: {wrong}"]
    if answer.status < 400 and sent.target.startswith(ECHOES):
        return []
    try:
        validate_response(sent.method, sent.target.decode("latin-1"), answer.status, body)
    except ResponseMismatch as mismatch:
        return [f"not as specified: {mismatch}"]
    if answer.status < 400:
        return []
    is_asking = answer.status == 401 and isinstance(body.get("flows"), list)
    if not is_asking and not (isinstance(body.get("errcode"), str) and isinstance(body.get("error"), str)):
        return ["an error without errcode and error"]
    return []
