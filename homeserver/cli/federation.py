"""`homeserver admin federation …`: other servers, from the shell."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row, printable, time_of

DESTINATIONS: Final = f"{ADMIN_API}/federation/destinations"
RULES: Final = f"{ADMIN_API}/federation/rules"
LIMITS: Final = f"{ADMIN_API}/federation/limits"
STATUS_COLUMNS: Final = ("Server", "State")
ROOM_COLUMNS: Final = ("Room", "Delivered up to")
STEP_COLUMNS: Final = ("Step", "State", "What was found")
RULE_COLUMNS: Final = ("Servers", "Rule")
LIMIT_COLUMNS: Final = ("Limit", "What counts")
SERVER_LIMIT_COLUMNS: Final = ("Server", "Limit", "What counts")


@click.group(short_help="other servers")
def federation() -> None:
    """Look after what goes on between this server and others."""


@federation.command(short_help="who answers, and how far behind each server is")
@click.argument("server", metavar="[NAME]", required=False)
@click.option("--failing", is_flag=True, help="Only servers that do not answer.")
@at_door
def status(door: AdminDoor, output: Output, server: str | None, *, failing: bool) -> None:
    """Say who answers, and how far behind each server is, or the one server NAME.

    Prints for each server to which this one sends when it last took something, since when it does not answer and when
    it is asked again, and how much waits for it.
    """
    statuses = _all(door) if server is None else iter([ask(door, "GET", _path(server))])
    wanted = (each for each in statuses if not failing or each["failing_since_ms"] is not None)
    output.tell(STATUS_COLUMNS, (_row(each) for each in wanted))


@federation.command(short_help="print which rooms are shared with a server")
@click.argument("server", metavar="NAME")
@at_door
def rooms(door: AdminDoor, output: Output, server: str) -> None:
    """Print which rooms are shared with the server NAME.

    Those in which there are users of both servers now, each with the position in the log of the last event that was
    delivered to it there, if any was since it came.
    """
    output.tell(ROOM_COLUMNS, (_room_row(room) for room in _shared(door, server)))


@federation.command(short_help="ask a server now that did not answer")
@click.argument("server", metavar="NAME")
@at_door
def retry(door: AdminDoor, output: Output, server: str) -> None:
    """Ask a server now that did not answer."""
    ask(door, "POST", f"{_path(server)}/retry")
    output.say(f"{server} is asked now, if something waits for it.", {"destination": server})


@federation.command("test", short_help="try to reach a server, step by step")
@click.argument("server", metavar="NAME")
@at_door
def try_to_reach(door: AdminDoor, output: Output, server: str) -> None:
    """Try to reach the server NAME, as though for the first time, and say what is wrong.

    Where its name leads (well-known, service records, addresses), whether it has a valid certificate, which keys it
    publishes, what runs there, and whether its clock agrees with this server's. The exit code is 1 if something is
    wrong.
    """
    with output.progress(f"Trying {server}"):
        answer = ask(door, "POST", f"{_path(server)}/test")
    output.tell(STEP_COLUMNS, (_step_row(step) for step in answer["steps"]))
    wrong = sum(not step["is_ok"] for step in answer["steps"])
    if wrong:
        raise CommandFailed(f"{wrong} of {len(answer['steps'])} steps towards {server} went wrong")


@federation.command(short_help="speak no more with some servers")
@click.argument("pattern", metavar="PATTERN")
@at_door
def block(door: AdminDoor, output: Output, pattern: str) -> None:
    """Speak no more with some servers, at once. What is said meanwhile in rooms that they are in waits for them.

    PATTERN is a server's name, in which * stands for any characters, ? for one.
    """
    _set_rule(door, output, pattern, f"{pattern} is blocked.", is_blocked=True)


@federation.command(short_help="speak with some servers, and with no others")
@click.argument("pattern", metavar="PATTERN")
@at_door
def allow(door: AdminDoor, output: Output, pattern: str) -> None:
    """Speak with some servers, and with no others, at once.

    As soon as any are allowed, all others are blocked; those that `block` names are so in any case. To end a block,
    `forget` it. PATTERN is a server's name, in which * stands for any characters, ? for one.
    """
    told = f"{pattern} is allowed, and no server but those that are allowed. `federation forget` takes that back."
    _set_rule(door, output, pattern, told, is_blocked=False)


@federation.command(short_help="take back what `block` or `allow` said of a pattern")
@click.argument("pattern", metavar="PATTERN")
@at_door
def forget(door: AdminDoor, output: Output, pattern: str) -> None:
    """Take back what `block` or `allow` said of a pattern."""
    ask(door, "DELETE", f"{RULES}/{quote(pattern, safe='')}")
    output.say(f"There is no rule for {pattern} any more.", {"pattern": pattern})


@federation.command(short_help="print which servers are blocked, or allowed")
@at_door
def rules(door: AdminDoor, output: Output) -> None:
    """Print which servers are blocked, or allowed."""
    output.tell(RULE_COLUMNS, (_rule_row(rule) for rule in ask(door, "GET", RULES)["rules"]))


@federation.command(short_help="print how much a server may ask and send, or change that")
@click.argument("server", metavar="NAME")
@click.option(
    "--set",
    "wanted",
    metavar="LIMIT RATE BURST",
    type=(str, click.FloatRange(min=0, min_open=True), click.IntRange(min=1)),
    multiple=True,
    help="Let it do so much: BURST at once, and RATE a second in the long run.",
)
@click.option("--reset", "unwanted", metavar="LIMIT", multiple=True, help="Have what counts for all count again.")
@at_door
def limit(
    door: AdminDoor,
    output: Output,
    server: str,
    wanted: tuple[tuple[str, float, int], ...],
    unwanted: tuple[str, ...],
) -> None:
    """Print how much the server NAME may ask and send, or change that, at once.

    LIMIT is `federation` (requests), `events_by_server` (events in each room), `joins_by_server` (joins to each room by
    way of this server) or `invites_by_server`. What counts for all is in the configuration, under rate_limits.
    """
    path = f"{LIMITS}/{quote(server, safe='')}"
    if wanted or unwanted:
        changes: dict[str, Any] = dict.fromkeys(unwanted)
        changes |= {name: {"rate_hz": rate_hz, "burst": burst} for name, rate_hz, burst in wanted}
        answer = ask(door, "PUT", path, {"limits": changes})
    else:
        answer = ask(door, "GET", path)
    output.tell(LIMIT_COLUMNS, (_limit_row(name, one) for name, one in answer["limits"].items()))


@federation.command(short_help="print which servers have limits of their own")
@at_door
def limits(door: AdminDoor, output: Output) -> None:
    """Print which servers have limits of their own."""
    output.tell(SERVER_LIMIT_COLUMNS, (_server_limit_row(one) for one in ask(door, "GET", LIMITS)["limits"]))


def _limit_row(name: str, limit: Any) -> Row:  # Any: the server's JSON, here and below
    told = _limit_text(limit) + (", for this server" if limit["is_own"] else "")
    return Row({"name": name, **limit}, f"{name}: {told}", (name, told))


def _server_limit_row(limit: Any) -> Row:
    told = _limit_text(limit)
    return Row(limit, f"{limit['server']}: {limit['name']}: {told}", (limit["server"], limit["name"], told))


def _limit_text(limit: Any) -> str:
    return f"{limit['burst']} at once, then {limit['rate_hz']:g} a second"


def _set_rule(door: AdminDoor, output: Output, pattern: str, told: str, *, is_blocked: bool) -> None:
    ask(door, "PUT", f"{RULES}/{quote(pattern, safe='')}", {"is_blocked": is_blocked})
    output.say(told, {"pattern": pattern, "is_blocked": is_blocked})


def _step_row(step: Any) -> Row:
    state = "ok" if step["is_ok"] else "WRONG"
    told = printable(step["told"])  # others may have written it
    return Row(step, f"{step['name']}: {state}: {told}", (step["name"], state, told))


def _rule_row(rule: Any) -> Row:
    state = "blocked" if rule["is_blocked"] else "allowed"
    return Row(rule, f"{rule['pattern']} {state}", (rule["pattern"], state))


def _all(door: AdminDoor) -> Iterator[Any]:
    after = ""
    while page := ask(door, "GET", f"{DESTINATIONS}?{urlencode({'after': after})}")["destinations"]:
        yield from page
        after = page[-1]["destination"]


def _shared(door: AdminDoor, server: str) -> Iterator[Any]:
    begin: str | None = "0"
    while begin is not None:
        page = ask(door, "GET", f"{_path(server)}/rooms?{urlencode({'from': begin})}")
        yield from page["rooms"]
        begin = page.get("next_token")


def _room_row(room: Any) -> Row:
    position = room["stream_ordering"]
    told = "nothing yet" if position is None else str(position)
    return Row(room, f"{room['room_id']}: delivered up to: {told}", (room["room_id"], told))


def _row(status: Any) -> Row:
    told = []
    if status["is_blocked"]:
        told.append("blocked")
    if status["failing_since_ms"] is not None:
        times = f"{status['failures']} time{'s' if status['failures'] > 1 else ''}"
        told.append(f"does not answer since {time_of(status['failing_since_ms'])} ({times})")
        if status["last_attempt_ms"] is not None:
            told.append(f"asked last at {time_of(status['last_attempt_ms'])}")
        told.append(f"asked again at {time_of(status['next_attempt_ms'])}")
    elif status["last_success_ms"] is not None:
        told.append("answers")
    if status["last_success_ms"] is not None:
        told.append(f"last took something at {time_of(status['last_success_ms'])}")
    positions = "more than 1000" if status["positions"] is None else status["positions"]
    if positions:
        told.append(f"lacks {positions} changes, in {status['rooms']} rooms")
    if status["messages"]:
        told.append(f"{status['messages']} messages for devices wait")
    if status["tls_group"] is not None:
        told.append(f"keys exchanged by {status['tls_group']}")
    state = "; ".join(told) or "nothing was sent yet"
    return Row(status, f"{status['destination']}: {state}", (status["destination"], state))


def _path(server: str) -> str:
    return f"{DESTINATIONS}/{quote(server, safe='')}"
