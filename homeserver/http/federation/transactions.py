"""Server-server API: transactions, by which servers hand each other events and what is not kept."""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import decode_lenient
from homeserver.http.endpoint import FEDERATION, NoQuery, Reply, Request, endpoint
from homeserver.http.parameters import parse_json
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.inbound_transactions import InboundTransactions

_LONG_NUMBER: Final = re.compile(rb"[0-9]{16}")


@dataclass(frozen=True)
class TransactionEndpoints:
    """What other servers send."""

    transactions: InboundTransactions

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send/{txnId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv1sendtxnid",
        body=bytes,
    )
    async def send(self, request: Request[NoQuery, bytes]) -> Reply:
        """Take a transaction."""
        body = _decoded(request.body)
        answer = await self.transactions.receive(request.peer, request.path["txnId"], body)
        return Reply(orjson.Fragment(answer))


def _decoded(raw: bytes) -> Any:  # Any: what JSON can be
    """A body as it stands: events of old room versions have integers of any size. Raises as parse_json does."""
    body = parse_json(raw)
    return body if _LONG_NUMBER.search(raw) is None else decode_lenient(raw)
