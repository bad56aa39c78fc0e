"""What can be wrong with what others send us, as exceptions that name the reason.

HTTP status codes and Matrix errcodes are not here: see http/errors.py.
"""

# ruff: noqa: N818 - named after what is wrong, not after what they are

from collections.abc import Iterable


class ProtocolError(Exception):
    """What somebody sent breaks the protocol. `reason` is a sentence for that somebody."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadIdentifier(ProtocolError):
    """A user, room, event, alias, server or key ID that its grammar refuses."""


class BadJson(ProtocolError):
    """Not JSON, or JSON that canonical JSON cannot carry."""


class BadEvent(ProtocolError):
    """An event whose format its room version refuses."""


class EventTooLarge(BadEvent):
    """An event, or one of its fields, over the size limits."""


class BadSignature(ProtocolError):
    """A signature that is missing or does not verify."""


class BadKey(ProtocolError):
    """A signing or verification key that its algorithm or its notation refuses."""


class AuthRejected(ProtocolError):
    """The authorisation rules refuse an event."""


class BadToken(ProtocolError):
    """A sync or pagination token that this server did not issue."""


class UnsupportedRoomVersion(ProtocolError):
    """A room version that this server does not know."""


class BadPushRule(ProtocolError):
    """A push rule, or a place among the push rules, that cannot be."""


class UnknownPushRule(ProtocolError):
    """A push rule that the user does not have."""


class MissingMasterKey(ProtocolError):
    """A self-signing or user-signing key of somebody who has no master key."""


class BadKeySignature(BadSignature):
    """A signature of a cross-signing key, or by one, that is missing or does not verify."""


class KeyIDInUse(ProtocolError):
    """A cross-signing key whose public part is also the ID of one of the user's devices."""


class MissingEvents(Exception):
    """A pure function needs events that it was not given: load `event_ids` and call again."""

    def __init__(self, event_ids: Iterable[str]) -> None:
        self.event_ids = frozenset(event_ids)
        super().__init__(f"{len(self.event_ids)} events are missing")


class MissingNodes(Exception):
    """The state map needs nodes that it was not given: load `digests` and call again."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        self.digests = frozenset(digests)
        super().__init__(f"{len(self.digests)} state nodes are missing")
