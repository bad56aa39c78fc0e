"""Requests of another server to a site that believes the header."""

from typing import Any
from urllib.parse import quote, urlencode

import orjson

from homeserver.core.identifiers import ServerName
from tests.http.conftest import Response, Served
from tests.services.federation.others import FAR

# Any: JSON.


def ask(
    served: Served,
    method: str,
    *segments: str,
    query: dict[str, Any] | None = None,
    content: Any = None,
    server: ServerName = FAR,
    version: str = "v1",
) -> Response:
    """One request below /_matrix/federation."""
    path = "/".join(quote(segment, safe="") for segment in segments)
    asked = f"?{urlencode(query, doseq=True)}" if query else ""
    body = None if content is None else orjson.dumps(content)
    headers = {"Authorization": f"X-Matrix {server}"}
    return served.request(method, f"/_matrix/federation/{version}/{path}{asked}", body, headers)


def refusal(response: Response) -> tuple[int, str]:
    """Status and errcode."""
    return response.status, response.json["errcode"]
