"""What administrators are answered, held against the OpenAPI document that the server gives them.

The document leaves room for what may come later; here there is none: a field that is not in it is a fault.
"""

import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

from homeserver.http.openapi import describe
from homeserver.http.table import ENDPOINT_CLASSES

SURFACES: Final = ("/_columba/admin/", "/_synapse/admin/")
ERROR: Final = "Error"  # what comes with an errcode is open

# A document is JSON of any shape: Any throughout.


class Document:
    """A document, which is asked what is wrong with an answer."""

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
            for error in self._validator(operation, status).iter_errors(body):
                yield f"{operation['operationId']}: {error.json_path}: {error.message[:500]}"

    def _operation(self, method: str, path: str) -> Any:
        fitting = (methods for pattern, methods in self._paths if pattern.fullmatch(path))
        return next((methods[method.lower()] for methods in fitting if method.lower() in methods), None)

    def _validator(self, operation: Any, status: int) -> Draft202012Validator:
        described = operation["responses"]
        name = next(each for each in (str(status), f"{status // 100}XX", "default") if each in described)
        key = f"{operation['operationId']} {name}"
        if key not in self._validators:
            response = described[name]
            if "$ref" in response:
                response = self._components["responses"][response["$ref"].rpartition("/")[2]]
            schema = response["content"]["application/json"]["schema"]
            self._validators[key] = Draft202012Validator({**schema, "components": self._components})
        return self._validators[key]


@cache
def document(*, lets_lack: bool = False) -> Document:
    """The document of this server."""
    return Document(describe(ENDPOINT_CLASSES, "test"), lets_lack=lets_lack)


def is_administration(path: str) -> bool:
    """Whether a path is one of those that the document has."""
    return path.startswith(SURFACES)
