"""Administration: users, one or many by a pattern over their IDs: removing them from rooms, redacting what they said.

What would be done is asked for by GET, in the same steps: `next` in an answer is where the next one begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import msgspec

from homeserver.core.identifiers import parse_room_id, parse_user_id
from homeserver.http.endpoint import NoBody, NoQuery, Reply, Request, admin_endpoint
from homeserver.services.admin.member_patterns import Aim, Done, Hit, MemberPatterns, Miss
from homeserver.services.admin.room_moderation import Removal
from homeserver.services.admin.sent_events import FoundEvents, RedactedEvents, Said, SentEvents
from homeserver.services.admin.user_patterns import Users, users_by_pattern
from homeserver.services.errors import InvalidParameter, MissingParameter

HERE: Final = "for administrators: docs/moderation.md"


class Whom(msgspec.Struct, frozen=True, kw_only=True):
    """Users, by a pattern, or one by their ID, in which no character stands for others."""

    pattern: str | None = None
    user_id: str | None = None

    @property
    def users(self) -> Users:
        """The same for those who do something with them. Raises MissingParameter, InvalidParameter, BadIdentifier."""
        if self.pattern is None and self.user_id is None:
            raise MissingParameter("Either pattern or user_id is needed")
        if self.pattern is None or self.user_id is None:
            return Users(parse_user_id(self.user_id)) if self.pattern is None else users_by_pattern(self.pattern)
        raise InvalidParameter("It is either pattern or user_id")


class HitsQuery(Whom, frozen=True, kw_only=True, rename={"begin": "from", "rooms": "room_id"}):
    """Whom what is to befall; no rooms are all rooms."""

    removal: Literal["kick", "ban", "unban"]
    rooms: list[str] = []
    includes_left: bool = False
    begin: str | None = None


class MembersBody(Whom, frozen=True, kw_only=True, rename={"begin": "from"}):
    """Whom it is to befall, and why; no rooms are all rooms."""

    rooms: list[str] | None = None
    reason: str | None = None
    includes_left: bool = False
    begin: str | None = None


class SentQuery(Whom, frozen=True, kw_only=True, rename={"begin": "from"}):
    """Whose events, and between which times."""

    since_ms: int | None = None
    until_ms: int | None = None
    begin: str | None = None


class RedactionBody(Whom, frozen=True, kw_only=True, rename={"begin": "from"}):
    """Whose events, and between which times, and why."""

    since_ms: int | None = None
    until_ms: int | None = None
    reason: str | None = None
    begin: str | None = None


class MemberRow(TypedDict):
    """A user in a room. Administrators of this server are spared where a pattern names them."""

    room_id: str
    user_id: str
    membership: str
    spared: bool


class MembersAnswer(TypedDict):
    """Whom it would befall: those who were found in a step, and where the next one begins, if there is one."""

    members: list[MemberRow]
    next: str | None


class RemovedAnswer(TypedDict):
    """Whom it befell in a step, as they were before it, and whom not; where the next one begins, if there is one."""

    done: list[MemberRow]
    failed: Sequence[Miss]
    next: str | None


@dataclass(frozen=True)
class UserPatternEndpoints:
    """Many users at once."""

    members: MemberPatterns
    sent: SentEvents

    @admin_endpoint("GET", "/_columba/admin/v1/members", query=HitsQuery, spec=HERE)
    async def find_members(self, request: Request[HitsQuery, NoBody]) -> Reply[MembersAnswer]:
        """Whom a pattern would hit in some rooms, or in all."""
        query = request.query
        aim = _aim(Removal(query.removal), query, query.rooms or None, includes_left=query.includes_left)
        hits = await self.members.find(aim, query.begin)
        return Reply({"members": _shown(hits.found), "next": hits.next})

    @admin_endpoint("POST", "/_columba/admin/v1/members/kick", body=MembersBody, spec=HERE)
    async def kick(self, request: Request[NoQuery, MembersBody]) -> Reply[RemovedAnswer]:
        """Remove users from rooms."""
        return await self._remove(Removal.KICK, request.body)

    @admin_endpoint("POST", "/_columba/admin/v1/members/ban", body=MembersBody, spec=HERE)
    async def ban(self, request: Request[NoQuery, MembersBody]) -> Reply[RemovedAnswer]:
        """Remove users from rooms, and let them not come back."""
        return await self._remove(Removal.BAN, request.body)

    @admin_endpoint("POST", "/_columba/admin/v1/members/unban", body=MembersBody, spec=HERE)
    async def unban(self, request: Request[NoQuery, MembersBody]) -> Reply[RemovedAnswer]:
        """Let users come back."""
        return await self._remove(Removal.UNBAN, request.body)

    @admin_endpoint("GET", "/_columba/admin/v1/rooms/{roomId}/sent", query=SentQuery, spec=HERE)
    async def find_sent(self, request: Request[SentQuery, NoBody]) -> Reply[FoundEvents]:
        """What users said in a room."""
        query = request.query
        said = Said(request.room_id, query.users, query.since_ms, query.until_ms)
        return Reply(await self.sent.find(said, query.begin))

    @admin_endpoint("POST", "/_columba/admin/v1/rooms/{roomId}/redact", body=RedactionBody, spec=HERE)
    async def redact(self, request: Request[NoQuery, RedactionBody]) -> Reply[RedactedEvents]:
        """Redact what users said in a room."""
        body = request.body
        said = Said(request.room_id, body.users, body.since_ms, body.until_ms)
        return Reply(await self.sent.redact(said, body.reason, body.begin))

    async def _remove(self, removal: Removal, body: MembersBody) -> Reply[RemovedAnswer]:
        aim = _aim(removal, body, body.rooms, includes_left=body.includes_left)
        return Reply(removed(await self.members.remove(aim, body.reason, body.begin)))


def removed(step: Done) -> RemovedAnswer:
    """What came of a step, as it is shown."""
    return {"done": _shown(step.done), "failed": step.failed, "next": step.next}


def _aim(removal: Removal, whom: Whom, rooms: Sequence[str] | None, *, includes_left: bool) -> Aim:
    named = None if rooms is None else [parse_room_id(room_id) for room_id in rooms]
    return Aim(removal, whom.users, named, includes_left)


def _shown(hits: Sequence[Hit]) -> list[MemberRow]:
    return [
        {"room_id": one.room_id, "user_id": one.user_id, "membership": one.membership, "spared": one.is_spared}
        for one in hits
    ]
