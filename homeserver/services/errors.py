"""What a use case refuses, as exceptions that name the reason.

HTTP status codes and Matrix errcodes are not here: see http/errors.py.
"""
# ruff: noqa: N818 - each is named for what is the case, as in the architecture's page

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.core.identifiers import RoomID
from homeserver.core.state_map import UnknownState


class ServiceError(Exception):
    """A use case refuses. `reason` is a sentence for whoever asked."""

    default_reason = "The request was refused"

    def __init__(self, reason: str | None = None) -> None:
        self.reason = self.default_reason if reason is None else reason
        super().__init__(self.reason)


class NotFound(ServiceError):
    """What was asked for does not exist, or the asker may not know that it does."""

    default_reason = "Not found"


class Forbidden(ServiceError):
    """The asker may not do this."""

    default_reason = "You may not do this"


class RefusedAsSpam(Forbidden):
    """A spam check that the operator installed refuses this. `errcode` is the check's own; it may be anything."""

    def __init__(self, reason: str, errcode: str) -> None:
        super().__init__(reason)
        self.errcode = errcode


class LimitExceeded(ServiceError):
    """Too much in too short a time: come back in `retry_after_ms`."""

    default_reason = "Too many requests"

    def __init__(self, retry_after_ms: int, reason: str | None = None) -> None:
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


class UserLimitExceeded(ServiceError):
    """A limit of this account is reached; `info_uri` tells its user more."""

    default_reason = "A limit of this account is reached"

    def __init__(self, info_uri: str, *, can_upgrade: bool = False, reason: str | None = None) -> None:
        super().__init__(reason)
        self.info_uri = info_uri
        self.can_upgrade = can_upgrade


class ResourceLimitExceeded(ServiceError):
    """A limit of the whole server is reached; `admin_contact` is a URI of somebody who can help."""

    default_reason = "This server has reached one of its limits"

    def __init__(self, admin_contact: str, reason: str | None = None) -> None:
        super().__init__(reason)
        self.admin_contact = admin_contact


class InvalidParameter(ServiceError):
    """A parameter has a value that is not possible here."""

    default_reason = "A parameter has a wrong value"


class MissingParameter(ServiceError):
    """A parameter that is needed here was left out."""

    default_reason = "A parameter is missing"


class MalformedRequest(ServiceError):
    """The body is JSON, but not of the shape that this use case needs."""

    default_reason = "The request's body has a wrong shape"


class Unrecognized(ServiceError):
    """The server does not offer this."""

    default_reason = "Unrecognized request"


class KeptByServer(ServiceError):
    """The server keeps this itself: it cannot be set."""

    default_reason = "The server keeps this itself"


class TooLarge(ServiceError):
    """The request, or something in it, is too large."""

    default_reason = "The request is too large"


class Unavailable(ServiceError):
    """The server cannot do this now; later it may."""

    default_reason = "The server cannot do this now"


class RoomIsPartial(Unavailable, UnknownState):
    """It depends on a part of a room's state that this server does not know yet."""

    default_reason = "This server does not know all of the room yet; try again later"

    def __init__(self, room_id: RoomID, reason: str | None = None) -> None:
        super().__init__(reason)
        self.room_id = room_id


class UnableDueToPartialState(NotFound):
    """Another server asks for what depends on a part of a room's state that this server does not know yet."""

    default_reason = "This server does not know all of the room yet; ask another one, or later"


class RemoteFailed(ServiceError):
    """Another server was needed for this, and did not answer, or nothing usable."""

    default_reason = "The other server did not answer"


class RefusedElsewhere(ServiceError):
    """Another server had to agree and did not, for reasons of its own, which `errcode` names."""

    def __init__(self, errcode: str, reason: str) -> None:
        super().__init__(reason)
        self.errcode = errcode


class NotRecommended(ServiceError):
    """The room's policy server has not signed the event, so that it is not sent."""

    default_reason = "The room's policy server does not recommend this"


class PolicyServerFailed(NotRecommended):
    """The room's policy server gave no answer, or none that can be used."""

    default_reason = "The room's policy server did not answer"


class RefusedByPolicyServer(NotRecommended):
    """The room's policy server answered with an error: `status`, `errcode`, `retry_after_ms` are what it said."""

    def __init__(self, status: int, errcode: str | None, reason: str, retry_after_ms: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.errcode = errcode
        self.retry_after_ms = retry_after_ms


# Authentication and accounts


class MissingToken(ServiceError):
    """The request needs an access token and has none."""

    default_reason = "Missing access token"


class UnknownToken(ServiceError):
    """An access or refresh token that is not, or is no longer, valid.

    With `soft_logout` the session still exists: the client keeps its keys and logs in again.
    """

    default_reason = "Unknown access token"

    def __init__(self, reason: str | None = None, *, soft_logout: bool = False) -> None:
        super().__init__(reason)
        self.soft_logout = soft_logout


class Unauthorized(ServiceError):
    """The request's signature or credentials are missing or wrong."""

    default_reason = "The request is not correctly authorised"


class UserInteractionRequired(ServiceError):
    """The user must first pass stages of user-interactive authentication.

    `failure` is the error of the stage that was tried just now and not passed; None when none was.
    Spec: client-server-api/#user-interactive-api-in-the-rest-api
    """

    default_reason = "Further authentication is needed"

    def __init__(
        self,
        session: str,
        flows: Sequence[Sequence[str]],
        params: Mapping[str, Any],  # parameters of stages, of any shape
        completed: Sequence[str] = (),
        failure: ServiceError | None = None,
    ) -> None:
        super().__init__(None if failure is None else failure.reason)
        self.session = session
        self.flows = flows
        self.params = params
        self.completed = completed
        self.failure = failure


class UserDeactivated(ServiceError):
    """The account was deactivated."""

    default_reason = "This account has been deactivated"


class MaxDelayExceeded(ServiceError):
    """An event is to be sent later than `max_delay_ms` from now."""

    default_reason = "The delay is too long"

    def __init__(self, max_delay_ms: int, reason: str | None = None) -> None:
        super().__init__(reason)
        self.max_delay_ms = max_delay_ms


class AlreadyFinalised(ServiceError):
    """A delayed event was sent or cancelled already, and cannot be cancelled or sent any more."""

    default_reason = "The delayed event was sent or cancelled already"


class UserLocked(ServiceError):
    """The account is locked for now."""

    default_reason = "This account has been locked"


class UserSuspended(ServiceError):
    """The account is suspended, and this is not among what it may still do."""

    default_reason = "You cannot do this while your account is suspended"


class GuestAccessForbidden(ServiceError):
    """Not for guests."""

    default_reason = "Guests may not do this"


class UserInUse(ServiceError):
    """The user ID is taken."""

    default_reason = "This user ID is already taken"


class InvalidUsername(ServiceError):
    """The user ID is not possible."""

    default_reason = "This user ID is not valid"


class WeakPassword(ServiceError):
    """The password does not satisfy this server's policy."""

    default_reason = "The password is too weak"


class UnknownDevice(ServiceError):
    """The device that an application service speaks for does not belong to the user."""

    default_reason = "This device does not belong to the user"


class ProfileTooLarge(ServiceError):
    """The whole profile would be too large."""

    default_reason = "The profile would be too large"


class ProfileKeyTooLarge(ServiceError):
    """The name of a profile's field is too long."""

    default_reason = "The name of the profile's field is too long"


class Exclusive(ServiceError):
    """The name is reserved by an application service, or is not in the namespace of the one that asks."""

    default_reason = "This name is reserved"


class CannotOverwriteMedia(ServiceError):
    """Media was already uploaded under this ID."""

    default_reason = "Media was already uploaded here"


class NotYetUploaded(ServiceError):
    """The media ID exists, but its content has not been uploaded yet."""

    default_reason = "The media has not been uploaded yet"


class ServerNotTrusted(ServiceError):
    """The request names a third-party server that this server does not trust."""

    default_reason = "The named server is not trusted"


class ThreepidDenied(ServiceError):
    """This third-party identifier is not permitted."""

    default_reason = "This third-party identifier is not permitted"


class ThreepidInUse(ServiceError):
    """This third-party identifier already belongs to an account."""

    default_reason = "This third-party identifier is already in use"


class ThreepidNotFound(ServiceError):
    """No account has this third-party identifier."""

    default_reason = "This third-party identifier is not known"


class ThreepidAuthFailed(ServiceError):
    """Possession of the third-party identifier was not shown."""

    default_reason = "The third-party identifier was not verified"


class ThreepidMediumNotSupported(ServiceError):
    """This server does not handle third-party identifiers of this medium."""

    default_reason = "This medium is not supported"


# Rooms


class RoomInUse(ServiceError):
    """The alias that a new room is to get is taken."""

    default_reason = "This room alias is already taken"


class AliasInUse(ServiceError):
    """The alias that a room is to get belongs to another room, or to this one."""

    default_reason = "This room alias is already taken"


class StillJoined(ServiceError):
    """The user is in the room that is to be forgotten."""

    default_reason = "You must leave the room before you forget it"


class BadAlias(ServiceError):
    """An alias that does not point to the room it is to be published for."""

    default_reason = "The alias does not point to this room"


class InviteBlocked(ServiceError):
    """The invited user does not accept this invite."""

    default_reason = "The user does not accept your invite"


class BadState(ServiceError):
    """The change of state is not possible: unbanning a user who is not banned."""

    default_reason = "The room's state does not allow this change"


class InvalidRoomState(ServiceError):
    """The initial state given for a new room is not valid."""

    default_reason = "The initial state is not valid"


class IncompatibleRoomVersion(ServiceError):
    """The room's version is not among those that the asking server supports."""

    default_reason = "The room's version is not supported by you"

    def __init__(self, room_version: str, reason: str | None = None) -> None:
        super().__init__(reason)
        self.room_version = room_version


class UnsupportedVersion(ServiceError):
    """This server does not support the room version."""

    default_reason = "This room version is not supported"


class CannotLeaveServerNoticeRoom(ServiceError):
    """The room of server notices cannot be left."""

    default_reason = "You cannot leave this room"


class UnableToAuthoriseJoin(ServiceError):
    """This server lacks what it takes to tell whether a restricted join is allowed."""

    default_reason = "This server cannot tell whether you may join"


class UnableToGrantJoin(ServiceError):
    """No user of this server may invite to the restricted room; another server's may."""

    default_reason = "This server cannot authorise the join"


class DuplicateAnnotation(ServiceError):
    """The sender already annotated the event with this key."""

    default_reason = "You have already reacted with this"


class NestedThread(ServiceError):
    """A thread is to begin at an event that relates to another one itself."""

    default_reason = "A thread cannot begin at an event that relates to another"


class NotThread(ServiceError):
    """A receipt names a thread that is none, or to which the event does not belong."""

    default_reason = "The event does not belong to this thread"


class NotInThread(ServiceError):
    """What made a client subscribe to a thread is not in it."""

    default_reason = "This event is not in the thread"


class ConflictingUnsubscription(ServiceError):
    """A client would subscribe to a thread from which its user has unsubscribed since."""

    default_reason = "You have unsubscribed from this thread after that event"


# Application services


class AppserviceLoginUnsupported(ServiceError):
    """The application service's users cannot log in this way."""

    default_reason = "Application services cannot log in this way"


class AppserviceHasNoUrl(ServiceError):
    """The application service's registration names no URL."""

    default_reason = "The application service has no URL"


class AppserviceRefused(ServiceError):
    """The application service answered with an error: `status` and `body` are its own."""

    default_reason = "The application service answered with an error"

    def __init__(self, status: int, body: str, reason: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.body = body


class AppserviceUnreachable(ServiceError):
    """No connection to the application service could be made."""

    default_reason = "The application service cannot be reached"


class AppserviceTimedOut(ServiceError):
    """The application service did not answer in time."""

    default_reason = "The application service did not answer in time"


# Encryption and synchronisation


class WrongRoomKeysVersion(ServiceError):
    """A key backup version that is not the current one."""

    default_reason = "This is not the current version of the key backup"

    def __init__(self, current_version: str | None, reason: str | None = None) -> None:
        super().__init__(reason)
        self.current_version = current_version


class InvalidSignature(ServiceError):
    """A signature on an uploaded key is missing or does not verify."""

    default_reason = "A signature is missing or does not verify"


class UnknownPosition(ServiceError):
    """A sliding sync connection that this server no longer knows: begin anew."""

    default_reason = "This position is not known; begin a new connection"
