"""Structured logs: JSON or readable lines on one stream, with the ID of the request they belong to.

What is logged, and at which level, whoever logs decides. Secrets never get out: see `hide_secrets`.
"""

import json
import re
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, BinaryIO, Final, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# The request in whose name the current coroutine runs; a coroutine inherits it from whoever began it.
request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)

_SECRET_NAMES: Final = frozenset(
    {
        "access_token",
        "as_token",
        "authorization",
        "client_secret",
        "code_verifier",
        "cookie",
        "device_code",
        "hs_token",
        "login_token",
        "mac",
        "new_password",
        "password",
        "private_key",
        "refresh_token",
        "registration_token",
        "secret",
        "shared_secret",
        "signing_key",
        "token",
    }
)
_HIDDEN: Final = "[hidden]"
# What moves a terminal's cursor, or begins a line that looks like another entry. The lines of a trace stay lines.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SECRETS_IN_TEXT: Final = re.compile(
    r"""(?ix)
    ( \b (?: \w+_ )? (?: token | password | secret ) ["']? \s* [:=] \s* ["']? )  [^&\s'",}]+  # password=abc
  | ( [?&] (?: code | mac ) = ) [^&\s'"]+  # …?code=abc
  | ( \b bearer \s+ ) [\w.~+/=-]+  # Authorization: Bearer abc
  | ( :// [^:/@\s]* : ) [^@/\s]+ (?=@)  # postgresql://user:abc@host
    """
)


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of the module `name`. A call at a level that is off costs one function call."""
    # structlog types its lazy proxy as Any; what it hands on is the bound logger that `configure` chose.
    return cast("FilteringBoundLogger", structlog.get_logger(module=name.removeprefix("homeserver.")))


def configure(level: str, form: str, stream: BinaryIO) -> None:
    """Log from `level` ("debug", "info", "warning", "error") up, as `form` ("json", "console"), into `stream`."""
    is_json = form == "json"
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
        hide_secrets,
        *([_as_json] if is_json else [_escape_controls, _as_line(stream.isatty())]),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def take_over_twisted() -> None:
    """Let Twisted's own log go the same way as ours; once per process, after `configure`."""
    globalLogBeginner.beginLoggingTo([TwistedObserver()], redirectStandardIO=False, discardBuffer=True)


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of fields with the name of a secret, and secrets inside of texts."""
    return {name: _without_secrets(name, value) for name, value in event.items()}


# Any: whatever somebody logs.
def _without_secrets(name: str, value: Any) -> Any:
    if name.lower() in _SECRET_NAMES and value is not None:
        return _HIDDEN
    if isinstance(value, str):
        return _SECRETS_IN_TEXT.sub(lambda found: next(filter(None, found.groups())) + _HIDDEN, value)
    if isinstance(value, Mapping):
        return {key: _without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_without_secrets("", inner) for inner in value]
    return value


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    current = request_id.get()
    if current is not None:
        event["request_id"] = current
    return event


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Texts may be out of somebody's request. Of others than texts the renderer shows the `repr`."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _escaped(text: str) -> str:
    return _CONTROLS.sub(lambda control: repr(control[0])[1:-1], text)


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates or huge integers, out of somebody's request
        return json.dumps(event, default=repr).encode("ascii")


def _as_line(colors: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return renderer(logger, method, event).encode("utf-8", "backslashreplace")

    return render


@implementer(ILogObserver)
class TwistedObserver:
    """Writes what Twisted reports into our log."""

    def __init__(self) -> None:
        self._log = get_logger("twisted")

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        write = self._log.error
        if level is LogLevel.warn:
            write = self._log.warning
        elif level in (LogLevel.debug, LogLevel.info):
            # Twisted's information is every connection and port: of interest to its developers.
            if not self._log.is_enabled_for(LEVELS["debug"]):
                return
            write = self._log.debug
        fields = {"text": formatEvent(event), "source": event.get("log_namespace")}
        failure = event.get("log_failure")
        if failure is not None:
            fields["exception"] = "".join(traceback.format_exception(failure.value))
        write("twisted", **fields)
