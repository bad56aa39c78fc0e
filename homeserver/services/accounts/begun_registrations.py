"""What was asked for when a registration began, and which account came of it: by the session that its stages belong to.

A client may leave out later what it said at first, and may ask once more when it got no answer. This is in memory, for
as long as the session might be (interactive_auth.py).
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.interactive_auth import LIFETIME_MS, MOST_SESSIONS, Attempt
from homeserver.services.accounts.sessions import DeviceWish

LONGEST_REMEMBERED: Final = 512  # of each text


@dataclass(frozen=True, slots=True)
class RegistrationWish:
    """The account that somebody wants. Without a device nobody is logged in.

    With the access token of a guest it is the guest's, who stays who they are.
    """

    username: str | None
    password: str | None
    device: DeviceWish | None
    guest_access_token: str | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether it names no account."""
        return self.username is None and self.password is None

    @property
    def is_short(self) -> bool:
        """Whether it may be kept in memory."""
        device = self.device or DeviceWish()
        texts = (self.username, self.password, self.guest_access_token, device.device_id, device.display_name)
        return all(len(text or "") <= LONGEST_REMEMBERED for text in texts)


@dataclass(frozen=True, slots=True)
class Begun:
    """A registration that began, and perhaps ended: then without what was wished, for a password is part of that."""

    session: str
    expires_ms: int
    wish: RegistrationWish | None
    user_id: UserID | None = None
    device_id: DeviceID | None = None


class BegunRegistrations:
    """Remembers them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: OrderedDict[str, Begun] = OrderedDict()

    def find(self, attempt: Attempt) -> Begun | None:
        """What is known of the session that an attempt names."""
        session = (attempt.shown or {}).get("session")
        begun = self._begun.get(session) if isinstance(session, str) else None
        return None if begun is None or begun.expires_ms <= self._clock.now_ms() else begun

    def note(self, session: str, wish: RegistrationWish) -> None:
        """The session goes on, and this is wished."""
        known = self._begun.get(session)
        if wish.says_nothing or not wish.is_short:
            wish_now = None if known is None else known.wish
        else:
            wish_now = wish
        expires_ms = self._clock.now_ms() + LIFETIME_MS if known is None else known.expires_ms
        self._begun[session] = Begun(session, expires_ms, wish_now)
        while len(self._begun) > MOST_SESSIONS or next(iter(self._begun.values())).expires_ms <= self._clock.now_ms():
            self._begun.popitem(last=False)

    def note_made(self, begun: Begun, user_id: UserID, device_id: DeviceID | None) -> None:
        """This account came of it."""
        if begun.session in self._begun:
            self._begun[begun.session] = replace(begun, wish=None, user_id=user_id, device_id=device_id)

    def __len__(self) -> int:
        """How many are in memory."""
        return len(self._begun)
