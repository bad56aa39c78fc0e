"""What each exception is on the wire: status, errcode and further fields. The only table of that kind.

The reasons are written where the exceptions are raised.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core import errors as core
from homeserver.http.endpoint import Reply
from homeserver.http.parameters import NotJson
from homeserver.http.router import WrongMethod
from homeserver.services import errors as services


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of exception is answered."""

    status: int
    errcode: str
    fields: Callable[[Any], Mapping[str, object]] | None = None  # Any: the exception whose kind this is
    headers: Callable[[Any], tuple[tuple[str, str], ...]] | None = None  # as above


def _seconds_to_wait(error: services.LimitExceeded) -> tuple[tuple[str, str], ...]:
    return (
        ("Retry-After", str(max(1, math.ceil(error.retry_after_ms / 1000)))),
        ("Access-Control-Expose-Headers", "Retry-After"),
    )


_SHAPES: Final[Mapping[type[Exception], _Shape]] = {
    # What others send
    NotJson: _Shape(400, "M_NOT_JSON"),
    WrongMethod: _Shape(405, "M_UNRECOGNIZED", headers=lambda e: (("Allow", ", ".join(e.allowed)),)),
    core.ProtocolError: _Shape(400, "M_BAD_JSON"),
    core.BadJson: _Shape(400, "M_BAD_JSON"),
    core.BadEvent: _Shape(400, "M_BAD_JSON"),
    core.BadIdentifier: _Shape(400, "M_INVALID_PARAM"),
    core.EventTooLarge: _Shape(413, "M_TOO_LARGE"),
    core.BadKey: _Shape(400, "M_INVALID_PARAM"),
    core.BadSignature: _Shape(400, "M_INVALID_SIGNATURE"),
    core.AuthRejected: _Shape(403, "M_FORBIDDEN"),
    core.BadToken: _Shape(400, "M_INVALID_PARAM"),
    core.UnsupportedRoomVersion: _Shape(400, "M_UNSUPPORTED_ROOM_VERSION"),
    core.BadPushRule: _Shape(400, "M_INVALID_PARAM"),
    core.UnknownPushRule: _Shape(404, "M_NOT_FOUND"),
    core.MissingMasterKey: _Shape(400, "M_MISSING_PARAM"),
    core.KeyIDInUse: _Shape(403, "M_FORBIDDEN"),
    # Requests in general
    services.ServiceError: _Shape(400, "M_UNKNOWN"),
    services.NotFound: _Shape(404, "M_NOT_FOUND"),
    services.Forbidden: _Shape(403, "M_FORBIDDEN"),
    services.LimitExceeded: _Shape(
        429, "M_LIMIT_EXCEEDED", lambda e: {"retry_after_ms": e.retry_after_ms}, headers=_seconds_to_wait
    ),
    services.UserLimitExceeded: _Shape(
        403, "M_USER_LIMIT_EXCEEDED", lambda e: {"info_uri": e.info_uri, "can_upgrade": e.can_upgrade}
    ),
    services.ResourceLimitExceeded: _Shape(
        403, "M_RESOURCE_LIMIT_EXCEEDED", lambda e: {"admin_contact": e.admin_contact}
    ),
    services.InvalidParameter: _Shape(400, "M_INVALID_PARAM"),
    services.MissingParameter: _Shape(400, "M_MISSING_PARAM"),
    services.MalformedRequest: _Shape(400, "M_BAD_JSON"),
    services.Unrecognized: _Shape(404, "M_UNRECOGNIZED"),
    services.KeptByServer: _Shape(405, "M_BAD_JSON"),
    services.TooLarge: _Shape(413, "M_TOO_LARGE"),
    services.Unavailable: _Shape(503, "M_UNKNOWN"),
    # The proposal is not accepted yet; servers that do not know the code go by the status, and ask another one.
    services.UnableDueToPartialState: _Shape(404, "ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE"),
    # Not a 502: proxies put pages of their own in its place, and this server is well.
    services.RemoteFailed: _Shape(424, "M_UNKNOWN"),
    services.RefusedElsewhere: _Shape(400, "M_UNKNOWN", lambda e: {"errcode": e.errcode}),
    services.NotRecommended: _Shape(403, "M_FORBIDDEN"),
    services.PolicyServerFailed: _Shape(424, "M_UNKNOWN"),
    # Authentication and accounts
    services.MissingToken: _Shape(401, "M_MISSING_TOKEN"),
    services.UnknownToken: _Shape(401, "M_UNKNOWN_TOKEN", lambda e: {"soft_logout": True} if e.soft_logout else {}),
    services.Unauthorized: _Shape(401, "M_UNAUTHORIZED"),
    services.UserDeactivated: _Shape(403, "M_USER_DEACTIVATED"),
    services.UserLocked: _Shape(401, "M_USER_LOCKED", lambda _: {"soft_logout": True}),
    services.UserSuspended: _Shape(403, "M_USER_SUSPENDED"),
    services.GuestAccessForbidden: _Shape(403, "M_GUEST_ACCESS_FORBIDDEN"),
    services.UserInUse: _Shape(400, "M_USER_IN_USE"),
    services.InvalidUsername: _Shape(400, "M_INVALID_USERNAME"),
    services.WeakPassword: _Shape(400, "M_WEAK_PASSWORD"),
    services.UnknownDevice: _Shape(400, "M_UNKNOWN_DEVICE"),
    services.ProfileTooLarge: _Shape(400, "M_PROFILE_TOO_LARGE"),
    services.ProfileKeyTooLarge: _Shape(400, "M_KEY_TOO_LARGE"),
    services.Exclusive: _Shape(400, "M_EXCLUSIVE"),
    services.CannotOverwriteMedia: _Shape(409, "M_CANNOT_OVERWRITE_MEDIA"),
    services.NotYetUploaded: _Shape(504, "M_NOT_YET_UPLOADED"),
    services.ServerNotTrusted: _Shape(400, "M_SERVER_NOT_TRUSTED"),
    services.ThreepidDenied: _Shape(403, "M_THREEPID_DENIED"),
    services.ThreepidInUse: _Shape(400, "M_THREEPID_IN_USE"),
    services.ThreepidNotFound: _Shape(400, "M_THREEPID_NOT_FOUND"),
    services.ThreepidAuthFailed: _Shape(400, "M_THREEPID_AUTH_FAILED"),
    services.ThreepidMediumNotSupported: _Shape(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
    # Rooms
    services.RoomInUse: _Shape(400, "M_ROOM_IN_USE"),
    services.AliasInUse: _Shape(409, "M_UNKNOWN"),
    services.StillJoined: _Shape(400, "M_UNKNOWN"),
    services.BadAlias: _Shape(400, "M_BAD_ALIAS"),
    services.BadState: _Shape(403, "M_BAD_STATE"),
    services.InvalidRoomState: _Shape(400, "M_INVALID_ROOM_STATE"),
    services.IncompatibleRoomVersion: _Shape(
        400, "M_INCOMPATIBLE_ROOM_VERSION", lambda e: {"room_version": e.room_version}
    ),
    services.UnsupportedVersion: _Shape(400, "M_UNSUPPORTED_ROOM_VERSION"),
    services.CannotLeaveServerNoticeRoom: _Shape(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"),
    services.UnableToAuthoriseJoin: _Shape(400, "M_UNABLE_TO_AUTHORISE_JOIN"),
    services.UnableToGrantJoin: _Shape(400, "M_UNABLE_TO_GRANT_JOIN"),
    services.DuplicateAnnotation: _Shape(400, "M_DUPLICATE_ANNOTATION"),
    services.NestedThread: _Shape(400, "M_UNKNOWN"),
    services.NotThread: _Shape(400, "M_INVALID_PARAM"),
    services.NotInThread: _Shape(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"),
    services.ConflictingUnsubscription: _Shape(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"),
    services.InviteBlocked: _Shape(403, "M_INVITE_BLOCKED"),
    services.AlreadyFinalised: _Shape(409, "M_UNKNOWN"),
    # Clients look for the limit by the names that it had in the proposal.
    services.MaxDelayExceeded: _Shape(
        400,
        "M_MAX_DELAY_EXCEEDED",
        lambda e: {
            "max_delay": e.max_delay_ms,
            "org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED",
            "org.matrix.msc4140.max_delay": e.max_delay_ms,
        },
    ),
    # Application services
    services.AppserviceLoginUnsupported: _Shape(400, "M_APPSERVICE_LOGIN_UNSUPPORTED"),
    services.AppserviceHasNoUrl: _Shape(400, "M_URL_NOT_SET"),
    services.AppserviceRefused: _Shape(502, "M_BAD_STATUS", lambda e: {"status": e.status, "body": e.body}),
    services.AppserviceUnreachable: _Shape(502, "M_CONNECTION_FAILED"),
    services.AppserviceTimedOut: _Shape(504, "M_CONNECTION_TIMEOUT"),
    # Encryption and synchronisation
    services.WrongRoomKeysVersion: _Shape(
        403,
        "M_WRONG_ROOM_KEYS_VERSION",
        lambda e: {} if e.current_version is None else {"current_version": e.current_version},
    ),
    services.InvalidSignature: _Shape(400, "M_INVALID_SIGNATURE"),
    services.UnknownPosition: _Shape(400, "M_UNKNOWN_POS"),
}

# What a policy server says is passed on as it is. Not all of it: what it could say of the asker's token, or of the
# endpoint that was called, is about this server's request and not about the client's.
_OF_POLICY_SERVERS: Final = {
    (400, "M_FORBIDDEN"),
    (400, "M_BAD_JSON"),
    (403, "M_FORBIDDEN"),
    (404, "M_NOT_FOUND"),
}
_ERRCODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")
_OF_THE_DOOR: Final = frozenset(
    {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_LIMIT_EXCEEDED", "M_UNRECOGNIZED", "M_USER_LOCKED", "M_USER_DEACTIVATED"}
)
_LONGEST_REASON: Final = 1_000
_LONGEST_WAIT_MS: Final = 3_600_000


def error_body(error: core.ProtocolError | services.ServiceError) -> Mapping[str, object]:
    """The JSON of the standard error response."""
    shape = _shape_of(error)
    body: dict[str, object] = {"errcode": shape.errcode, "error": error.reason}
    return body if shape.fields is None else body | dict(shape.fields(error))


def reply_to(error: core.ProtocolError | services.ServiceError) -> Reply:
    """The standard error response for what a request caused. Spec: client-server-api/#standard-error-response"""
    if isinstance(error, services.UserInteractionRequired):
        return _reply_with_stages(error)
    if isinstance(error, services.RefusedByPolicyServer):
        return _reply_of_policy_server(error)
    if isinstance(error, services.RefusedAsSpam):
        return _reply_of_spam_check(error)
    shape = _shape_of(error)
    return Reply(error_body(error), shape.status, () if shape.headers is None else shape.headers(error))


def reply_to_fault() -> Reply:
    """What is answered when the server itself failed."""
    return Reply({"errcode": "M_UNKNOWN", "error": "Internal server error"}, 500)


def _reply_of_policy_server(error: services.RefusedByPolicyServer) -> Reply:
    """Spec: server-server-api/#validating-policy-server-signatures: the error is told "verbatim"."""
    reason = error.reason[:_LONGEST_REASON]
    if error.status == 429 and error.errcode == "M_LIMIT_EXCEEDED":
        wait_ms = min(max(0, error.retry_after_ms or 0), _LONGEST_WAIT_MS)
        return reply_to(services.LimitExceeded(wait_ms, reason))
    if (error.status, error.errcode) in _OF_POLICY_SERVERS:
        return Reply({"errcode": error.errcode, "error": reason}, error.status)
    return reply_to(services.NotRecommended(reason))


def _reply_of_spam_check(error: services.RefusedAsSpam) -> Reply:
    """A check may give a reason of its own, but none that would make a client log out, or ask again at once."""
    is_told = _ERRCODE.fullmatch(error.errcode) is not None and error.errcode not in _OF_THE_DOOR
    errcode = error.errcode if is_told else "M_FORBIDDEN"
    return Reply({"errcode": errcode, "error": error.reason[:_LONGEST_REASON]}, 403)


def _shape_of(error: Exception) -> _Shape:
    for kind in type(error).__mro__:
        shape = _SHAPES.get(kind)
        if shape is not None:
            return shape
    raise LookupError(f"{type(error)} has no place in the table")


def _reply_with_stages(error: services.UserInteractionRequired) -> Reply:
    body: dict[str, object] = {
        "session": error.session,
        "flows": [{"stages": list(stages)} for stages in error.flows],
        "params": error.params,
        "completed": list(error.completed),
    }
    if error.failure is not None:
        body |= {"errcode": _shape_of(error.failure).errcode, "error": error.failure.reason}
    return Reply(body, 401)
