"""Whether a knock on the door of a room elsewhere was refused, as some server says that let nobody knock.

Of such a room nothing is known here, not who may refuse a knock. So that server is asked through which the knock came:
it knows the room, and gives out templates of leaves as long as there is something to leave.
"""

from collections import OrderedDict
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.storage.remote_memberships import RemoteMembership

PATIENCE_S: Final = 5.0
ATTEMPTS: Final = 2  # the refusal may come here sooner than there
BETWEEN_S: Final = 3.0
AGAIN_MS: Final = 60_000  # how often anybody can have a server asked about one knock
MOST_REMEMBERED: Final = 1_000


class EndedKnocks:
    """Asks whether knocks have ended."""

    def __init__(self, client: FederationClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._asked_ms: OrderedDict[tuple[RoomID, UserID], int] = OrderedDict()

    async def has_ended(self, user_id: UserID, knock: RemoteMembership) -> bool:
        """Whether the server through which the user knocked knows of no knock any more."""
        room_id = knock.encoded.event.room_id
        if not self._may_ask(room_id, user_id):
            return False
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(BETWEEN_S)
            try:
                await self._client.make_membership(knock.told_by, "leave", room_id, user_id, None, timeout_s=PATIENCE_S)
            except RemoteRefused as refused:
                return refused.status == 403
            except RemoteError:
                return False
        return False

    def _may_ask(self, room_id: RoomID, user_id: UserID) -> bool:
        key, now_ms = (room_id, user_id), self._clock.now_ms()
        if now_ms - self._asked_ms.get(key, -AGAIN_MS) < AGAIN_MS:
            return False
        self._asked_ms.pop(key, None)
        self._asked_ms[key] = now_ms
        if len(self._asked_ms) > MOST_REMEMBERED:
            self._asked_ms.popitem(last=False)
        return True
