"""User-interactive authentication: stages that a client passes before a request is carried out.

A session belongs to one request: to its method and path, to what it asks for, and to who asks.
Sessions are in memory, for a while; a restart forgets them, and the client begins anew.
Spec: client-server-api/#user-interactive-authentication-api
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

from homeserver.core.identifiers import UserID, localpart_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.password_check import PasswordCheck
from homeserver.services.errors import Forbidden, MissingParameter, Unrecognized, UserInteractionRequired

PASSWORD: Final = "m.login.password"  # noqa: S105 - the name of a stage
DUMMY: Final = "m.login.dummy"
TERMS: Final = "m.login.terms"
REGISTRATION_TOKEN: Final = "m.login.registration_token"  # noqa: S105 - the name of a stage

LIFETIME_MS: Final = 15 * 60 * 1000
MOST_SESSIONS: Final = 10_000

Flows = Sequence[Sequence[str]]
Params = Mapping[str, Mapping[str, Any]]  # of stages, each of its own shape
NO_PARAMS: Final[Params] = MappingProxyType({})
Stage = Callable[[Mapping[str, Any]], Awaitable[object]]
"""Takes the `auth` of a request; returns what is to be remembered of the passed stage, or raises Forbidden."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that needs authentication: what it would do, and what it shows."""

    operation: str  # method and path
    asks: bytes  # the rest of the body, or b"" where that may change between attempts; may hold a new password
    shown: Mapping[str, Any] | None  # the body's `auth`, of any shape


@dataclass(slots=True)
class _Session:
    name: str
    request: tuple[str, bytes, UserID | None]  # operation, keyed hash of what it asks, who asks
    expires_ms: int
    completed: dict[str, object] = field(default_factory=dict)


class InteractiveAuth:
    """Remembers who has passed which stages."""

    def __init__(self, check: PasswordCheck, clock: Clock, randomness: Randomness) -> None:
        self._check = check
        self._clock = clock
        self._randomness = randomness
        self._key = randomness.bytes(32)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def confirm_user(self, user_id: UserID, attempt: Attempt) -> None:
        """Have the user show their password. Raises UserInteractionRequired until it is shown, and LimitExceeded."""

        async def password(shown: Mapping[str, Any]) -> object:
            return await self._confirm_password(user_id, shown)

        await self.pass_stages(attempt, [[PASSWORD]], {PASSWORD: password}, user_id)

    async def pass_stages(
        self,
        attempt: Attempt,
        flows: Flows,
        stages: Mapping[str, Stage],
        user_id: UserID | None,
        params: Params = NO_PARAMS,
    ) -> Mapping[str, object]:
        """What the stages of a complete flow returned. The session ends with that. `params` tells clients of stages.

        Raises UserInteractionRequired when more is needed, Forbidden when the session is of another request.
        """
        request = (attempt.operation, blake2b(attempt.asks, key=self._key).digest(), user_id)
        session = self._session_for(attempt, request)
        shown = attempt.shown or {}
        kind = shown.get("type")
        if isinstance(kind, str):
            await self._try_stage(session, flows, stages, kind, shown, params)
        if any(all(stage in session.completed for stage in flow) for flow in flows):
            self._sessions.pop(session.name, None)
            return session.completed
        raise self._more_needed(session, flows, params)

    def __len__(self) -> int:
        """How many sessions are in memory."""
        return len(self._sessions)

    def _session_for(self, attempt: Attempt, request: tuple[str, bytes, UserID | None]) -> _Session:
        now_ms = self._clock.now_ms()
        name = (attempt.shown or {}).get("session")
        known = self._sessions.get(name) if isinstance(name, str) else None
        if known is not None and known.expires_ms > now_ms:
            if known.request != request:
                raise Forbidden("The request changed during its authentication")
            return known
        while self._sessions and (
            len(self._sessions) >= MOST_SESSIONS or next(iter(self._sessions.values())).expires_ms <= now_ms
        ):
            self._sessions.popitem(last=False)
        session = _Session(self._randomness.token(18), request, now_ms + LIFETIME_MS)
        self._sessions[session.name] = session
        return session

    async def _try_stage(
        self,
        session: _Session,
        flows: Flows,
        stages: Mapping[str, Stage],
        kind: str,
        shown: Mapping[str, Any],
        params: Params,
    ) -> None:
        stage = stages.get(kind)
        if stage is None or not any(kind in flow for flow in flows):
            raise self._more_needed(session, flows, params, Unrecognized("This kind of authentication is not offered"))
        if kind in session.completed:
            return
        try:
            session.completed[kind] = await stage(shown)
        except WrongUser:
            raise
        except (Forbidden, MissingParameter) as failure:
            raise self._more_needed(session, flows, params, failure) from failure

    @staticmethod
    def _more_needed(
        session: _Session,
        flows: Flows,
        params: Params,
        failure: Forbidden | MissingParameter | Unrecognized | None = None,
    ) -> UserInteractionRequired:
        return UserInteractionRequired(session.name, flows, dict(params), tuple(session.completed), failure)

    async def _confirm_password(self, user_id: UserID, shown: Mapping[str, Any]) -> object:
        password = shown.get("password")
        if not isinstance(password, str):
            raise MissingParameter("The password is missing")
        said = named_user(shown)
        if said is not None and said not in (user_id, localpart_of(user_id)):
            raise WrongUser("This is not whose request it is")
        await self._check.check(user_id, password)
        return True


class WrongUser(Forbidden):
    """Somebody else authenticated than who asks."""


def named_user(shown: Mapping[str, Any]) -> str | None:
    """The user that a body names, by an m.id.user identifier or the older `user`; None when it names nobody.

    Raises Forbidden for an identifier of another type: this server knows users by their IDs alone.
    """
    identifier = shown.get("identifier")
    if isinstance(identifier, Mapping):
        if identifier.get("type") != "m.id.user":
            raise Forbidden("Users of this server are known by their user IDs alone")
        user = identifier.get("user")
    else:
        user = shown.get("user")
    return user if isinstance(user, str) else None
