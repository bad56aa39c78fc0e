"""Building events of this server's users: hashed, signed, and authorised by the room's state.

How they are stored is in persistence.py; who asks for which event, in services/rooms/.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from homeserver.core.auth_rules import authorise
from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.errors import AuthRejected, BadJson
from homeserver.core.event import EncodedEvent, Event, is_create
from homeserver.core.event_building import EventTemplate, build_event, reference_to
from homeserver.core.event_format import depth_limit
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import Signer
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.events.partial_rooms import PartialRooms, known_membership
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.services.events.policy_approval import PolicyApproval
from homeserver.services.events.shadow_bans import heard_of_membership
from homeserver.services.events.writing.states import MEMBER
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.rooms import find_head

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that a local user wants in a room."""

    type: str
    sender: UserID
    content: Mapping[str, Any]
    state_key: str | None = None
    redacts: EventID | None = None
    origin_server_ts: int | None = None


class EventCreation:
    """Turns drafts into events of a room."""

    def __init__(
        self,
        writer: RoomWriter,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
        signing_key: Signer,
        approval: PolicyApproval,
        partial_rooms: PartialRooms,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self.writer = writer
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._signing_key = signing_key
        self._approval = approval
        self._partial_rooms = partial_rooms
        self._shadow_bans = shadow_bans

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the database's writer that builds or adds events; no other may.

        It may run more than once. Raises NotRecommended, with nothing written, when it lets that through. When it needs
        what is not known of a room yet it waits for that; raises RoomIsPartial, with nothing written, if in vain.
        """
        return await self._partial_rooms.once_known(lambda: self._approval.write(fn, *args, **kwargs))

    def add(
        self,
        write: RoomWrite,
        draft: Draft,
        *,
        sent_as: tuple[str, str] | None = None,
        notifies: bool = True,
    ) -> StoredEvent:
        """Build, authorise and add one event to a room that is open for writing.

        `sent_as` is the device and transaction ID of the client, shown to that device alone.
        Raises as `build` does.
        """
        return write.add(self.build(write, draft), transaction=sent_as, notifies=notifies)

    def reaches_nobody(self, user_id: UserID) -> bool:
        """Whether what a user says is to be heard by nobody: shadow_bans.py."""
        return user_id in self._shadow_bans

    def say(self, write: RoomWrite, draft: Draft, *, sent_as: tuple[str, str] | None = None) -> EventID:
        """Add what a user wants to say as the only event, and finish; raises as `build` does.

        Of those whom nobody hears it is as good as done: nothing is added, but that they come or go.
        """
        if self.reaches_nobody(draft.sender):
            heard = _heard(write, draft)
            if heard is None:
                return self.rehearse(write, draft).event_id
            draft, sent_as = heard, None
        stored = self.add(write, draft, sent_as=sent_as)
        write.finish()
        return stored.event.event_id

    def rehearse(self, write: RoomWrite, draft: Draft) -> Event:
        """An event as it would be. Nobody is shown it, no policy server either. Raises as `build` does."""
        return self._built(write, draft).event

    def build(self, write: RoomWrite, draft: Draft) -> EncodedEvent:
        """An event as it could be added to the room now.

        Raises AuthRejected when the room's state does not allow it, NotRecommended when its policy server does not,
        EventTooLarge and BadJson when it cannot be built.
        """
        return self._approval.approved(write, self._built(write, draft))

    def _built(self, write: RoomWrite, draft: Draft) -> EncodedEvent:
        """An event as it could be added to the room now, were it not for its policy server."""
        if is_create(draft.type, draft.state_key):
            raise AuthRejected("a room has begun once and for all")
        if "\0" in draft.type or "\0" in (draft.state_key or ""):
            raise BadJson("a type or state key with NUL could be stored by few servers")
        if write.is_blocked and not _ends_something(draft):
            raise AuthRejected("this server takes no part in the room")
        if write.is_partial and not _may_act(write, draft):
            raise AuthRejected("you are not in this room any more")  # of which its state may not know: removals.py
        state = write.rules_state(
            (*auth_types_for(draft.type, draft.sender, draft.state_key, draft.content, write.version), CREATE)
        )
        create = state.get(CREATE)
        if create is None:
            raise AuthRejected("what is known of the room here is not enough to speak in it")
        if write.version.room_id_is_create_hash:
            del state[CREATE]
        template = EventTemplate(
            room_id=write.room_id,
            type=draft.type,
            sender=draft.sender,
            content=draft.content,
            state_key=draft.state_key,
            redacts=draft.redacts,
            prev_events=_references_to_heads(write),
            auth_events=tuple(reference_to(event) for event in state.values()),
            depth=min(write.depth + 1, depth_limit(write.version)),
            origin_server_ts=self._now(draft),
        )
        built = build_event(
            template, write.version, self._server_name, self._signing_key, self._event_id_to_assign(write.version)
        )
        authorise(built.event, state, create)
        return built

    def build_elsewhere(self, template: EventTemplate, version: RoomVersion) -> EncodedEvent:
        """An event of a room that is not here, for a server in it to judge. Raises BadJson, EventTooLarge, BadEvent."""
        return build_event(template, version, self._server_name, self._signing_key, self._event_id_to_assign(version))

    def begin_room(self, tx: Transaction, draft: Draft, version: RoomVersion, room_id: RoomID | None) -> RoomWrite:
        """Begin a room with its m.room.create event. `room_id` is None where the create event's hash gives it."""
        built = self._build_create(draft, version, room_id, self._now(draft))
        while room_id is None and find_head(tx, built.event.room_id) is not None:
            # The same wish of the same user in the same millisecond would be the same room.
            built = self._build_create(draft, version, None, built.event.origin_server_ts + 1)
        authorise(built.event, {}, built.event)
        write = self.writer.begin(tx, built.event.room_id, version)
        write.add(built, notifies=False)
        return write

    def _build_create(
        self, draft: Draft, version: RoomVersion, room_id: RoomID | None, origin_server_ts: int
    ) -> EncodedEvent:
        template = EventTemplate(
            room_id=room_id,
            type=draft.type,
            sender=draft.sender,
            content=draft.content,
            state_key="",
            redacts=None,
            prev_events=(),
            auth_events=(),
            depth=1,
            origin_server_ts=origin_server_ts,
        )
        assigned = self._event_id_to_assign(version)
        return build_event(template, version, self._server_name, self._signing_key, assigned)

    def _now(self, draft: Draft) -> int:
        return self._clock.now_ms() if draft.origin_server_ts is None else draft.origin_server_ts

    def _event_id_to_assign(self, version: RoomVersion) -> EventID | None:
        if version.event_ids_are_hashes:
            return None
        return EventID(f"${self._randomness.token(18)}:{self._server_name}")


def _may_act(write: RoomWrite, draft: Draft) -> bool:
    """Whether the sender is in the room, or about to come in. Raises RoomIsPartial if that is not known."""
    if (draft.type, draft.state_key) == (MEMBER, draft.sender):
        return True
    membership = known_membership(write.tx, write.room_id, draft.sender)
    return membership is not None and membership.membership == "join"


def _heard(write: RoomWrite, draft: Draft) -> Draft | None:
    """What of a draft of somebody whom nobody is to hear is said all the same."""
    key = (MEMBER, draft.sender)
    if (draft.type, draft.state_key) != key:
        return None
    current = write.state((key,)).get(key)
    content = heard_of_membership(draft.content, None if current is None else current.content)
    return None if content is None else replace(draft, content=content)


def _ends_something(draft: Draft) -> bool:
    """Whether users go out of a room by the event, or something is taken back: possible wherever nothing else is."""
    is_departure = draft.type == MEMBER and draft.content.get("membership") in ("leave", "ban")
    return is_departure or draft.type == "m.room.redaction"


def _references_to_heads(write: RoomWrite) -> tuple[tuple[EventID, bytes], ...]:
    if write.version.event_ids_are_hashes:
        return tuple((event_id, b"") for event_id in write.heads)
    return tuple(reference_to(stored.event) for stored in write.load(write.heads).values())
