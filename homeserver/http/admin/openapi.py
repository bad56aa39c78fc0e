"""Administration: what there is to ask for, as a document that programs read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from homeserver.http.endpoint import JsonObject, PlainRequest, Reply, admin_endpoint


@dataclass(frozen=True)
class OpenAPIEndpoints:
    """The administrators' API, described."""

    describe: Callable[[], Mapping[str, object]]

    @cached_property
    def _document(self) -> Any:  # Any: JSON, as an orjson.Fragment
        """Written when first asked for: most servers never are."""
        return orjson.Fragment(orjson.dumps(self.describe()))

    # Nobody else needs to know what there is, nor which version of it.
    @admin_endpoint(
        "GET", "/_columba/admin/v1/openapi.json", spec="for programs that speak with the administrators' API"
    )
    async def document(self, _: PlainRequest) -> Reply[JsonObject]:
        """What administrators can ask for: an OpenAPI document."""
        return Reply(self._document)
