"""`homeserver admin federation …`: other servers, from the shell."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.configuration import add_configuration_option

DESTINATIONS: Final = f"{ADMIN_API}/federation/destinations"
RULES: Final = f"{ADMIN_API}/federation/rules"
PATTERN: Final = "a server's name; * stands for any characters, ? for one"


def add_federation(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the topic `federation` with its commands."""
    parser = topics.add_parser("federation", help="other servers")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = commands.add_parser(
        "status",
        help="who answers, and how far behind each server is",
        description="Prints for each server to which this one sends when it last took something, since when it does "
        "not answer and when it is asked again, and how much waits for it.",
    )
    status.add_argument("server", metavar="NAME", nargs="?", help="one server; without, all of them")
    status.add_argument("--failing", action="store_true", help="only servers that do not answer")
    status.add_argument("--json", action="store_true", help="print a JSON object for each server")
    add_configuration_option(status)
    status.set_defaults(command_at_door=_status)
    retry = commands.add_parser("retry", help="ask a server now that did not answer")
    retry.add_argument("server", metavar="NAME", help="the server's name")
    add_configuration_option(retry)
    retry.set_defaults(command_at_door=_retry)
    block = commands.add_parser(
        "block",
        help="speak no more with some servers",
        description="Blocks servers, at once. What is said meanwhile in rooms that they are in waits for them.",
    )
    _add_pattern(block)
    block.set_defaults(command_at_door=_set_rule, is_blocked=True)
    allow = commands.add_parser(
        "allow",
        help="speak with some servers, and with no others",
        description="Allows servers, at once. As soon as any are allowed, all others are blocked; those that `block` "
        "names are so in any case.",
    )
    _add_pattern(allow)
    allow.set_defaults(command_at_door=_set_rule, is_blocked=False)
    forget = commands.add_parser("forget", help="take back what `block` or `allow` said of a pattern")
    _add_pattern(forget)
    forget.set_defaults(command_at_door=_forget)
    rules = commands.add_parser("rules", help="print which servers are blocked, or allowed")
    add_configuration_option(rules)
    rules.set_defaults(command_at_door=_rules)


def _add_pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", help=PATTERN)
    add_configuration_option(parser)


def _status(options: argparse.Namespace, door: AdminDoor) -> None:
    statuses = _all(door) if options.server is None else iter([ask(door, "GET", _path(options.server))])
    for status in statuses:
        if options.failing and status["failing_since_ms"] is None:
            continue
        print(json.dumps(status) if options.json else _told(status), flush=True)


def _all(door: AdminDoor) -> Iterator[Any]:  # Any: the server's JSON, here and below
    after = ""
    while page := ask(door, "GET", f"{DESTINATIONS}?{urlencode({'after': after})}")["destinations"]:
        yield from page
        after = page[-1]["destination"]


def _told(status: Any) -> str:
    told = []
    if status["is_blocked"]:
        told.append("blocked")
    if status["failing_since_ms"] is not None:
        times = f"{status['failures']} time{'s' if status['failures'] > 1 else ''}"
        told.append(f"does not answer since {_time(status['failing_since_ms'])} ({times})")
        told.append(f"asked again at {_time(status['next_attempt_ms'])}")
    elif status["last_success_ms"] is not None:
        told.append("answers")
    if status["last_success_ms"] is not None:
        told.append(f"last took something at {_time(status['last_success_ms'])}")
    positions = "more than 1000" if status["positions"] is None else status["positions"]
    if positions:
        told.append(f"lacks {positions} changes, in {status['rooms']} rooms")
    if status["messages"]:
        told.append(f"{status['messages']} messages for devices wait")
    if status["tls_group"] is not None:
        told.append(f"keys exchanged by {status['tls_group']}")
    return f"{status['destination']}: {'; '.join(told) or 'nothing was sent yet'}"


def _retry(options: argparse.Namespace, door: AdminDoor) -> None:
    ask(door, "POST", f"{_path(options.server)}/retry")
    print(f"{options.server} is asked now, if something waits for it.")


def _set_rule(options: argparse.Namespace, door: AdminDoor) -> None:
    ask(door, "PUT", f"{RULES}/{quote(options.pattern, safe='')}", {"is_blocked": options.is_blocked})
    print(f"{options.pattern} is {'blocked' if options.is_blocked else 'allowed'}.")


def _forget(options: argparse.Namespace, door: AdminDoor) -> None:
    ask(door, "DELETE", f"{RULES}/{quote(options.pattern, safe='')}")
    print(f"There is no rule for {options.pattern} any more.")


def _rules(_: argparse.Namespace, door: AdminDoor) -> None:
    for rule in ask(door, "GET", RULES)["rules"]:
        print(f"{rule['pattern']} {'blocked' if rule['is_blocked'] else 'allowed'}")


def _path(server: str) -> str:
    return f"{DESTINATIONS}/{quote(server, safe='')}"


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
