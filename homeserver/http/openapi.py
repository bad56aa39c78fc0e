"""The administrators' API as an OpenAPI document: all of it read from the marks of the endpoints.

What a handler's annotation does not say of its answer, the document does not say either: it is a JSON object then. Who
gets the document is in admin/openapi.py.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Final

import msgspec

from homeserver.http.endpoint import Auth, Endpoint, JsonObject, NoBody, NoQuery, Surface, endpoints_of, surfaces_of

OPENAPI: Final = "3.1.0"
REF: Final = "#/components/schemas/{name}"
JSON_TYPE: Final = "application/json"
TOKEN: Final = "accessToken"  # noqa: S105 - the name of a way to show one
ABOUT: Final = (
    "What administrators of this server can ask for: its own paths below /_columba/admin, and those by which tools "
    "know Synapse. The server's owner needs no token at the socket in the data folder. Whatever is no GET is written "
    "down in the audit log."
)

# What stands in a path, by the names of its parameters; any other is opaque.
PARAMETERS: Final[Mapping[str, str]] = {
    "userId": "A user ID, like @bob:example.org.",
    "roomId": "A room ID.",
    "roomIdOrAlias": "A room ID, or an alias of the room.",
    "roomAlias": "An alias of a room, like #salon:example.org.",
    "eventId": "An event ID.",
    "serverName": "A server's name.",
    "deviceId": "A device ID.",
    "jobId": "The ID of a job, from the answer that began it.",
    "reportId": "The number of a report.",
    "pattern": "A server's name, in which * and ? stand for anything and for one character.",
    "txnId": "A name for this request: what comes again under it is done once.",
    "token": "A registration token.",
    "backupName": "The name of a backup, from the answer that began it.",
}
REFUSALS: Final[Mapping[str, str]] = {
    "400": "What was sent is wrong: M_NOT_JSON, M_BAD_JSON, M_INVALID_PARAM, M_MISSING_PARAM.",
    "401": "No access token that counts: M_MISSING_TOKEN, M_UNKNOWN_TOKEN, M_USER_LOCKED.",
    "403": "Not for whoever asks, or for nobody: M_FORBIDDEN, M_USER_SUSPENDED, M_GUEST_ACCESS_FORBIDDEN.",
    "404": "There is no such thing: M_NOT_FOUND.",
    "429": "Too often: M_LIMIT_EXCEEDED.",
    "default": "Anything else that went wrong.",
}
ERROR: Final[Mapping[str, object]] = {
    "title": "Error",
    "description": "The specification's standard error.",
    "type": "object",
    "properties": {
        "errcode": {"type": "string"},
        "error": {"type": "string"},
        "retry_after_ms": {"type": "integer", "description": "With M_LIMIT_EXCEEDED: when to ask again."},
        "soft_logout": {
            "type": "boolean",
            "description": "With M_UNKNOWN_TOKEN: the token is old, the session is not.",
        },
    },
    "required": ["errcode", "error"],
}


@dataclass(frozen=True, slots=True)
class _Described:
    """A mark, under one of its paths, with what its method and its class say of themselves."""

    mark: Endpoint
    path: str
    summary: str
    tag: str


class _Shapes:
    """The schemas of what endpoints read and answer."""

    def __init__(self, marks: Iterable[Endpoint]) -> None:
        marks = tuple(marks)
        bodies = {mark.body: None for mark in marks if mark.body not in (NoBody, JsonObject)}
        self._queries = {mark.query: None for mark in marks if mark.query is not NoQuery}
        answers = {mark.answer: None for mark in marks if mark.answer not in (object, JsonObject)}
        # Asked for at once, so that two types of one name are told apart.
        declared = (*bodies, *self._queries, *answers)
        references, self._known = msgspec.json.schema_components(declared, ref_template=REF)
        self._references = dict(zip(declared, references, strict=True))
        for schema in self._known.values():
            if "description" in schema:
                schema["description"] = cleandoc(schema["description"])
        for name in self._named_by([*answers]) - self._named_by([*bodies, *self._queries]):
            _write_out(self._known[name])

    @property
    def schemas(self) -> Mapping[str, object]:
        """Those that others refer to, by their names; a query has none of its own, but parameters."""
        queries = {self._name(query) for query in self._queries}
        return {name: self._known[name] for name in sorted(self._known) if name not in queries}

    def of(self, body: Any) -> Mapping[str, object]:  # Any: see Endpoint.body
        """The schema of a body, or of an answer."""
        return {"type": "object"} if body in (object, JsonObject) else self._references[body]

    def is_needed(self, body: Any) -> bool:  # Any: as above
        """False where no body at all counts as one."""
        return body != JsonObject and bool(self._known[self._name(body)]["required"])

    def parameters(self, query: Any) -> Iterator[Mapping[str, object]]:  # Any: see Endpoint.query
        """What a query is made of."""
        if query is not NoQuery:
            shape = self._known[self._name(query)]
            for name, schema in shape["properties"].items():
                yield {"name": name, "in": "query", "required": name in shape["required"], "schema": schema}

    def _named_by(self, declared: Iterable[Any]) -> set[str]:  # Any: as above
        """The names of all schemas to which some types lead."""
        found: set[str] = set()
        ahead = list(_references_in([self._references[each] for each in declared]))
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += _references_in(self._known[name])
        return found

    def _name(self, declared: Any) -> str:  # Any: as above
        return str(self._references[declared]["$ref"]).rpartition("/")[2]


def _references_in(schema: object) -> Iterator[str]:
    """The names of the schemas that one refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _references_in(each)


def _write_out(schema: dict[str, Any]) -> None:  # Any: JSON
    """Say of what is only written that all of it is: a default is for those who leave something out."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            del field["default"]
            schema["required"].append(name)


def describe(owners: Iterable[type], version: str) -> Mapping[str, object]:
    """The document of whatever is for administrators in these classes of endpoints."""
    tags: dict[str, str] = {}
    described: list[_Described] = []
    for owner in owners:
        for each in _described(owner):
            described.append(each)
            tags[each.tag] = _first_line(owner)
    shapes = _Shapes(each.mark for each in described)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Columba, for administrators", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": tags[name]} for name in sorted(tags)],
        "security": [{TOKEN: []}],
        "paths": _paths(described, shapes),
        "components": {
            "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer", "description": "Of an administrator."}},
            "schemas": {"Error": ERROR, **shapes.schemas},
            "responses": {name: _refusal(told) for name, told in REFUSALS.items()},
        },
    }


def _described(owner: type) -> Iterator[_Described]:
    for mark in endpoints_of(owner):
        for path in mark.paths:
            if surfaces_of(path) == {Surface.ADMIN}:
                method = getattr(owner, mark.name.rpartition(".")[2])
                yield _Described(mark, path, _first_line(method), _tag(owner))


def _first_line(told: object) -> str:
    return (told.__doc__ or "").strip().partition("\n")[0]


def _tag(owner: type) -> str:
    """Of UserDeviceAdminEndpoints: user device."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*", owner.__name__.removesuffix("Endpoints"))
    return " ".join(word.lower() for word in words if word != "Admin")


def _paths(described: Iterable[_Described], shapes: _Shapes) -> Mapping[str, Mapping[str, object]]:
    paths: dict[str, dict[str, object]] = {}
    for each in sorted(described, key=lambda each: each.path):
        paths.setdefault(each.path, {})[each.mark.method.lower()] = _operation(each, shapes)
    return paths


def _operation(each: _Described, shapes: _Shapes) -> Mapping[str, object]:
    mark = each.mark
    parameters = [*_path_parameters(each.path), *shapes.parameters(mark.query)]
    operation: dict[str, object] = {
        "operationId": f"{mark.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', each.path).rstrip('_')}",
        "summary": each.summary,
        "tags": [each.tag],
        "x-columba-auth": mark.auth.value,
        "responses": _responses(mark, shapes, reads=bool(parameters) or mark.body is not NoBody),
    }
    if parameters:
        operation["parameters"] = parameters
    if mark.body is not NoBody:
        content = {JSON_TYPE: {"schema": shapes.of(mark.body)}}
        operation["requestBody"] = {"required": shapes.is_needed(mark.body), "content": content}
    if mark.auth is not Auth.ADMIN:
        operation["security"] = []
    return operation


def _path_parameters(path: str) -> Iterator[Mapping[str, object]]:
    for name in re.findall(r"{(\w+)}", path):
        described = {"description": PARAMETERS[name]} if name in PARAMETERS else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}, **described}


def _responses(mark: Endpoint, shapes: _Shapes, *, reads: bool) -> Mapping[str, object]:
    refusals = dict.fromkeys(REFUSALS)
    if not reads:
        del refusals["400"]
    if mark.auth is not Auth.ADMIN:
        del refusals["401"]
    done = {"description": "It was done.", "content": {JSON_TYPE: {"schema": shapes.of(mark.answer)}}}
    return {"2XX": done, **{name: {"$ref": f"#/components/responses/{name}"} for name in refusals}}


def _refusal(told: str) -> Mapping[str, object]:
    return {"description": told, "content": {JSON_TYPE: {"schema": {"$ref": REF.format(name="Error")}}}}
