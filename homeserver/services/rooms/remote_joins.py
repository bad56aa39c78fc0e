"""Coming into a room by way of a server that is in it: the join is made here, and the room's state is given.

Spec: server-server-api/#joining-rooms. Which rooms are joined so is decided in remote_membership.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from homeserver.core.auth_selection import CREATE
from homeserver.core.errors import BadEvent, ProtocolError, UnsupportedRoomVersion
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.event_graph import topological_order
from homeserver.core.hashing import create_event_id_of, reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.membership_templates import AUTHORISER, MembershipWish, template_for
from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion, room_version, room_version_of_create
from homeserver.core.state_map import StateKey
from homeserver.outbound.errors import RemoteNonsense, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.intake import GivenState, Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.rooms.several_servers import first_answer
from homeserver.services.rooms.third_party_invites import redeemed

# JSON of other servers is `Any` in this file.

TEMPLATE_TIMEOUT_S: Final = 20.0
EVENTS_PER_CHECK: Final = 500  # whose signatures are verified in one go, in a thread
MOST_EVENTS: Final = 500_000  # of a state and its auth chain: more than any room is known to have
KEPT: Final = (Outcome.ACCEPTED, Outcome.SOFT_FAILED, Outcome.REJECTED)


class TooManyEvents(RemoteNonsense):
    """A server gives a room more state than a room can have."""


@dataclass(slots=True)
class _Given:
    """The state and the auth chain of a join, put aside while they arrive."""

    most_events: int
    state: list[Any] = field(default_factory=list)
    auth_chain: list[Any] = field(default_factory=list)

    def take(self, name: str, event: Any) -> None:
        if len(self.state) + len(self.auth_chain) >= self.most_events:
            raise TooManyEvents(f"the room's state has more than {self.most_events} events")
        (self.state if name == "state" else self.auth_chain).append(event)


@dataclass(frozen=True, slots=True)
class _Room:
    """What a server gave of a room, as far as it is what it should be."""

    events: Sequence[Received]  # each after those that authorise it
    state: Mapping[StateKey, EventID]


class RemoteJoins:
    """Joins rooms through other servers."""

    def __init__(
        self,
        client: FederationClient,
        creation: EventCreation,
        receipt: Receipt,
        intake: Intake,
        clock: Clock,
        most_events: int = MOST_EVENTS,
    ) -> None:
        self._client = client
        self._creation = creation
        self._receipt = receipt
        self._intake = intake
        self._clock = clock
        self._most_events = most_events

    async def join_through(
        self,
        server: ServerName,
        room_id: RoomID,
        user_id: UserID,
        content: Mapping[str, Any],
        known_version: RoomVersion | None,
    ) -> None:
        """Join a room that no user of this server is in, and keep what `server` gives of it.

        `content` is what the join says of the user. Raises RemoteError when this server is of no use, so that another
        may be.
        """
        answer = await self._client.make_join(
            server, room_id, user_id, ROOM_VERSIONS, ignores_backoff=True, timeout_s=TEMPLATE_TIMEOUT_S
        )
        version = version_of(answer, known_version)
        wish = MembershipWish(room_id, user_id, "join", content, self._clock.now_ms())
        try:
            made = self._creation.build_elsewhere(template_for(wish, answer["event"], version, server), version)
        except BadEvent as bad:
            raise RemoteNonsense(f"{server}: {bad.reason}") from bad
        given = _Given(self._most_events)
        rest = await self._client.send_join(
            server, room_id, made.event.event_id, made.event.pdu, given.take, omit_members=False, ignores_backoff=True
        )
        join = await self._joined(made, rest, version)
        room = await self._room(given, room_id, version, join.encoded.event.event_id)
        outcomes = await self._intake.take_outliers(room_id, version, room.events)
        state = [event_id for event_id in room.state.values() if outcomes.get(event_id) in KEPT]
        taken = await self._intake.take_at_gap(room_id, version, join, GivenState(state, server), begins_anew=True)
        if taken[join.encoded.event.event_id] is not Outcome.ACCEPTED:
            raise RemoteNonsense(f"{server} let the user in, against the state that it gives")

    async def redeem(self, room_id: RoomID, user_id: UserID, signed: Mapping[str, Any]) -> None:
        """Have the invite of an address turned into one of the user, by the server of whoever sent it."""
        invite = redeemed(signed.get("sender"), user_id, signed)
        event = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": invite.sender,
            "state_key": user_id,
            "content": invite.content(),
        }

        async def exchange(server: ServerName) -> None:
            await self._client.exchange_third_party_invite(server, room_id, event, ignores_backoff=True)

        await first_answer([server_name_of_user(invite.sender)], exchange)

    async def _joined(self, made: EncodedEvent, rest: Mapping[str, Any], version: RoomVersion) -> Received:
        """The join as it goes into the room: with the signature of the server that vouches for it, if one does."""
        event, pdu = made.event, dict(made.event.pdu)
        if AUTHORISER in event.content:
            voucher = server_name_of_user(UserID(event.content[AUTHORISER]))
            pdu["signatures"] = {**pdu["signatures"], voucher: _signatures_of(rest.get("event"), event, voucher)}
        [checked] = await self._receipt.check([pdu], version)
        if not isinstance(checked, Received):
            raise RemoteNonsense(f"the join cannot be used: {checked.reason}")
        return checked

    async def _room(self, given: _Given, room_id: RoomID, version: RoomVersion, join_id: EventID) -> _Room:
        """What was given, checked one by one and put in order; what is not in order is left out."""
        state_ids: dict[EventID, None] = {}
        received: dict[EventID, Received] = {}
        for pdus, is_state in ((given.state, True), (given.auth_chain, False)):
            for some in _slices(pdus):
                for checked in await self._receipt.check(some, version):
                    if not isinstance(checked, Received) or checked.encoded.event.room_id != room_id:
                        continue
                    event = checked.encoded.event
                    received.setdefault(event.event_id, checked)
                    if is_state and event.event_id != join_id:
                        state_ids.setdefault(event.event_id)
            pdus.clear()  # as JSON they are not needed any more
        events = {event_id: one.encoded.event for event_id, one in received.items()}
        state = _state_of([events[event_id] for event_id in state_ids])
        _check_create(state, events, room_id, version)
        named = {event_id: event.auth_event_ids for event_id, event in events.items()}
        order = topological_order(named, lambda event_id: events[event_id].depth)
        if version.room_id_is_create_hash:  # nobody names it, and it authorises everything
            order.sort(key=lambda event_id: event_id != create_event_id_of(room_id))
        return _Room([received[event_id] for event_id in order], state)


def version_of(answer: Mapping[str, Any], known: RoomVersion | None) -> RoomVersion:
    """The room's version as a server says that answers with a template; that of a known room cannot be another.

    Raises RemoteNonsense; RemoteRefused for a version that is not known here, which the server should have said.
    """
    name = answer.get("room_version", "1")
    try:
        version = room_version(name)
    except UnsupportedRoomVersion as unsupported:
        body = {"room_version": str(name)[:40]}
        raise RemoteRefused(400, "M_INCOMPATIBLE_ROOM_VERSION", unsupported.reason, body) from unsupported
    if known is not None and version != known:
        raise RemoteNonsense(f"the room has version {known.name}, not {version.name}")
    return version


def _signatures_of(returned: Any, event: Event, server: ServerName) -> Mapping[str, Any]:
    """The signatures of `server` on an event that it returned, if it is the event that was sent. Raises RemoteNonsense.

    That they are right is verified with the event.
    """
    try:
        same = parse_and_encode(returned, event.version).event
        is_same = reference_hash(same.pdu, event.version) == reference_hash(event.pdu, event.version)
    except ProtocolError as error:
        raise RemoteNonsense(f"the join came back damaged: {error.reason}") from error
    if not is_same:
        raise RemoteNonsense("another event came back than the join that was sent")
    signatures: Mapping[str, Any] = same.pdu["signatures"].get(server, {})
    return signatures


def _state_of(events: Iterable[Event]) -> dict[StateKey, EventID]:
    state: dict[StateKey, EventID] = {}
    for event in events:
        if event.state_key is None:
            continue
        if state.setdefault((event.type, event.state_key), event.event_id) != event.event_id:
            raise RemoteNonsense(f"the state has two events of type {event.type!r:.60} and one state key")
    return state


def _check_create(
    state: Mapping[StateKey, EventID], events: Mapping[EventID, Event], room_id: RoomID, version: RoomVersion
) -> None:
    create_id = state.get(CREATE)
    if create_id is None or (version.room_id_is_create_hash and create_id != create_event_id_of(room_id)):
        raise RemoteNonsense("the state has no m.room.create of the room")
    try:
        is_right = room_version_of_create(events[create_id].content) == version
    except UnsupportedRoomVersion:
        is_right = False
    if not is_right:
        raise RemoteNonsense("the room has another version than was said")


def _slices(pdus: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(pdus), EVENTS_PER_CHECK):
        yield pdus[begin : begin + EVENTS_PER_CHECK]
