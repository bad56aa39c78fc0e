"""Users of this server who wanted to be erased: what they sent is shown redacted to whoever was not there to see it.

Only what is shown is less; nothing is redacted for good, since the graph needs the events as they were signed. What is
shown to clients is decided in client_format.py, what to other servers in services/federation/visibility.py.
Spec: client-server-api/#post_matrixclientv3accountdeactivate
"""

from dataclasses import replace

from homeserver.core.identifiers import UserID
from homeserver.core.redaction import redacted_event
from homeserver.storage.accounts import erased_users
from homeserver.storage.database import Database
from homeserver.storage.events import Form, StoredEvent


class ErasedUsers:
    """Who they are, in memory: each page of a room's history asks for it."""

    def __init__(self) -> None:
        self._users: set[str] = set()

    async def load(self, database: Database) -> None:
        """Read them from the database: to be called once, before anything is shown to anybody."""
        self._users.update(await database.read(erased_users))

    def note(self, user_id: UserID) -> None:
        """One more, whose account says so now."""
        self._users.add(user_id)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._users

    def __bool__(self) -> bool:
        return bool(self._users)


def without_content(stored: StoredEvent) -> StoredEvent:
    """An event as those see it who are not to see what an erased user said."""
    if stored.form is not Form.FULL:
        return stored
    return replace(stored, event=redacted_event(stored.event), form=Form.REDACTED)
