"""What happens to every request in turn: who calls, how often, what was sent, and then the endpoint's own handler.

An act of administration is written down on the way, before and after, whichever endpoint it is for.

How requests come in from the network and replies go out is in resource.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import ServerName
from homeserver.core.rate_limits import network_of
from homeserver.http.administrative_acts import FAILED, ActLog, act_of, end_of
from homeserver.http.arrival import Arrival
from homeserver.http.authentication import Authentication
from homeserver.http.endpoint import Auth, Endpoint, Reply, Request, Upload
from homeserver.http.errors import reply_to
from homeserver.http.parameters import parse_query
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.router import Route, Router
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import InvalidParameter, ServiceError


class Door:
    """The way in, for whatever listener a request came by."""

    def __init__(
        self,
        authentication: Authentication,
        rate_limiting: RateLimiting,
        acts: ActLog,
        on_seen: Callable[[Requester, str, Callable[[str], str | None]], None] | None = None,
    ) -> None:
        """`on_seen` is told who calls, from which address, and how to read the request's headers."""
        self.authentication: Final = authentication
        self._rate_limiting = rate_limiting
        self._acts = acts
        self._on_seen = on_seen

    async def answer(self, route: Route, arrival: Arrival) -> Reply:
        """Let the route's handler answer. Raises whatever is wrong with the request, or in the handler."""
        mark = route.mark
        requester = None
        origin = None
        if mark.auth is not Auth.NONE:
            requester = await self.authentication.requester(mark, arrival)
            origin = await self.authentication.origin(mark, arrival)
        if mark.limit is not RateClass.FREE:
            self._limit(mark, arrival, requester, origin)
        if requester is not None and self._on_seen is not None:
            self._on_seen(requester, arrival.client_ip, arrival.header)
        if route.is_act:
            if mark.auth is Auth.NONE:
                return await self._act_of_anybody(route, arrival)
            return await self._act(route, arrival, requester)
        return await route.handler(_read(route, arrival, requester, origin))

    async def _act(self, route: Route, arrival: Arrival, requester: Requester | None) -> Reply:
        """Write down what is about to be done, do it, and write down how that ended.

        What cannot be written down is not done. How an act ended that was done may fail to be: then it has no end.
        """
        refusal: ProtocolError | ServiceError | None = None
        request: Request[Any, Any] | None = None  # Any: each endpoint has its own
        try:
            request = _read(route, arrival, requester, None)
        except (ProtocolError, ServiceError) as refused:
            refusal = refused
        begun = await self._acts.begin(act_of(route.mark, arrival, requester, request))
        end = FAILED
        try:
            if request is None:
                raise refusal or InvalidParameter
            reply = await route.handler(request)
            end = end_of(reply)
            return reply
        except (ProtocolError, ServiceError) as refused:
            end = end_of(refused)
            raise
        finally:
            await self._acts.end(begun, end)

    async def _act_of_anybody(self, route: Route, arrival: Arrival) -> Reply:
        """Let somebody act who shows in the request that they may: written down once that was seen."""
        request = _read(route, arrival, None, None)
        reply = await route.handler(request)
        if reply.status < 400:
            await self._acts.note_done(act_of(route.mark, arrival, None, request), end_of(reply))
        return reply

    def sweep(self) -> None:
        """Forget what is no longer needed: to be called now and then."""
        self._rate_limiting.sweep()

    def _limit(self, mark: Endpoint, arrival: Arrival, requester: Requester | None, origin: ServerName | None) -> None:
        if requester is not None and not requester.is_rate_limited:
            return
        if requester is not None and requester.is_guest:
            # Guests are anybody, as many as somebody likes: they share what their network may.
            self._rate_limiting.take(RateClass.GUEST, network_of(arrival.client_ip))
        if requester is not None and mark.auth is not Auth.OPTIONAL_TOKEN:
            self._rate_limiting.take(mark.limit, requester.user_id, requester.rate_limit)
            if requester.probation_until_ms is not None and requester.rate_limit is None:
                self._rate_limiting.take_of_newcomer(mark.limit, requester.user_id, requester.probation_until_ms)
        elif origin is not None:
            self._rate_limiting.take(mark.limit, origin)
        elif not arrival.by_owner:
            # Also where a token may be shown but need not: each account that is registered with the token of another
            # would else be allowed to register as many again.
            self._rate_limiting.take(mark.limit, network_of(arrival.client_ip))


def _read(
    route: Route, arrival: Arrival, requester: Requester | None, origin: ServerName | None
) -> Request[Any, Any]:  # Any: each endpoint has its own
    content = arrival.content
    body = content if isinstance(content, Upload) else route.body.read(content)
    query = route.query.read(arrival.query)
    return Request(arrival.path, query, body, requester, origin, arrival.client_ip, arrival.uri, arrival.header)


# Any: the body is whatever JSON the administrators' API takes.
async def administer(door: Door, router: Router, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
    """Answer a request of the server's owner without a network, as (status, JSON). `path` may have a query."""
    uri = quote(path, safe="/?&=%:@!$#")
    raw_path, _, query = uri.encode().partition(b"?")
    try:
        route, parameters = router.find(method, raw_path)
        arrival = Arrival(
            method=method,
            uri=uri,
            path=parameters,
            query=parse_query(query),
            content=orjson.dumps(body),
            authorization=(),
            header=lambda _: None,
            client_ip="",
            by_owner=True,
        )
        reply = await door.answer(route, arrival)
    except (ProtocolError, ServiceError) as refusal:
        reply = reply_to(refusal)
    return reply.status, reply.body
