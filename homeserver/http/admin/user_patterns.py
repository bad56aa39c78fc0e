"""Administration: users by patterns over their IDs: removing them from rooms, and redacting what they said.

What would be done is asked for by GET, in the same steps: `next` in an answer is where the next one begins.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import msgspec

from homeserver.core.identifiers import parse_room_id
from homeserver.http.endpoint import ADMIN, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.member_patterns import Aim, Hit, MemberPatterns
from homeserver.services.admin.room_moderation import Removal
from homeserver.services.admin.sender_patterns import Said, SenderPatterns

HERE: Final = "for administrators: docs/moderation.md"


class HitsQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "rooms": "room_id"}):
    """Whom what is to befall; no rooms are all rooms."""

    pattern: str
    removal: Literal["kick", "ban", "unban"]
    rooms: list[str] = []
    includes_left: bool = False
    begin: str | None = None


class MembersBody(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Whom it is to befall, and why; no rooms are all rooms."""

    pattern: str
    rooms: list[str] | None = None
    reason: str | None = None
    includes_left: bool = False
    begin: str | None = None


class SentQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Whose events, and between which times."""

    pattern: str
    since_ms: int | None = None
    until_ms: int | None = None
    begin: str | None = None


class RedactionBody(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Whose events, and between which times, and why."""

    pattern: str
    since_ms: int | None = None
    until_ms: int | None = None
    reason: str | None = None
    begin: str | None = None


@dataclass(frozen=True)
class UserPatternEndpoints:
    """Many users at once."""

    members: MemberPatterns
    senders: SenderPatterns

    @endpoint(
        "GET",
        "/_columba/admin/v1/members",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        query=HitsQuery,
    )
    async def find_members(self, request: Request[HitsQuery, NoBody]) -> Reply:
        """Whom a pattern would hit in some rooms, or in all."""
        query = request.query
        aim = _aim(Removal(query.removal), query.pattern, query.rooms or None, includes_left=query.includes_left)
        hits = await self.members.find(aim, query.begin)
        return Reply({"members": _shown(hits.found), "next": hits.next})

    @endpoint(
        "POST",
        "/_columba/admin/v1/members/kick",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        body=MembersBody,
    )
    async def kick(self, request: Request[NoQuery, MembersBody]) -> Reply:
        """Remove users from rooms."""
        return await self._remove(Removal.KICK, request.body)

    @endpoint(
        "POST",
        "/_columba/admin/v1/members/ban",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        body=MembersBody,
    )
    async def ban(self, request: Request[NoQuery, MembersBody]) -> Reply:
        """Remove users from rooms, and let them not come back."""
        return await self._remove(Removal.BAN, request.body)

    @endpoint(
        "POST",
        "/_columba/admin/v1/members/unban",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        body=MembersBody,
    )
    async def unban(self, request: Request[NoQuery, MembersBody]) -> Reply:
        """Let users come back."""
        return await self._remove(Removal.UNBAN, request.body)

    @endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/sent",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        query=SentQuery,
    )
    async def find_sent(self, request: Request[SentQuery, NoBody]) -> Reply:
        """What users said in a room."""
        query = request.query
        said = Said(request.room_id, query.pattern, query.since_ms, query.until_ms)
        return Reply(asdict(await self.senders.find(said, query.begin)))

    @endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/redact",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=HERE,
        body=RedactionBody,
    )
    async def redact(self, request: Request[NoQuery, RedactionBody]) -> Reply:
        """Redact what users said in a room."""
        body = request.body
        said = Said(request.room_id, body.pattern, body.since_ms, body.until_ms)
        return Reply(asdict(await self.senders.redact(said, body.reason, body.begin)))

    async def _remove(self, removal: Removal, body: MembersBody) -> Reply:
        aim = _aim(removal, body.pattern, body.rooms, includes_left=body.includes_left)
        done = await self.members.remove(aim, body.reason, body.begin)
        return Reply({"done": _shown(done.done), "failed": [asdict(one) for one in done.failed], "next": done.next})


def _aim(removal: Removal, pattern: str, rooms: Sequence[str] | None, *, includes_left: bool) -> Aim:
    named = None if rooms is None else [parse_room_id(room_id) for room_id in rooms]
    return Aim(removal, pattern, named, includes_left)


def _shown(hits: Sequence[Hit]) -> list[dict[str, Any]]:  # Any: JSON
    return [
        {"room_id": one.room_id, "user_id": one.user_id, "membership": one.membership, "spared": one.is_spared}
        for one in hits
    ]
