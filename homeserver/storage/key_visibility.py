"""Who may know of whom, where key queries are limited: by the rooms that they have in common. It has no tables.

Whether queries are limited is decided in services/e2ee/key_visibility.py.
"""

from collections.abc import Collection
from typing import Final

from homeserver.core.identifiers import ServerName, UserID
from homeserver.storage.database import Transaction

# Of the users who are asked for every membership counts, also that of somebody who is invited, or has left.
PUBLIC: Final = """
    SELECT t.user_id FROM memberships t
      JOIN rooms r ON r.room_id = t.room_id JOIN room_index x ON x.room_id = t.room_id
     WHERE t.user_id IN :user_ids[text] AND NOT r.is_blocked AND (r.is_published OR x.is_public)"""
TO_USER: Final = f"""
    {PUBLIC}
    UNION
    SELECT t.user_id FROM memberships t JOIN memberships m ON m.room_id = t.room_id
     WHERE t.user_id IN :user_ids[text] AND m.user_id = :viewer_id AND m.membership IN ('join', 'invite')"""  # noqa: S608 - a constant


def visible_to_user(tx: Transaction, viewer_id: UserID, user_ids: Collection[UserID]) -> set[UserID]:
    """Those of the users who share a room with the viewer, or are in one that is open to all; and the viewer."""
    rows = tx.all(TO_USER, user_ids=list(user_ids), viewer_id=viewer_id) if user_ids else []
    return {viewer_id, *(UserID(row[0]) for row in rows)}


# Who was invited to a room that is not known here knows of it by whoever invited them. A server's name has no
# character that means anything in a pattern.
TO_SERVER: Final = f"""
    {PUBLIC}
    UNION
    SELECT t.user_id FROM memberships t JOIN room_servers s ON s.room_id = t.room_id
     WHERE t.user_id IN :user_ids[text] AND s.server = :server AND s.until_position IS NULL
    UNION
    SELECT t.user_id FROM memberships t JOIN memberships m ON m.room_id = t.room_id
     WHERE t.user_id IN :user_ids[text] AND m.membership = 'invite' AND m.user_id LIKE :of_server
    UNION
    SELECT t.user_id FROM memberships t WHERE t.user_id IN :user_ids[text] AND t.sender LIKE :of_server"""  # noqa: S608


def visible_to_server(tx: Transaction, server: ServerName, user_ids: Collection[UserID]) -> set[UserID]:
    """Those of the users who share a room with users of a server, or are in one that is open to all."""
    if not user_ids:
        return set()
    rows = tx.all(TO_SERVER, user_ids=list(user_ids), server=server, of_server=f"%:{server}")
    return {UserID(row[0]) for row in rows}
