"""Client-server API: push rules."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.core.push_rules import rule_set_to_json, rule_to_json
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    EMPTY,
    JsonObject,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.services.push.rules import PushRules


class PlaceQuery(msgspec.Struct, frozen=True):
    """Beside which of the user's rules a rule goes."""

    before: str | None = None
    after: str | None = None


class EnabledBody(msgspec.Struct, frozen=True):
    """Whether the rule is in force."""

    enabled: bool


class ActionsBody(msgspec.Struct, frozen=True):
    """What the rule does. Any: strings and objects, as core/push_rules.py checks."""

    actions: list[Any]


@dataclass(frozen=True)
class PushRuleEndpoints:
    """What users are notified of."""

    rules: PushRules

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrules",
        also=("/_matrix/client/v3/pushrules",),
    )
    async def all_rules(self, request: PlainRequest) -> Reply:
        """Every set of rules. That of the device is gone from the specification; old clients look for it."""
        user_id = request.requester.user_id
        rules = rule_set_to_json(await self.rules.all_rules(user_id), user_id)
        return Reply({"global": rules, "device": {}})

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrulesglobal",
        also=("/_matrix/client/v3/pushrules/global",),
    )
    async def global_rules(self, request: PlainRequest) -> Reply:
        """Every rule."""
        user_id = request.requester.user_id
        return Reply(rule_set_to_json(await self.rules.all_rules(user_id), user_id))

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrulesglobal",
        also=("/_matrix/client/v3/pushrules/global/{kind}",),
    )
    async def rules_of_kind(self, request: PlainRequest) -> Reply:
        """The rules of one kind. The specification has no such path; Synapse has it, and there are clients that ask."""
        user_id = request.requester.user_id
        rules = await self.rules.rules_of_kind(user_id, request.path["kind"])
        return Reply([rule_to_json(rule, user_id) for rule in rules])

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleid",
    )
    async def rule(self, request: PlainRequest) -> Reply:
        """One rule."""
        user_id = request.requester.user_id
        rule = await self.rules.rule(user_id, request.path["kind"], request.path["ruleId"])
        return Reply(rule_to_json(rule, user_id))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleid",
        query=PlaceQuery,
        body=JsonObject,
    )
    async def put_rule(self, request: Request[PlaceQuery, JsonObject]) -> Reply:
        """Add a rule, or change it."""
        await self.rules.put(
            request.requester.user_id,
            request.path["kind"],
            request.path["ruleId"],
            request.body,
            before=request.query.before,
            after=request.query.after,
        )
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid",
    )
    async def delete_rule(self, request: PlainRequest) -> Reply:
        """Delete a rule."""
        await self.rules.delete(request.requester.user_id, request.path["kind"], request.path["ruleId"])
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled",
    )
    async def is_enabled(self, request: PlainRequest) -> Reply:
        """Whether a rule is in force."""
        rule = await self.rules.rule(request.requester.user_id, request.path["kind"], request.path["ruleId"])
        return Reply({"enabled": rule.enabled})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled",
        body=EnabledBody,
    )
    async def set_enabled(self, request: Request[NoQuery, EnabledBody]) -> Reply:
        """Put a rule into force, or out of it."""
        await self.rules.set_enabled(
            request.requester.user_id, request.path["kind"], request.path["ruleId"], enabled=request.body.enabled
        )
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions",
    )
    async def actions(self, request: PlainRequest) -> Reply:
        """What a rule does."""
        rule = await self.rules.rule(request.requester.user_id, request.path["kind"], request.path["ruleId"])
        return Reply({"actions": list(rule.actions)})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions",
        body=ActionsBody,
    )
    async def set_actions(self, request: Request[NoQuery, ActionsBody]) -> Reply:
        """Give a rule other actions."""
        await self.rules.set_actions(
            request.requester.user_id, request.path["kind"], request.path["ruleId"], request.body.actions
        )
        return EMPTY
