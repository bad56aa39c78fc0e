"""Which users of this server are present, by what their devices do and say: in memory only.

A device says how present its user is while it polls, and for a while after; the user is as present as the most present
device. Who is told of it is decided in presence.py. Spec: client-server-api/#presence
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.presence import OFFLINE, ONLINE, PresenceWord, Status, most_present
from homeserver.runtime.clock import Cancellable, Clock

GONE_AFTER_S: Final = 30.0  # without a poll of a device
ACTIVE_S: Final = 60.0  # for so long after doing something a user is currently active
IDLE_AFTER_S: Final = 300.0  # who is online and does nothing for so long is unavailable
MOST_PEOPLE: Final = 50_000  # beyond them, the status messages of those who are offline are forgotten


@dataclass(slots=True)
class _Device:
    presence: PresenceWord
    is_said: bool = False  # by its user, not by a poll
    polls: int = 0  # under way
    until_s: float = 0.0  # when there are none


@dataclass(slots=True)
class _Person:
    devices: dict[DeviceID | None, _Device] = field(default_factory=dict)
    status_msg: str | None = None
    last_active_s: float | None = None
    noted: tuple[PresenceWord, str | None, bool] = ("offline", None, False)
    alarm: Cancellable | None = None
    alarm_s: float = 0.0


class PresentPeople:
    """Knows who is there, and calls `changed` when what others see of that has changed. On the reactor thread."""

    def __init__(self, clock: Clock, changed: Callable[[UserID], None], most_people: int = MOST_PEOPLE) -> None:
        self._clock = clock
        self._changed = changed
        self._most_people = most_people
        self._people: OrderedDict[UserID, _Person] = OrderedDict()  # who polled or spoke last is the last

    def __len__(self) -> int:
        return len(self._people)

    def find(self, user_id: UserID) -> Status | None:
        """How present a user is now; None when nothing is known. On any thread."""
        person = self._people.get(user_id)
        if person is None:
            return None
        presence, status_msg, currently_active = self._told(person)
        return Status(presence, status_msg, currently_active, person.last_active_s)

    def begin_poll(self, user_id: UserID, device_id: DeviceID | None, presence: PresenceWord | None) -> bool:
        """A device begins to wait for news; None: it does not say how present its user is. Whether that counts.

        One that says "offline" does not make its user offline; it makes nobody online, as though it did not poll.
        """
        if presence == OFFLINE:
            return False
        person = self._open(user_id)
        device = person.devices.get(device_id)
        if device is None:
            device = person.devices[device_id] = _Device("offline")
        device.polls += 1
        # The specification has a poll that says nothing make its user online. Where the user has said otherwise, by
        # PUT, that would hold until the next poll: what users say counts more than what their clients leave out.
        if presence is not None or not device.is_said:
            self._set(person, device, presence or "online", is_said=False)
        self._look(user_id, person)
        return True

    def end_poll(self, user_id: UserID, device_id: DeviceID | None) -> None:
        """A poll that counted has ended."""
        person = self._people.get(user_id)
        device = None if person is None else person.devices.get(device_id)
        if person is not None and device is not None:
            device.polls -= 1
            device.until_s = self._clock.seconds() + GONE_AFTER_S
            self._look(user_id, person)

    def say(self, user_id: UserID, device_id: DeviceID | None, presence: PresenceWord, status_msg: str | None) -> None:
        """A user says how present they are, in which words; it holds as long as the device is there."""
        person = self._open(user_id)
        device = person.devices.setdefault(device_id, _Device("offline"))
        device.until_s = self._clock.seconds() + GONE_AFTER_S
        self._set(person, device, presence, is_said=True)
        person.status_msg = status_msg
        person.last_active_s = self._clock.seconds()
        self._look(user_id, person)

    def note_activity(self, user_id: UserID) -> None:
        """A user has done something. Of who is not present nothing is noted."""
        person = self._people.get(user_id)
        if person is None or not person.devices:
            return
        person.last_active_s = self._clock.seconds()
        if not person.noted[2]:
            self._look(user_id, person)

    def _open(self, user_id: UserID) -> _Person:
        person = self._people.setdefault(user_id, _Person())
        self._people.move_to_end(user_id)
        while len(self._people) > self._most_people:
            oldest, forgotten = next(iter(self._people.items()))
            if forgotten.devices:
                break
            del self._people[oldest]
        return person

    def _set(self, person: _Person, device: _Device, presence: PresenceWord, *, is_said: bool) -> None:
        if presence == ONLINE and device.presence != ONLINE:
            person.last_active_s = self._clock.seconds()  # somebody has opened a client, or come back to it
        device.presence, device.is_said = presence, is_said

    def _told(self, person: _Person) -> tuple[PresenceWord, str | None, bool]:
        now_s = self._clock.seconds()
        devices = tuple(person.devices.values())  # at once, as another thread may ask
        there = (one.presence for one in devices if one.polls or one.until_s > now_s)
        presence = most_present(there)
        if presence != ONLINE or person.last_active_s is None:
            return presence, person.status_msg, False
        quiet_s = now_s - person.last_active_s
        if quiet_s >= IDLE_AFTER_S:
            return "unavailable", person.status_msg, False
        return presence, person.status_msg, quiet_s < ACTIVE_S

    def _look(self, user_id: UserID, person: _Person) -> None:
        """See what a person's presence is now, and when to look again."""
        now_s = self._clock.seconds()
        for device_id, device in tuple(person.devices.items()):
            if not device.polls and device.until_s <= now_s:
                del person.devices[device_id]
        told = self._told(person)
        due_s = self._due_s(person, now_s)
        if due_s is not None and (person.alarm is None or due_s < person.alarm_s):
            if person.alarm is not None:
                person.alarm.cancel()
            person.alarm_s = due_s
            person.alarm = self._clock.call_later(due_s - now_s, partial(self._wake, user_id, person))
        elif due_s is None and not person.devices:
            if person.alarm is not None:
                person.alarm.cancel()
                person.alarm = None
            if person.status_msg is None:
                del self._people[user_id]
        if told != person.noted:
            person.noted = told
            self._changed(user_id)

    def _wake(self, user_id: UserID, person: _Person) -> None:
        person.alarm = None
        if self._people.get(user_id) is person:
            self._look(user_id, person)

    @staticmethod
    def _due_s(person: _Person, now_s: float) -> float | None:
        moments = [device.until_s for device in person.devices.values() if not device.polls]
        if person.last_active_s is not None and person.devices:
            moments += (person.last_active_s + ACTIVE_S, person.last_active_s + IDLE_AFTER_S)
        return min((moment for moment in moments if moment > now_s), default=None)
