"""Doing what moderation policy lists want done, and taking it back: each deed is written down before it is done.

It is in the book of what administrators do (admin_audit.py), by POLICY_LISTS, and among the deeds of its list, by
which it can be undone. What is to be done is found in policy_planning.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import orjson

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.admin.policy_planning import Step
from homeserver.services.admin.room_acls import RoomAcls
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.room_moderation import Removal, RoomModeration
from homeserver.services.errors import BadState, ServiceError
from homeserver.services.federation.destinations import Destinations
from homeserver.storage.admin_audit import Act, End
from homeserver.storage.database import Database
from homeserver.storage.policy_lists import DeedKind, delete_deeds, move_deeds, store_deeds

POLICY_LISTS: Final = "policy_lists"  # who did it; no user ID looks like this
MOST_TOLD: Final = 50  # servers of one act
REFUSED: Final = End(403, "M_FORBIDDEN")
DONE: Final = End(200, None)
_NAMES: Final = {
    (DeedKind.BAN, False): "ban",
    (DeedKind.BAN, True): "unban",
    (DeedKind.ACL, False): "shut servers out of a room",
    (DeedKind.ACL, True): "let servers into a room again",
    (DeedKind.BLOCK, False): "block a room",
    (DeedKind.BLOCK, True): "open a room",
    (DeedKind.REFUSE, False): "block servers",
    (DeedKind.REFUSE, True): "speak with servers again",
}
TOGETHER: Final = frozenset({DeedKind.ACL, DeedKind.REFUSE})  # many in one act


@dataclass(slots=True)
class Carried:
    """What came of some steps."""

    done: int = 0
    failed: list[tuple[Step, str]] = field(default_factory=list)  # and why


class PolicyDeeds:
    """Does it."""

    def __init__(
        self,
        database: Database,
        moderation: RoomModeration,
        acls: RoomAcls,
        blocks: RoomBlocks,
        destinations: Destinations,
        audit: AdminAudit,
    ) -> None:
        self._database = database
        self._moderation = moderation
        self._acls = acls
        self._blocks = blocks
        self._destinations = destinations
        self._audit = audit

    async def carry_out(self, steps: Sequence[Step], *, now_ms: int) -> Carried:
        """Do what is possible of it."""
        carried = Carried()
        moved = [step.deed for step in steps if step.rule is None and not step.undoes]
        if moved:
            await self._database.write(move_deeds, moved)
        for _, group in groupby((step for step in steps if step.rule is not None or step.undoes), _batch_of):
            batch = []
            for step in group:
                if step.obstacle is None:
                    batch.append(step)
                else:
                    carried.failed.append((step, step.obstacle))
            if batch:
                await self._attempt(batch, carried, now_ms)
        return carried

    async def _attempt(self, batch: Sequence[Step], carried: Carried, now_ms: int) -> None:
        first, deeds = batch[0], [step.deed for step in batch]
        begun = await self._audit.begin(_act_of(batch))
        if not first.undoes:
            await self._database.write(store_deeds, deeds, now_ms=now_ms)
        try:
            await self._do(batch)
        except (ProtocolError, ServiceError) as refused:
            if not first.undoes:
                await self._database.write(delete_deeds, deeds)
            carried.failed += [(step, refused.reason) for step in batch]
            await self._audit.end(begun, REFUSED)
            return
        if first.undoes:
            await self._database.write(delete_deeds, deeds)
        carried.done += len(batch)
        await self._audit.end(begun, DONE)

    async def _do(self, batch: Sequence[Step]) -> None:
        first = batch[0]
        entities = [step.deed.entity for step in batch]
        match first.deed.kind:
            case DeedKind.BAN if first.deed.room_id is not None:
                await self._ban(first, first.deed.room_id)
            case DeedKind.ACL if first.deed.room_id is not None:
                act = self._acls.forgive if first.undoes else self._acls.deny
                await act(first.deed.room_id, entities)
            case DeedKind.BLOCK:
                room_id = RoomID(first.deed.entity)
                await (self._blocks.unblock(room_id) if first.undoes else self._blocks.block(room_id, None))
            case DeedKind.REFUSE:
                change = self._destinations.unblock_all if first.undoes else self._destinations.block_all
                await change(entities)

    async def _ban(self, step: Step, room_id: RoomID) -> None:
        reason = step.rule.reason if step.rule is not None and step.rule.reason else None
        removal = Removal.UNBAN if step.undoes else Removal.BAN
        try:
            await self._moderation.remove(removal, room_id, UserID(step.deed.entity), reason)
        except BadState:
            if not step.undoes:
                raise
            # Somebody else was faster.


def _batch_of(step: Step) -> tuple[object, ...]:
    """Steps that are the same in this are done together."""
    together = (step.deed.kind, step.undoes, step.deed.room_id, step.deed.list_id)
    return together if step.deed.kind in TOGETHER else (*together, step.deed.entity)


def _act_of(batch: Sequence[Step]) -> Act:
    first = batch[0]
    details: dict[str, object] = {"list": first.deed.list_id}
    target: str | None
    if first.deed.kind in TOGETHER:
        details["servers"] = [step.deed.entity for step in batch[:MOST_TOLD]]
        details["number"] = len(batch)
        target = first.deed.room_id
    else:
        target = first.deed.entity
        if first.deed.room_id is not None:
            details["room_id"] = first.deed.room_id
    if first.rule is not None:
        details |= {"rule": first.rule.event_id, "reason": first.rule.reason}
    return Act(POLICY_LISTS, _NAMES[first.deed.kind, first.undoes], target, orjson.dumps(details).decode())
