"""Administration: moderation policy lists that the server follows, and what they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypedDict

import msgspec

from homeserver.core.identifiers import RoomID, parse_user_id
from homeserver.core.policy_rules import PolicyKind, PolicyRule, Recommendation
from homeserver.http.endpoint import NoBody, NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.policy_planning import Step
from homeserver.services.admin.policy_subscriptions import ListStatus, PolicySubscriptions, Purpose
from homeserver.services.admin.policy_watch import Applied
from homeserver.storage.policy_lists import DeedKind, OnRooms

LISTS: Final = "/_columba/admin/v1/policy/lists"
DOCS: Final = "docs/moderation.md"
Where = Annotated[list[Literal["rooms", "server"]], msgspec.Meta(max_length=2)]


class SubscriptionBody(msgspec.Struct, frozen=True):
    """Which list, what it does (nothing, with neither rooms nor server), and who joins its room, through whom.

    `rooms` are those in which it is carried out; without, all in which this server can.
    """

    room: str
    apply_to: Where = []
    rooms: list[str] | None = None
    user_id: str | None = None
    via: list[str] = []


class PurposeQuery(msgspec.Struct, frozen=True):
    """What a list is to do; without, what it does. `limit` steps are told."""

    apply_to: Where | None = None
    rooms: list[str] = []
    limit: int = 100


class RulesQuery(msgspec.Struct, frozen=True, rename={"after": "from"}):
    """Which page."""

    after: int = 0
    limit: int = 100


class EndQuery(msgspec.Struct, frozen=True):
    """Whether what was done is undone."""

    undo: bool = False


class EntityQuery(msgspec.Struct, frozen=True):
    """A user, a room or a server."""

    entity: str


class PolicyListAnswer(TypedDict):
    """A list that is followed: what it does, who is in its room, how many rules it has, and what came of them.

    `rooms` is null where it is not carried out in given rooms alone; `obstacles` are by the IDs of rooms.
    """

    room_id: str
    apply_to: list[str]
    rooms: list[str] | None
    subscribed_by: str | None
    subscribed_ts: int
    members: Sequence[str]
    rules: dict[str, int]
    idle_rules: int
    deeds: dict[str, int]
    replaced_by: str | None
    is_busy: bool
    is_ending: bool
    obstacles: Mapping[str, str]


class PolicyListsAnswer(TypedDict):
    """All lists that are followed, the oldest first."""

    lists: list[PolicyListAnswer]


class PolicyRuleRow(TypedDict):
    """A rule. What it is about is a pattern, or stands for a hash."""

    kind: PolicyKind
    entity: str
    recommendation: Recommendation
    reason: str
    event_id: str


class ListedRule(PolicyRuleRow):
    """A rule of a list; an idle one is not carried out, as it would be about everybody, or is one of too many."""

    is_idle: bool


class PolicyRulesAnswer(TypedDict):
    """Some rules, and where the next page begins."""

    rules: list[ListedRule]
    next: int | None


class PolicyAppliedAnswer(TypedDict):
    """How much was done, how much was not possible, and whether nothing is left."""

    done: int
    failed: int
    is_complete: bool


class PolicyStep(TypedDict):
    """Something that would be done: in a room, or by the server; by which rule, and why it is not possible."""

    act: DeedKind
    entity: str
    room_id: str | None
    reason: str
    rule: str | None
    obstacle: str | None


class ForecastAnswer(TypedDict):
    """Some steps, how many there are of each kind and how many of all are not possible; and whether that is all."""

    steps: list[PolicyStep]
    counts: dict[str, int]
    impossible: int
    is_whole: bool


class AppliedRule(PolicyRuleRow):
    """A rule with the list that it is of, and whether that does anything."""

    list: str
    acts: bool


class OpinionAnswer(TypedDict):
    """As what an entity was understood, and the rules about it."""

    entity: str
    kind: PolicyKind
    rules: list[AppliedRule]


@dataclass(frozen=True)
class PolicyListAdminEndpoints:
    """Policy lists."""

    subscriptions: PolicySubscriptions

    @admin_endpoint("GET", LISTS, spec=DOCS)
    async def all(self, _: PlainRequest) -> Reply[PolicyListsAnswer]:
        """The lists that are followed, the oldest first."""
        return Reply({"lists": [_status(each) for each in await self.subscriptions.all()]})

    @admin_endpoint("POST", LISTS, body=SubscriptionBody, spec=DOCS)
    async def subscribe(self, request: Request[NoQuery, SubscriptionBody]) -> Reply[PolicyListAnswer]:
        """Follow a list, or change what it does."""
        body = request.body
        joins = None if body.user_id is None else parse_user_id(body.user_id)
        purpose = _purpose(body.apply_to, body.rooms)
        status = await self.subscriptions.subscribe(
            body.room, purpose, joins=joins, via=body.via, subscribed_by=request.user_id
        )
        return Reply(_status(status))

    @admin_endpoint("GET", f"{LISTS}/{{roomId}}", spec=DOCS)
    async def one(self, request: PlainRequest) -> Reply[PolicyListAnswer]:
        """One list."""
        return Reply(_status(await self.subscriptions.status(request.room_id)))

    @admin_endpoint("DELETE", f"{LISTS}/{{roomId}}", query=EndQuery, spec=DOCS)
    async def unsubscribe(self, request: Request[EndQuery, NoBody]) -> Reply[PolicyAppliedAnswer]:
        """Follow a list no more."""
        return Reply(_applied(await self.subscriptions.unsubscribe(request.room_id, undo=request.query.undo)))

    @admin_endpoint("GET", f"{LISTS}/{{roomId}}/rules", query=RulesQuery, spec=DOCS)
    async def rules(self, request: Request[RulesQuery, NoBody]) -> Reply[PolicyRulesAnswer]:
        """Some rules of a list, those that weigh most first; `next` is where the next page begins, null at the end."""
        after, limit = request.query.after, request.query.limit
        rules, followed = await self.subscriptions.rules(request.room_id, after=after, limit=limit)
        idle, end = followed.book.idle, after + len(rules)
        return Reply(
            {
                "rules": [{**_rule(rule), "is_idle": rule.event_id in idle} for rule in rules],
                "next": end if end < len(followed.book.rules) else None,
            }
        )

    @admin_endpoint("POST", f"{LISTS}/{{roomId}}/apply", spec=DOCS)
    async def apply(self, request: PlainRequest) -> Reply[PolicyAppliedAnswer]:
        """Carry a list out, as far as one request goes: to be asked again until it is complete."""
        return Reply(_applied(await self.subscriptions.apply(request.room_id)))

    @admin_endpoint("GET", f"{LISTS}/{{roomId}}/dry_run", query=PurposeQuery, spec=DOCS)
    async def dry_run(self, request: Request[PurposeQuery, NoBody]) -> Reply[ForecastAnswer]:
        """What a list would do."""
        query = request.query
        purpose = None if query.apply_to is None else _purpose(query.apply_to, query.rooms or None)
        forecast = await self.subscriptions.forecast(request.room_id, purpose, limit=query.limit)
        return Reply(
            {
                "steps": [_step(step) for step in forecast.steps],
                "counts": {kind.value: count for kind, count in forecast.counts.items()},
                "impossible": forecast.impossible,
                "is_whole": forecast.is_whole,
            }
        )

    @admin_endpoint("GET", "/_columba/admin/v1/policy/check", query=EntityQuery, spec=DOCS)
    async def check(self, request: Request[EntityQuery, NoBody]) -> Reply[OpinionAnswer]:
        """What the lists say of a user, a room or a server, that which counts first."""
        opinion = self.subscriptions.opinion(request.query.entity)
        rules: list[AppliedRule] = [
            {**_rule(verdict.rule), "list": verdict.list.room_id, "acts": verdict.list.acts}
            for verdict in opinion.verdicts
        ]
        return Reply({"entity": request.query.entity, "kind": opinion.kind, "rules": rules})


def _purpose(apply_to: Where, rooms: list[str] | None) -> Purpose:
    on_rooms = OnRooms.NONE
    if "rooms" in apply_to:
        on_rooms = OnRooms.ALL if rooms is None else OnRooms.GIVEN
    return Purpose(on_server="server" in apply_to, on_rooms=on_rooms, rooms=tuple(rooms or ()))


def _status(status: ListStatus) -> PolicyListAnswer:
    followed = status.followed.list
    book = status.followed.book
    apply_to = ["rooms"] if followed.on_rooms is not OnRooms.NONE else []
    return {
        "room_id": followed.room_id,
        "apply_to": [*apply_to, *(["server"] if followed.on_server else [])],
        "rooms": sorted(followed.rooms) if followed.on_rooms is OnRooms.GIVEN else None,
        "subscribed_by": followed.subscribed_by,
        "subscribed_ts": followed.subscribed_ms,
        "members": list(status.members),
        "rules": {kind.value: sum(rule.kind is kind for rule in book.rules) for kind in PolicyKind},
        "idle_rules": len(book.idle),
        "deeds": {kind.value: count for kind, count in status.deeds.items()},
        "replaced_by": status.followed.replaced_by,
        "is_busy": status.is_busy,
        "is_ending": followed.ends,
        "obstacles": dict(status.obstacles),
    }


def _rule(rule: PolicyRule) -> PolicyRuleRow:
    return {
        "kind": rule.kind,
        "entity": rule.name,
        "recommendation": rule.recommendation,
        "reason": rule.reason,
        "event_id": rule.event_id,
    }


def _step(step: Step) -> PolicyStep:
    room_id: RoomID | None = step.deed.room_id
    return {
        "act": step.deed.kind,
        "entity": step.deed.entity,
        "room_id": room_id,
        "reason": "" if step.rule is None else step.rule.reason,
        "rule": None if step.rule is None else step.rule.name,
        "obstacle": step.obstacle,
    }


def _applied(applied: Applied) -> PolicyAppliedAnswer:
    return {"done": applied.done, "failed": applied.failed, "is_complete": applied.is_complete}
