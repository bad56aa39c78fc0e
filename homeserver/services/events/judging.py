"""Judging an event that another server built: what the rules and the room's policy server say of it.

Spec: server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from typing import Final

from homeserver.core.auth_rules import authorise, check_auth_events
from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import ServerName, server_name_of_user
from homeserver.core.policy_servers import POLICY, is_recommended, read_policy
from homeserver.services.events.given_states import GivenStates
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.events.receipt import Received
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.room_servers import is_server_in_room

HEADS_LIMIT: Final = 20  # as many as an event may be built on: so that the next one can join them all


def judge(
    write: RoomWrite,
    received: Received,
    root_before: bytes,
    root_given_by: ServerName | None = None,
    *,
    is_relayed: bool = False,
    begins_anew: bool = False,
    is_spam: bool = False,
) -> StoredEvent:
    """Ask the rules three times, and for the signature of a policy server, and put the event where they say.

    `is_spam`: a spam check of this server does not want it, though they do. Raises NotMerged, having changed nothing.
    """
    event = received.encoded.event
    create = _create_of(write, event)
    refusal = _refusal_by_auth_events(write, event, create) or _refusal_by_state(write, event, root_before, create)
    verdict = Verdict.ACCEPTED
    if refusal is not None:
        verdict = Verdict.REJECTED
    elif write.heads and not begins_anew:
        if root_before != write.root:
            refusal = _refusal_by_state(write, event, write.root, create)
        if refusal is None and len(write.heads) >= HEADS_LIMIT and not write.is_built_on_head(event):
            refusal = "the room has as many heads as it may have"
        if refusal is None:
            refusal = _refusal_by_policy(write, event)
        if refusal is None and is_spam:
            refusal = "a spam check does not want it"
        if refusal is not None:
            verdict = Verdict.SOFT_FAILED
    return write.place(
        received.encoded,
        received.form,
        verdict,
        root_before,
        refusal,
        root_given_by,
        is_relayed=is_relayed,
        begins_anew=begins_anew,
    )


def judge_history(
    write: RoomWrite, received: Received, lacks_ancestors: bool, given: GivenStates, place: int
) -> StoredEvent | None:
    """Ask the rules twice, and put the event into the past; None if it cannot be judged.

    Raises NotMerged, having changed nothing.
    """
    event = received.encoded.event
    if not has_auth_events(write, event):
        return None
    given_root: bytes | None = None
    given_by: ServerName | None = None
    if lacks_ancestors:
        found = given.find(event.event_id)
        if found is None:
            return None
        given_root, given_by = found
    root_before = write.states.merged(event.prev_event_ids, given_root=given_root)
    create = _create_of(write, event)
    refusal = _refusal_by_auth_events(write, event, create)
    if refusal is None:
        refusal = _refusal_by_state(write, event, root_before, create)
        others = given.servers - {server_name_of_user(event.sender)}
        if refusal is not None and others and not _holds_auth_events(write, event, root_before):
            return None
    verdict = Verdict.ACCEPTED if refusal is None else Verdict.REJECTED
    return write.place_in_history(received.encoded, received.form, verdict, root_before, refusal, given_by, place=place)


def judge_outlier(write: RoomWrite, received: Received) -> Verdict | None:
    """Ask the rules about an event by its auth events alone, and keep it without the graph around it.

    None if these are not here.
    """
    event = received.encoded.event
    create = _create_of(write, event)
    needs_create = event.version.room_id_is_create_hash and event.type != "m.room.create"
    if not has_auth_events(write, event) or (needs_create and create is None):
        return None
    refusal = _refusal_by_auth_events(write, event, create)
    verdict = Verdict.ACCEPTED if refusal is None else Verdict.REJECTED
    write.place_outlier(received.encoded, received.form, verdict, refusal)
    return verdict


def has_auth_events(write: RoomWrite, event: Event) -> bool:
    """Whether all that an event names to authorise it is here."""
    return len(write.load(event.auth_event_ids)) == len(set(event.auth_event_ids))


def _holds_auth_events(write: RoomWrite, event: Event, root: bytes) -> bool:
    """Whether all that authorised an event is in a state."""
    listed = [stored.event for stored in write.load(event.auth_event_ids).values()]
    state = write.rules_state([(one.type, one.state_key or "") for one in listed], root)
    return {one.event_id for one in listed} <= {one.event_id for one in state.values()}


def _create_of(write: RoomWrite, event: Event) -> StoredEvent | None:
    """The m.room.create that a room of version 12 or later has without naming it."""
    if not event.version.room_id_is_create_hash or event.type == "m.room.create":
        return None
    create_id = create_event_id_of(event.room_id)
    return write.find(create_id)


def _refusal_by_auth_events(write: RoomWrite, event: Event, create: StoredEvent | None) -> str | None:
    listed = write.load(event.auth_event_ids)
    rejected = {event_id for event_id, stored in listed.items() if stored.verdict is Verdict.REJECTED}
    if create is not None and create.verdict is Verdict.REJECTED:
        rejected.add(create.event.event_id)
    events = [stored.for_rules for stored in listed.values()]
    create_event = None if create is None else create.event
    try:
        check_auth_events(event, events, create=create_event, rejected=rejected)
        state = {(one.type, one.state_key): one for one in events if one.state_key is not None}
        authorise(event, state, create_event)
    except AuthRejected as refused:
        return f"by its auth events: {refused.reason}"
    return None


def _refusal_by_state(write: RoomWrite, event: Event, root: bytes, create: StoredEvent | None) -> str | None:
    keys = auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    state = write.rules_state((*keys, CREATE), root)
    try:
        authorise(event, state, None if create is None else create.event)
    except AuthRejected as refused:
        return f"by the state: {refused.reason}"
    return None


def _refusal_by_policy(write: RoomWrite, event: Event) -> str | None:
    """Why an event is not recommended where the room has a policy server. Spec: #validating-policy-server-signatures"""
    policy_event = write.state([POLICY]).get(POLICY)
    policy = None if policy_event is None else read_policy(policy_event.content)
    if policy is None or is_recommended(event, policy):
        return None
    if not is_server_in_room(write.tx, write.room_id, policy.server):
        return None
    return f"{policy.server} has not signed it, which is the room's policy server"
