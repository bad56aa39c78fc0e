"""Which member events a client that loads members lazily has: those of answers that it showed to have.

Spec: client-server-api/#lazy-loading-room-members. A client has an answer when it comes back with that answer's token.
One that comes back with an older token has lost what came later; one that never comes back with it may not have got it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID

Device = tuple[UserID, DeviceID]
Reader = tuple[str, ...]  # a device, or one connection of a device
Member = tuple[RoomID, str]

DEVICES: Final = 5_000
MEMBERS_PER_DEVICE: Final = 5_000
ANSWERS_PER_DEVICE: Final = 8  # of which the client has not shown yet that it has them


@dataclass(slots=True)
class _Answer:
    """What an answer tells: `new_rooms` are those of which the client knows nobody else after it."""

    members: dict[Member, EventID] = field(default_factory=dict)
    new_rooms: set[RoomID] = field(default_factory=set)
    is_initial: bool = False


@dataclass(slots=True)
class _Memory:
    """What is known of one device: members with the position of the answer that told of them."""

    known: OrderedDict[Member, tuple[EventID, int]] = field(default_factory=OrderedDict)
    answers: OrderedDict[int, _Answer] = field(default_factory=OrderedDict)
    newest: int = 0


class SentMembers:
    """Remembers what was sent. Only the reactor thread writes; `has` may be asked on any."""

    def __init__(self) -> None:
        self._devices: OrderedDict[Reader, _Memory] = OrderedDict()

    def has(self, device: Reader, room_id: RoomID, member: str, event_id: EventID) -> bool:
        """Whether the device has this member event."""
        memory = self._devices.get(device)
        known = None if memory is None else memory.known.get((room_id, member))
        return known is not None and known[0] == event_id

    def begin_anew(self, device: Reader, position: int) -> None:
        """The answer with the token of `position` is an initial one: with it, the client knows nothing else."""
        self._answer(device, position).is_initial = True

    def note(
        self, device: Reader, room_id: RoomID, members: Mapping[str, EventID], position: int, *, is_new_room: bool
    ) -> None:
        """The answer with the token of `position` tells of these members."""
        if members or is_new_room:
            answer = self._answer(device, position)
            answer.members.update({(room_id, member): event_id for member, event_id in members.items()})
            if is_new_room:
                answer.new_rooms.add(room_id)

    def came_back(self, device: Reader, position: int) -> None:
        """The client shows that it has the answer with the token of `position`, and none that is newer."""
        memory = self._devices.get(device)
        if memory is None:
            return
        self._devices.move_to_end(device)
        if position < memory.newest:
            kept = ((member, known) for member, known in memory.known.items() if known[1] <= position)
            memory.known = OrderedDict(kept)
        memory.newest = position
        answer = memory.answers.pop(position, None)
        for older in [other for other in memory.answers if other < position]:
            del memory.answers[older]
        if answer is None:
            return
        if answer.is_initial:
            memory.known = OrderedDict()
        elif answer.new_rooms:
            kept = ((member, known) for member, known in memory.known.items() if member[0] not in answer.new_rooms)
            memory.known = OrderedDict(kept)
        for member, event_id in answer.members.items():
            memory.known[member] = (event_id, position)
            memory.known.move_to_end(member)
        while len(memory.known) > MEMBERS_PER_DEVICE:
            memory.known.popitem(last=False)

    def _answer(self, device: Reader, position: int) -> _Answer:
        memory = self._devices.get(device)
        if memory is None:
            memory = self._devices[device] = _Memory()
            if len(self._devices) > DEVICES:
                self._devices.popitem(last=False)
        answer = memory.answers.get(position)
        if answer is None:
            answer = memory.answers[position] = _Answer()
            if len(memory.answers) > ANSWERS_PER_DEVICE:
                memory.answers.popitem(last=False)
        return answer
