"""The spam check that asks a moderation bot over HTTP, as Draupnir and Meowlnir want to be asked.

They know the requests of synapse-http-antispam: `POST {base_url}/{callback}` with what it is about. An answer of 2xx is
a yes whatever it says; any other is a no, with `errcode` and `error`. Callbacks are named by that protocol. Which ones
are asked, which are only told and not waited for, and what it means when there is no answer, is configured.
"""

from collections.abc import Callable, Coroutine, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import DeviceID, RoomAlias, RoomID, UserID
from homeserver.outbound.errors import RemoteError
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.randomness import Randomness
from homeserver.services.spam_checks import CheckedEvent, Refusal, SpamCheck

SLOW_S: Final = 1.0
REST_S: Final = 5.0  # for which a server that took so long to answer nothing is not asked
PING_EVERY_S: Final = 5.0  # until it is answered
MOST_TOLD: Final = 200  # that are told and not waited for, at one time
NO_ANSWER: Final = Refusal("The server that looks for spam gave no answer", "M_UNKNOWN")

log = get_logger(__name__)


class CallbackSource(Protocol):
    """Posts JSON to a service."""

    async def post(self, name: str, body: object) -> tuple[int, Any]:
        """The status and the JSON that are answered. Raises RemoteError. Any: JSON."""


@dataclass(frozen=True, slots=True)
class AntispamWishes:
    """By the names of callbacks: which are asked (None: all), which are told only, and which say yes by silence."""

    enabled: Set[str] | None
    told_only: Set[str]
    fails_open: Set[str]


class HttpAntispam(SpamCheck):
    """Asks by HTTP."""

    def __init__(self, source: CallbackSource, wishes: AntispamWishes, clock: Clock, randomness: Randomness) -> None:
        self._source = source
        self._wishes = wishes
        self._clock = clock
        self._randomness = randomness
        self._rests_until_s = 0.0
        self._has_answered = False
        self._telling: set[Deferred[None]] = set()

    async def may_send_event(self, event: CheckedEvent) -> Refusal | None:
        """See SpamCheck, here and below."""
        return await self._ask("check_event_for_spam", {"event": _shown(event)})

    async def may_receive_event(self, event: CheckedEvent) -> Refusal | None:
        """The callback is the same for events of all servers."""
        return await self._ask("check_event_for_spam", {"event": _shown(event)})

    async def may_invite(self, inviter: UserID, invitee: UserID, room_id: RoomID | None) -> Refusal | None:
        """A new room has no ID yet."""
        body = {"inviter": inviter, "invitee": invitee, "room_id": room_id or ""}
        return await self._ask("user_may_invite", body)

    async def may_receive_invite(self, event: CheckedEvent) -> Refusal | None:
        """Asked with the event, and then `user_may_invite` as well."""
        return await self._ask("federated_user_may_invite", {"event": _shown(event)})

    async def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> Refusal | None:
        """Users of this server alone."""
        return await self._ask("user_may_join_room", {"user": user_id, "room": room_id, "is_invited": is_invited})

    async def may_create_room(self, user_id: UserID) -> Refusal | None:
        """Without what the room is to be."""
        return await self._ask("user_may_create_room", {"user_id": user_id})

    async def may_create_alias(self, user_id: UserID, room_alias: RoomAlias) -> Refusal | None:
        """Also of a new room."""
        return await self._ask("user_may_create_room_alias", {"user_id": user_id, "room_alias": room_alias})

    async def may_publish_room(self, user_id: UserID, room_id: RoomID | None) -> Refusal | None:
        """A new room has no ID yet."""
        return await self._ask("user_may_publish_room", {"user_id": user_id, "room_id": room_id or ""})

    async def may_be_found(
        self, user_id: UserID, display_name: str | None, avatar_url: str | None, seeker: UserID
    ) -> Refusal | None:
        """Of each user that a search finds."""
        profile = {"user_id": user_id, "display_name": display_name, "avatar_url": avatar_url}
        return await self._ask("check_username_for_spam", {"user_profile": profile, "requester_id": seeker})

    async def may_log_in(
        self, user_id: UserID, device_id: DeviceID | None, device_name: str | None, address: str
    ) -> Refusal | None:
        """A list of one user agent and address, as the protocol has it; user agents are not told."""
        body = {
            "user_id": user_id,
            "device_id": device_id,
            "initial_display_name": device_name,
            "request_info": [[None, address]],
            "auth_provider_id": None,
        }
        return await self._ask("check_login_for_spam", body)

    async def ping(self) -> None:
        """Say hello, unless that was answered before: so both logs show that the two have found each other."""
        if self._has_answered:
            return
        ping_id = self._randomness.token(6)
        try:
            status, answer = await self._source.post("ping", {"id": ping_id})
        except RemoteError as failure:
            log.warning("the server that looks for spam does not answer", reason=failure.reason)
            return
        self._has_answered = 200 <= status < 300 and isinstance(answer, dict) and answer.get("id") == ping_id
        if self._has_answered:
            log.info("the server that looks for spam answers")
        else:
            log.warning("the server that looks for spam answers a ping strangely", status=status)

    async def _ask(self, callback: str, body: Mapping[str, object]) -> Refusal | None:
        if self._wishes.enabled is not None and callback not in self._wishes.enabled:
            return None
        if callback in self._wishes.told_only:
            self._begin(lambda: self._tell(callback, body))
            return None
        begun_s = self._clock.seconds()
        if begun_s < self._rests_until_s:
            return self._without_answer(callback)
        try:
            status, answer = await self._source.post(callback, body)
        except RemoteError as failure:
            log.warning("the server that looks for spam does not answer", callback=callback, reason=failure.reason)
            now_s = self._clock.seconds()
            if now_s - begun_s >= SLOW_S:
                # Or else whatever is asked in a row, such as about the events of a room, would take as long each time.
                self._rests_until_s = now_s + REST_S
            return self._without_answer(callback)
        return None if 200 <= status < 300 else _refusal(answer)

    def _without_answer(self, callback: str) -> Refusal | None:
        return None if callback in self._wishes.fails_open else NO_ANSWER

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if len(self._telling) >= MOST_TOLD:
            log.warning("the server that looks for spam is too slow to be told everything")
            return
        telling = Deferred.fromCoroutine(work())
        if not telling.called:
            self._telling.add(telling)
            telling.addBoth(lambda _: self._telling.discard(telling))

    async def _tell(self, callback: str, body: Mapping[str, object]) -> None:
        try:
            await self._source.post(callback, body)
        except RemoteError as failure:
            log.warning("the server that looks for spam was not told", callback=callback, reason=failure.reason)


def _refusal(answer: Any) -> Refusal:  # Any: JSON
    usual = Refusal()
    if not isinstance(answer, dict):
        return usual
    errcode, error = answer.get("errcode"), answer.get("error")
    return Refusal(
        error if isinstance(error, str) else usual.message, errcode if isinstance(errcode, str) else usual.errcode
    )


def _shown(event: CheckedEvent) -> dict[str, object]:
    """As clients are shown it. An event of this server has no ID before it is sent."""
    shown: dict[str, object] = {
        "type": event.type,
        "room_id": event.room_id,
        "sender": event.sender,
        "content": event.content,
        "event_id": event.event_id or "",
        "origin_server_ts": event.origin_server_ts,
    }
    if event.state_key is not None:
        shown["state_key"] = event.state_key
    if event.redacts is not None:
        shown["redacts"] = event.redacts
    return shown
