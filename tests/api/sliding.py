"""A connection of sliding sync, as clients keep it: every request says all that is wanted, and where the last ended."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.api.client import Client

# Any: JSON, throughout.

PATH: Final = ("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",)
EXTENSIONS: Final = {name: {"enabled": True} for name in ("e2ee", "account_data", "receipts", "typing", "to_device")}


@dataclass
class Connection:
    """One connection of a device. `ask` goes on from the last answer, unless it is told to ask otherwise."""

    client: Client
    conn_id: str = "main"
    pos: str | None = None
    wishes: dict[str, Any] = field(default_factory=dict)

    def ask(self, *, pos: str | None = None, timeout_ms: int = 0, **options: Any) -> Any:
        """What is answered: by what `wishes` say, and with `pos` from another place."""
        answer = self.try_to_ask(pos=pos, timeout_ms=timeout_ms, **options)
        self.pos = answer["pos"]
        return answer

    def try_to_ask(self, *, pos: str | None = None, timeout_ms: int = 0, **options: Any) -> Any:
        """The same, without going on from the answer."""
        begin = self.pos if pos is None else pos
        query = {"timeout": timeout_ms, **({} if begin is None else {"pos": begin})}
        body = {"conn_id": self.conn_id, **self.wishes}
        return self.client.post(*PATH, body=body, query=query, **options)

    def want(self, **wishes: Any) -> None:
        """Say what is wanted from now on, beside what is already."""
        self.wishes.update(wishes)

    def want_list(self, first: int = 0, last: int = 19, **more: Any) -> None:
        """Want a window of all rooms, or of those that `filters` lets through."""
        self.want(lists={"all": {"ranges": [[first, last]], "timeline_limit": 10, "required_state": [], **more}})


def following(client: Client, conn_id: str = "main", **more: Any) -> Connection:
    """A connection that follows the first twenty rooms."""
    connection = Connection(client, conn_id)
    connection.want_list(**more)
    return connection


def texts(room: Any) -> list[str]:
    """What was said in a room's timeline."""
    return [event["content"]["body"] for event in room["timeline"] if event["type"] == "m.room.message"]


def keys(room: Any) -> set[tuple[str, str]]:
    """The types and state keys of the state that is told."""
    return {(event["type"], event["state_key"]) for event in room["required_state"]}
