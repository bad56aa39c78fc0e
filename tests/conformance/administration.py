"""What administrators ask and are answered, held against the OpenAPI document that the server gives them.

The document leaves room for what may come later; here there is none: a field that is not in it is a fault.
"""

import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from homeserver.http.openapi import describe
from homeserver.http.table import ENDPOINT_CLASSES

SURFACES: Final = ("/_columba/admin/", "/_synapse/admin/")
ERROR: Final = "Error"  # what comes with an errcode is open

# A document is JSON of any shape: Any throughout.


class Document:
    """A document, which is asked what is wrong with an answer, or with a request."""

    def __init__(self, document: Any, *, lets_lack: bool = False) -> None:
        """Take a document. `lets_lack`: an answer may be a part of what the document has."""
        self._paths = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), methods)
            # Those with the fewest parameters first, as they are served.
            for path, methods in sorted(document["paths"].items(), key=lambda each: each[0].count("{"))
        ]
        self._components = copy.deepcopy(document["components"])
        for name, schema in self._components["schemas"].items():
            if "properties" in schema and name != ERROR:
                schema["additionalProperties"] = False
                if lets_lack:
                    schema["required"] = []
        self._validators: dict[str, Draft202012Validator] = {}

    def complaints(self, method: str, path: str, status: int, body: object) -> Iterator[str]:
        """Say what in an answer is not as the document has it; nothing of a path that it does not have."""
        operation = self._operation(method, urlsplit(path).path)
        if operation is not None:
            response, name = self._response(operation, status)
            yield from self._unlike(operation, name, response, body)

    def complaints_about_request(self, method: str, path: str, body: object) -> Iterator[str]:
        """Say what in a request is not as the document has it; None is no body. Nobody else asks for another path."""
        parts = urlsplit(path)
        operation = self._operation(method, parts.path)
        if operation is None:
            yield f"there is no {method} {parts.path}"
            return
        known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        for name in {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - known:
            yield f"{operation['operationId']}: there is no parameter {name}"
        if "requestBody" in operation:
            yield from self._unlike(operation, "request", operation["requestBody"], {} if body is None else body)
        elif body:
            yield f"{operation['operationId']}: a body is not read"

    def _operation(self, method: str, path: str) -> Any:
        fitting = (methods for pattern, methods in self._paths if pattern.fullmatch(path))
        return next((methods[method.lower()] for methods in fitting if method.lower() in methods), None)

    def _response(self, operation: Any, status: int) -> tuple[Any, str]:
        described = operation["responses"]
        name = next(each for each in (str(status), f"{status // 100}XX", "default") if each in described)
        response = described[name]
        if "$ref" in response:
            response = self._components["responses"][response["$ref"].rpartition("/")[2]]
        return response, name

    def _unlike(self, operation: Any, name: str, described: Any, value: object) -> Iterator[str]:
        key = f"{operation['operationId']} {name}"
        if key not in self._validators:
            schema = described["content"]["application/json"]["schema"]
            self._validators[key] = Draft202012Validator({**schema, "components": self._components})
        for error in self._validators[key].iter_errors(value):
            yield f"{operation['operationId']}: {error.json_path}: {error.message[:500]}"


@cache
def document(*, lets_lack: bool = False) -> Document:
    """The document of this server."""
    return Document(describe(ENDPOINT_CLASSES, "test"), lets_lack=lets_lack)


def is_administration(path: str) -> bool:
    """Whether a path is one of those that the document has."""
    return path.startswith(SURFACES)
