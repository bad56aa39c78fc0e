"""How a request that needs user-interactive authentication is read. What its stages are is for services/accounts."""

from typing import Any

import msgspec
import orjson

from homeserver.services.accounts.interactive_auth import Attempt

AuthData = dict[str, Any]  # Any: what each stage takes


def attempt(operation: str, body: Any) -> Attempt:  # Any: the endpoint's own struct, with a field `auth`
    """The request as user-interactive authentication sees it: a session is for this operation and this body alone.

    `operation` is the method and path.
    """
    fields: dict[str, Any] = msgspec.to_builtins(body)
    shown = fields.pop("auth", None)
    return Attempt(operation, orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), shown)
