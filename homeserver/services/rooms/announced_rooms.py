"""A room elsewhere as an invite or a knock has announced it: the stripped state that came with it, as a summary.

It is what the user's clients are shown of the room in any case, and all that is known of it while no server answers
that is in it: see room_summaries.py and hierarchy.py. Spec: client-server-api/#stripped-state
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.rooms.remote_directory import room_as_told
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import find_membership

# JSON of other servers is `Any` in this file.

SHOWN: Final = {
    "name": ("m.room.name", "name"),
    "topic": ("m.room.topic", "topic"),
    "avatar_url": ("m.room.avatar", "url"),
    "canonical_alias": ("m.room.canonical_alias", "alias"),
    "join_rule": ("m.room.join_rules", "join_rule"),
    "room_type": ("m.room.create", "type"),
    "room_version": ("m.room.create", "room_version"),
    "encryption": ("m.room.encryption", "algorithm"),
}


def announced_room(tx: Transaction, room_id: RoomID, user_id: UserID) -> Mapping[str, Any] | None:
    """The room as Spaces.summary has one, for a user whose invite or knock is pending. None for everybody else.

    Of its members those are counted that were announced, and of a space no rooms are known.
    """
    membership = find_membership(tx, room_id, user_id)
    if membership is None or membership.membership not in ("invite", "knock") or membership.stripped_state is None:
        return None
    announced = orjson.loads(membership.stripped_state)
    contents = {event["type"]: event["content"] for event in announced if event["state_key"] == ""}
    told = {name: contents.get(event_type, {}).get(field) for name, (event_type, field) in SHOWN.items()}
    joined = [event for event in announced if event["type"] == "m.room.member"]
    members = {event["state_key"] for event in joined if event["content"].get("membership") == "join"}
    shown = room_as_told({**told, "room_id": room_id, "num_joined_members": len(members)})
    # A room that was announced without its rule is not to pass for a public one: it has let the user do this.
    return None if shown is None else {"join_rule": membership.membership, **shown, "children_state": []}
