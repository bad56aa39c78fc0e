"""What an event relates to, and which of its children may be bundled with it.

What others send as `m.relates_to` may be anything: what doesn't fit the schema is no relation.
Spec: client-server-api/#forming-relationships-between-events
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID

ANNOTATION: Final = "m.annotation"
REFERENCE: Final = "m.reference"
REPLACEMENT: Final = "m.replace"
THREAD: Final = "m.thread"

MAX_THREAD_HOPS: Final = 3  # how many relations are followed from an event to the root of its thread

_MAX_ID_BYTES: Final = 255
_MAX_KEY_BYTES: Final = 1_024  # an annotation with a longer key relates all the same, but is never a duplicate


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation that an event's `rel_type` names."""

    rel_type: str
    event_id: EventID  # the parent
    key: str | None = None  # of an annotation
    is_falling_back: bool = False  # in a thread: its m.in_reply_to is there for clients without threads


def relation_of(content: Mapping[str, Any]) -> Relation | None:
    """What an event with this content relates to, if to anything. A mere reply has no relation: see replied_event."""
    relates_to = content.get("m.relates_to")
    if not isinstance(relates_to, dict):
        return None
    rel_type, event_id = relates_to.get("rel_type"), _event_id(relates_to.get("event_id"))
    if event_id is None or not isinstance(rel_type, str) or not rel_type or not _fits(rel_type, _MAX_ID_BYTES):
        return None
    if rel_type == ANNOTATION:
        key = relates_to.get("key")
        return Relation(rel_type, event_id, key if isinstance(key, str) and _fits(key, _MAX_KEY_BYTES) else None)
    return Relation(rel_type, event_id, is_falling_back=relates_to.get("is_falling_back") is True)


def replied_event(content: Mapping[str, Any]) -> EventID | None:
    """The event that a rich reply answers, if it is one."""
    relates_to = content.get("m.relates_to")
    reply = relates_to.get("m.in_reply_to") if isinstance(relates_to, dict) else None
    return _event_id(reply.get("event_id")) if isinstance(reply, dict) else None


def thread_id_of(event: Event) -> EventID | None:
    """The root of the thread that the event itself says it is in.

    One that relates to an event of a thread in another way is in it too: follow up to MAX_THREAD_HOPS relations.
    """
    relation = relation_of(event.content)
    return relation.event_id if relation is not None and relation.rel_type == THREAD else None


def may_be_thread_root(content: Mapping[str, Any]) -> bool:
    """False for the content of an event that is itself the child of another. A mere reply may begin a thread."""
    return relation_of(content) is None


def may_be_annotated(content: Mapping[str, Any]) -> bool:
    """False for the content of an annotation or a replacement."""
    relation = relation_of(content)
    return relation is None or relation.rel_type not in (ANNOTATION, REPLACEMENT)


def is_valid_replacement(original: Event, replacement: Event) -> bool:
    """May `replacement`, which is not redacted, be bundled as an edit of `original`?

    Spec: client-server-api/#validity-of-replacement-events
    """
    relation, parent = relation_of(replacement.content), relation_of(original.content)
    return (
        relation is not None
        and relation.rel_type == REPLACEMENT
        and relation.event_id == original.event_id
        and replacement.room_id == original.room_id
        and replacement.sender == original.sender
        and replacement.type == original.type
        and not replacement.is_state
        and not original.is_state
        and (parent is None or parent.rel_type != REPLACEMENT)
        # Of an encrypted event m.new_content is within the ciphertext.
        and (replacement.type == "m.room.encrypted" or isinstance(replacement.content.get("m.new_content"), dict))
    )


def newest_replacement(original: Event, candidates: Iterable[Event]) -> Event | None:
    """The edit of `original` that is bundled with it, among those that are valid."""
    valid = (candidate for candidate in candidates if is_valid_replacement(original, candidate))
    return max(valid, key=lambda event: (event.origin_server_ts, event.event_id), default=None)


def _event_id(value: object) -> EventID | None:
    if isinstance(value, str) and value.startswith("$") and _fits(value, _MAX_ID_BYTES):
        return EventID(value)
    return None


def _fits(value: str, limit_bytes: int) -> bool:
    """Can the text be kept in a column and its index? Not with NUL or a lone surrogate."""
    if len(value) > limit_bytes or "\x00" in value:
        return False
    try:
        return len(value.encode()) <= limit_bytes
    except UnicodeEncodeError:
        return False
