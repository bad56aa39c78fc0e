"""From method and path to the endpoint that answers.

What may stand in a path's parameters is checked in parameters.py.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import ProtocolError
from homeserver.http.endpoint import BoundEndpoint, Endpoint, Handler, Surface, surfaces_of
from homeserver.http.parameters import BodyShape, QueryShape, check_path, split_path
from homeserver.services.errors import Unrecognized


class WrongMethod(ProtocolError):  # noqa: N818 - named for what is the case
    """The path exists, the method does not."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("This path does not offer this method")
        self.allowed = allowed


class Route:
    """An endpoint, ready to read its requests."""

    __slots__ = ("body", "handler", "is_act", "mark", "query")

    def __init__(self, endpoint: BoundEndpoint) -> None:
        self.mark: Final[Endpoint] = endpoint.mark
        self.handler: Final[Handler] = endpoint.handler
        self.query: Final = QueryShape(endpoint.mark.query)
        self.body: Final = BodyShape(endpoint.mark.body)
        self.is_act: Final = endpoint.mark.is_act


@dataclass(frozen=True, slots=True)
class _End:
    """Where a template ends: the route, the names of its parameters in order, and those that the path leaves out."""

    route: Route
    names: tuple[str, ...]
    omitted: Mapping[str, str]


class _Node:
    """The next segment of a path: one of the known words, or else a parameter."""

    __slots__ = ("ends", "parameter", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.ends: dict[str, _End] = {}  # by method


class Router:
    """The endpoints of one listener."""

    def __init__(self, endpoints: Iterable[BoundEndpoint], served: Collection[Surface]) -> None:
        """Raises ValueError when two endpoints would answer the same request."""
        self._root = _Node()
        for endpoint in endpoints:
            route = Route(endpoint)
            for path in endpoint.mark.paths:
                if not surfaces_of(path).isdisjoint(served):
                    self._add(route, path)

    def find(self, method: str, path: bytes) -> tuple[Route, dict[str, str]]:
        """The route, and the path's parameters, decoded and checked. HEAD finds what GET does.

        Raises Unrecognized, WrongMethod, InvalidParameter.
        """
        values: list[str] = []
        node = _walk(self._root, split_path(path), 0, values)
        if node is None:
            raise Unrecognized("Unrecognized request: no such path")
        end = node.ends.get("GET" if method == "HEAD" else method)
        if end is None:
            raise WrongMethod(sorted(node.ends))
        parameters = dict(zip(end.names, values, strict=True))
        parameters.update(end.omitted)
        check_path(parameters)
        return end.route, parameters

    def _add(self, route: Route, path: str) -> None:
        segments = path.split("/")[1:]
        self._add_end(route, segments, {})
        if segments[-1] == "{stateKey}":
            # The empty state key: the last segment is empty, or left out with its slash.
            self._add_end(route, [*segments[:-1], ""], {"stateKey": ""})
            self._add_end(route, segments[:-1], {"stateKey": ""})

    def _add_end(self, route: Route, segments: Sequence[str], omitted: Mapping[str, str]) -> None:
        node = self._root
        names = []
        for segment in segments:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.words.setdefault(segment, _Node())
        method = route.mark.method
        if method in node.ends:
            raise ValueError(f"{route.mark.name} and {node.ends[method].route.mark.name} answer {method} {segments}")
        node.ends[method] = _End(route, tuple(names), omitted)


def _walk(node: _Node, segments: Sequence[str], index: int, values: list[str]) -> _Node | None:
    """The node where the path ends; `values` receives the parameters on the way. A word goes before a parameter."""
    for position in range(index, len(segments)):
        segment = segments[position]
        word = node.words.get(segment)
        parameter = node.parameter if segment else None
        if word is None:
            if parameter is None:
                return None
            values.append(segment)
            node = parameter
        elif parameter is None:
            node = word
        else:
            known = len(values)
            found = _walk(word, segments, position + 1, values)
            if found is not None:
                return found
            del values[known:]
            values.append(segment)
            node = parameter
    return node if node.ends else None
