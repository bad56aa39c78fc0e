"""The specification's OpenAPI files, read from the folder that MATRIX_SPEC_DIR names; responses are judged by them.

Nothing of the files is kept in this project. Without the folder there is no specification to judge by: `specification`
returns None then, unless nothing may be left out (COLUMBA_NO_SKIPS=1).
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.conformance.administration import document, is_administration

METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options")
JSON_TYPE: Final = "application/json"
BESIDE_ROOMS: Final = frozenset({"m.presence", "m.typing", "m.receipt"})
# Who calls is asked before what is wanted, so these may come where only the flows of authentication are described.
NOT_LET_IN: Final = frozenset({"M_MISSING_TOKEN", "M_UNKNOWN_TOKEN", "M_USER_LOCKED"})

# What a YAML file holds is JSON of any shape: Any throughout.


class ResponseMismatch(AssertionError):  # noqa: N818 - a judgement
    """A response that the specification does not allow."""


class _Loader(yaml.CSafeLoader):
    """YAML as JSON: a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _with_text_keys(value: Any) -> Any:
    """Turn keys such as 200 into text, as they would be in JSON."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(each) for each in value]
    return value


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file: the keys that lead to it."""

    file: Path
    keys: tuple[str, ...]

    def below(self, *keys: str) -> "Location":
        """Return the place that further keys lead to."""
        return Location(self.file, (*self.keys, *keys))

    @property
    def uri(self) -> str:
        """The place as a reference that a JSON schema can follow."""
        pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in self.keys)
        return f"{self.file.as_uri()}#{quote(pointer)}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the specification. `path` is whole, base path included, without a trailing space."""

    method: str  # upper case
    path: str
    operation_id: str
    deprecated: bool
    auth: tuple[str, ...]  # names of security schemes, "none" for nobody
    location: Location


class Specification:
    """The operations of one API, found by the path of a request."""

    def __init__(self, folder: Path, api: str = "client-server") -> None:
        """Take the folder that holds data/api; files are read when first asked for."""
        self._files = sorted((folder / "data" / "api" / api).glob("*.yaml"))
        self._loaded: dict[Path, Any] = {}
        self._validators: dict[Location, Draft202012Validator] = {}
        self._registry: Registry[Any] = Registry(retrieve=cache(self._retrieve))  # type: ignore[call-arg] # an attrs alias

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation, by file and in the order of the file."""
        return tuple(operation for file in self._files for operation in self._operations_of(file))

    @cached_property
    def _by_shape(self) -> Mapping[tuple[str, int], Sequence[tuple[tuple[str, ...], Operation]]]:
        """Operations by method and number of segments; those with the fewest parameters first."""
        found: dict[tuple[str, int], list[tuple[tuple[str, ...], Operation]]] = {}
        for operation in self.operations:
            segments = tuple(operation.path.split("/"))
            found.setdefault((operation.method, len(segments)), []).append((segments, operation))
        for candidates in found.values():
            candidates.sort(key=lambda candidate: sum(map(_is_parameter, candidate[0])))
        return found

    def find(self, method: str, path: str) -> tuple[Operation, ...]:
        """Return the operations that a request means: none, one, or those few that share a method and a path.

        `path` may be percent-encoded and may carry a query; r0 is taken for v3.
        """
        raw = urlsplit(path).path.replace("/r0/", "/v3/", 1)
        if re.search(r"/state/[^/]+$", raw):
            raw += "/"  # the empty state key may leave out its slash
        segments = [unquote(segment) for segment in raw.split("/")]
        candidates = self._by_shape.get((method.upper(), len(segments)), ())
        fitting = [each for each in candidates if all(map(_fits, each[0], segments))]
        return tuple(operation for template, operation in fitting if _shape(template) == _shape(fitting[0][0]))

    def validate_response(self, method: str, path: str, status: int, body: object) -> None:
        """Raise ResponseMismatch where a JSON response is not as the specification says; let unknown paths pass."""
        operations = self.find(method, path)
        if any(operation.operation_id == "getEvents" for operation in operations):
            body = _without_news_beside_rooms(body)
        complaints = [self._complaints(operation, status, body) for operation in operations]
        if operations and all(complaints):
            listed = "\n  ".join(dict.fromkeys(line for lines in complaints for line in lines))
            raise ResponseMismatch(f"{method} {path} answered {status}:\n  {listed}\nThe body: {str(body)[:2000]}")

    def response_examples(self, operation: Operation) -> Iterator[tuple[int, Any]]:
        """Give the examples of JSON responses that the specification holds for an operation, with their status."""
        for status in self._at(operation.location.below("responses")):
            content = self._content(operation, int(status))
            if content is None:
                continue
            media = self._at(content)
            values = [example["value"] for example in media.get("examples", {}).values() if "value" in example]
            values += [media["example"]] if "example" in media else []
            yield from ((int(status), self._whole_example(value, content.file)) for value in values)

    def _complaints(self, operation: Operation, status: int, body: object) -> list[str]:
        complaints = _complaints_of_an_error(status, body) if status >= 400 else []
        if status == 401 and isinstance(body, dict) and body.get("errcode") in NOT_LET_IN:
            return complaints
        documented = self._at(operation.location.below("responses"))
        if str(status) not in documented:
            if status < 400:
                complaints.append(f"{operation.operation_id} has no response {status}, only {', '.join(documented)}")
            return complaints
        content = self._content(operation, status)
        if content is not None:
            errors = self._validator(content.below("schema")).iter_errors(body)
            complaints += [f"{error.json_path}: {error.message[:500]}" for error in errors if not _fits_several(error)]
        return complaints

    def _validator(self, schema: Location) -> Draft202012Validator:
        if schema not in self._validators:
            self._validators[schema] = Draft202012Validator({"$ref": schema.uri}, registry=self._registry)
        return self._validators[schema]

    def _content(self, operation: Operation, status: int) -> Location | None:
        """Find where the JSON of a response is described; None when it is not JSON, or not described."""
        response = self._follow(operation.location.below("responses", str(status)))
        content = response.below("content", JSON_TYPE)
        described = self._at(response).get("content", {}).get(JSON_TYPE, {})
        return content if "schema" in described else None

    def _operations_of(self, file: Path) -> Iterator[Operation]:
        document = self._load(file)
        variables = document["servers"][0].get("variables", {})
        base = variables.get("basePath", {}).get("default", "")
        for path, methods in document["paths"].items():
            for method in (each for each in METHODS if each in methods):
                declared = methods[method]
                schemes = [scheme for alternative in declared.get("security", []) for scheme in alternative or ["none"]]
                yield Operation(
                    method=method.upper(),
                    path=base.rstrip("/") + path.rstrip(" "),
                    operation_id=declared["operationId"],
                    deprecated=bool(declared.get("deprecated", False)),
                    auth=tuple(dict.fromkeys(schemes or ["none"])),
                    location=Location(file, ("paths", path, method)),
                )

    def _load(self, file: Path) -> Any:
        if file not in self._loaded:
            with file.open("rb") as opened:
                # A SafeLoader: it makes plain values only.
                self._loaded[file] = _with_text_keys(yaml.load(opened, Loader=_Loader))
        return self._loaded[file]

    def _retrieve(self, uri: str) -> Resource[Any]:
        return DRAFT202012.create_resource(self._load(Path(unquote(urlsplit(uri).path))))

    def _at(self, location: Location) -> Any:
        """Return what stands at a place, references followed on the way and at the end."""
        followed = self._follow(location)
        return self._raw(followed)

    def _raw(self, location: Location) -> Any:
        value = self._load(location.file)
        for key in location.keys:
            value = value[key]
        return value

    def _follow(self, location: Location) -> Location:
        """Return the place that a place refers to in the end: itself, mostly."""
        value = self._raw(location)
        while isinstance(value, dict) and "$ref" in value:
            name, _, pointer = value["$ref"].partition("#")
            file = (location.file.parent / name).resolve() if name else location.file
            keys = tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])
            location = Location(file, keys)
            value = self._raw(location)
        return location

    def _whole_example(self, value: Any, file: Path) -> Any:
        """Write out an example in which `$ref` stands for the keys of another file; keys beside it win."""
        if isinstance(value, list):
            return [self._whole_example(each, file) for each in value]
        if not isinstance(value, dict):
            return value
        whole: dict[str, Any] = {}
        if isinstance(value.get("$ref"), str):
            other = (file.parent / value["$ref"]).resolve()
            whole |= self._whole_example(self._load(other), other)
        return whole | {key: self._whole_example(each, file) for key, each in value.items() if key != "$ref"}


def _complaints_of_an_error(status: int, body: object) -> list[str]:
    """Say what every error needs; a 401 that asks for user-interactive authentication needs its flows instead."""
    if not isinstance(body, dict):
        return ["an error's body is an object"]
    if isinstance(body.get("errcode"), str) or (status == 401 and isinstance(body.get("flows"), list)):
        return []
    return ["an error has an errcode"]


def _fits_several(error: ValidationError) -> bool:
    """True for a value that more than one alternative of a `oneOf` allows: the specification means `anyOf`."""
    return error.validator == "oneOf" and not error.context


def _without_news_beside_rooms(stream: object) -> object:
    """The event stream without what is no event of a room: its schema has none of it, its clients rely on it."""
    if not isinstance(stream, dict) or not isinstance(stream.get("chunk"), list):
        return stream
    return {**stream, "chunk": [each for each in stream["chunk"] if each.get("type") not in BESIDE_ROOMS]}


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _fits(template: str, segment: str) -> bool:
    # Of all that is named in a path only a state key may be empty.
    return template == segment or (_is_parameter(template) and (segment != "" or template == "{stateKey}"))


def _shape(template: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("{}" if _is_parameter(segment) else segment for segment in template)


@cache
def specification() -> Specification | None:
    """Return the client-server API, or None where MATRIX_SPEC_DIR names no folder.

    Raises LookupError instead of returning None where nothing may be left out.
    """
    folder = os.environ.get("MATRIX_SPEC_DIR")
    if folder:
        return Specification(Path(folder).resolve(strict=True))
    if os.environ.get("COLUMBA_NO_SKIPS") == "1":
        raise LookupError("MATRIX_SPEC_DIR is not set: no response can be judged")
    return None


def validate_response(method: str, path: str, status: int, body: object) -> None:
    """Judge a JSON response by the specification, where that is at hand; what is for administrators by our document."""
    if is_administration(path):
        complaints = list(document().complaints(method, path, status, body))
        if complaints:
            listed = "\n  ".join(complaints)
            raise ResponseMismatch(f"{method} {path} answered {status}:\n  {listed}\nThe body: {str(body)[:2000]}")
        return
    known = specification()
    # By a proposal (MSC4140) two endpoints answer with another ID when an event is to be sent later.
    if known is not None and "org.matrix.msc4140.delay=" not in path:
        known.validate_response(method, path, status, body)
