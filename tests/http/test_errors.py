"""Every exception that a request can cause has a place in the table."""

import inspect
from typing import Any

import pytest

from homeserver.core import errors as core
from homeserver.http import errors
from homeserver.http.parameters import NotJson
from homeserver.http.router import WrongMethod
from homeserver.services import errors as services

BASES = {core.ProtocolError, services.ServiceError}
KINDS = [
    kind
    for module in (core, services)
    for kind in vars(module).values()
    if inspect.isclass(kind) and not BASES.isdisjoint(kind.__mro__) and kind not in BASES
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_or_what_it_is_a_kind_of_is_in_the_table(kind: type[Exception]) -> None:
    known = [each for each in kind.__mro__ if each in errors._SHAPES and each not in BASES]

    assert known or kind is services.UserInteractionRequired, "say in http/errors.py how it is answered"


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (NotJson("no"), 400, {"errcode": "M_NOT_JSON", "error": "no"}),
        (core.BadIdentifier("no"), 400, {"errcode": "M_INVALID_PARAM", "error": "no"}),
        (core.BadEvent("no"), 400, {"errcode": "M_BAD_JSON", "error": "no"}),
        (core.EventTooLarge("no"), 413, {"errcode": "M_TOO_LARGE", "error": "no"}),
        (core.AuthRejected("no"), 403, {"errcode": "M_FORBIDDEN", "error": "no"}),
        (
            services.UnableDueToPartialState("no"),
            404,
            {"errcode": "ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE", "error": "no"},
        ),
        (services.NotFound(), 404, {"errcode": "M_NOT_FOUND", "error": "Not found"}),
        (
            services.UnknownToken(soft_logout=True),
            401,
            {"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown access token", "soft_logout": True},
        ),
        (services.UnknownToken("no"), 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "no"}),
        (services.UserLocked("no"), 401, {"errcode": "M_USER_LOCKED", "error": "no", "soft_logout": True}),
        (
            services.IncompatibleRoomVersion("12", "no"),
            400,
            {"errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "no", "room_version": "12"},
        ),
        (
            services.WrongRoomKeysVersion("3", "no"),
            403,
            {"errcode": "M_WRONG_ROOM_KEYS_VERSION", "error": "no", "current_version": "3"},
        ),
        (
            services.AppserviceRefused(401, "body", "no"),
            502,
            {"errcode": "M_BAD_STATUS", "error": "no", "status": 401, "body": "body"},
        ),
    ],
)
def test_an_error_is_answered_with_its_status_and_errcode(error: Any, status: int, body: dict[str, Any]) -> None:
    reply = errors.reply_to(error)

    assert (reply.status, reply.body) == (status, body)


def test_a_kind_of_a_kind_is_answered_like_it() -> None:
    class Special(core.AuthRejected):
        pass

    assert errors.reply_to(Special("no")).status == 403


def test_who_must_wait_is_told_in_seconds_as_well() -> None:
    reply = errors.reply_to(services.LimitExceeded(1500))

    assert reply.status == 429
    assert isinstance(reply.body, dict)
    assert reply.body["retry_after_ms"] == 1500
    assert ("Retry-After", "2") in reply.headers


def test_a_wrong_method_lists_the_right_ones() -> None:
    assert ("Allow", "GET, PUT") in errors.reply_to(WrongMethod(["GET", "PUT"])).headers


def test_the_first_demand_for_stages_names_no_errcode() -> None:
    reply = errors.reply_to(services.UserInteractionRequired("s", [["m.login.dummy"]], {"a": {}}, ["m.login.terms"]))

    assert reply.status == 401
    assert reply.body == {
        "session": "s",
        "flows": [{"stages": ["m.login.dummy"]}],
        "params": {"a": {}},
        "completed": ["m.login.terms"],
    }


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        ((400, "M_FORBIDDEN", "spam"), 400, {"errcode": "M_FORBIDDEN", "error": "spam"}),
        ((403, "M_FORBIDDEN", "not you"), 403, {"errcode": "M_FORBIDDEN", "error": "not you"}),
        ((404, "M_NOT_FOUND", "no"), 404, {"errcode": "M_NOT_FOUND", "error": "no"}),
        (
            (429, "M_LIMIT_EXCEEDED", "slowly", 2_000),
            429,
            {"errcode": "M_LIMIT_EXCEEDED", "error": "slowly", "retry_after_ms": 2_000},
        ),
        (
            (429, "M_LIMIT_EXCEEDED", "slowly", 10**12),
            429,
            {"errcode": "M_LIMIT_EXCEEDED", "error": "slowly", "retry_after_ms": 3_600_000},
        ),
        ((401, "M_UNKNOWN_TOKEN", "log out!"), 403, {"errcode": "M_FORBIDDEN", "error": "log out!"}),
        ((404, "M_UNRECOGNIZED", "no"), 403, {"errcode": "M_FORBIDDEN", "error": "no"}),
        ((500, None, "x" * 5_000), 403, {"errcode": "M_FORBIDDEN", "error": "x" * 1_000}),
    ],
)
def test_what_a_policy_server_says_is_passed_on_unless_it_would_be_misunderstood(
    said: tuple[Any, ...], status: int, body: dict[str, Any]
) -> None:
    reply = errors.reply_to(services.RefusedByPolicyServer(*said))

    assert (reply.status, reply.body) == (status, body)


@pytest.mark.parametrize(
    ("errcode", "told"),
    [
        ("ORG.EXAMPLE.SPAM", "ORG.EXAMPLE.SPAM"),
        ("M_UNKNOWN", "M_UNKNOWN"),
        # By these a client would log out, or ask again at once.
        ("M_UNKNOWN_TOKEN", "M_FORBIDDEN"),
        ("M_LIMIT_EXCEEDED", "M_FORBIDDEN"),
        ("", "M_FORBIDDEN"),
        ("no errcode", "M_FORBIDDEN"),
        ("M_" + "X" * 100, "M_FORBIDDEN"),
    ],
)
def test_a_spam_check_gives_a_reason_but_none_that_is_the_servers_own(errcode: str, told: str) -> None:
    reply = errors.reply_to(services.RefusedAsSpam("x" * 5_000, errcode))

    assert reply.status == 403
    assert reply.body == {"errcode": told, "error": "x" * 1_000}
