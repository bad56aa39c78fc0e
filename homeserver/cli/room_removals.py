"""`homeserver admin room kick`, `ban`, `unban`, `redact`: users and what they said, one or many, from the shell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.moments import within_time
from homeserver.cli.options import options
from homeserver.cli.output import Output, Row, printable, time_of
from homeserver.cli.room_paths import checked_event_id, room_path
from homeserver.cli.steps import Asking, steps
from homeserver.cli.user_paths import user_path

MEMBERS: Final = f"{ADMIN_API}/members"
WILDCARDS: Final = frozenset("*?")
DONE: Final[Mapping[str, str]] = {"kick": "kicked", "ban": "banned", "unban": "unbanned"}
COLUMNS: Final = ("Room", "User", "What came of it")
HIT_COLUMNS: Final = ("Room", "User", "Is")
EVENT_COLUMNS: Final = ("Event", "Sender", "Type", "What came of it")
# Any, throughout: the server's JSON, and whatever a command takes.
Outcome: TypeAlias = tuple[Row, bool]  # and whether it was possible


# Let a command take users, and in which rooms it is to befall them.
_says_whom: Final = options(
    click.argument("pattern", metavar="USER"),
    click.argument("rooms", metavar="[ROOM]...", nargs=-1),
    click.option("--all", "all_rooms", is_flag=True, help="In all rooms of the server."),
    click.option("--exactly", is_flag=True, help="USER is one user, although * or ? are in the ID."),
    click.option("--reason", metavar="TEXT", help="Why, which all in the room can read."),
)


@click.command(short_help="remove users from rooms")
@_says_whom
@destroys
@at_door
def kick(door: AdminDoor, output: Output, **what: Any) -> None:
    """Remove USER from each ROOM, or from all rooms.

    USER is a user ID, in which * stands for any characters, ? for one: all of whom that is true are removed. It is done
    in the name of users of this server who are in the rooms.
    """
    _remove(door, output, "kick", {}, **what)


@click.command(short_help="remove users from rooms for good")
@_says_whom
@click.option("--also-left", is_flag=True, help="By a pattern: ban also those who have left already.")
@destroys
@at_door
def ban(door: AdminDoor, output: Output, *, also_left: bool, **what: Any) -> None:
    """Ban USER from each ROOM, or from all rooms that they are in or invited to.

    USER is a user ID, in which * stands for any characters, ? for one: all of whom that is true and who are there are
    banned, and nobody who comes later. It is done in the name of users of this server who are in the rooms.
    """
    _remove(door, output, "ban", {"includes_left": True} if also_left else {}, **what)


@click.command(short_help="let users come back")
@_says_whom
@destroys
@at_door
def unban(door: AdminDoor, output: Output, **what: Any) -> None:
    """Unban USER in each ROOM, or wherever they are banned.

    USER is a user ID, in which * stands for any characters, ? for one. It is done in the name of users of this server
    who are in the rooms.
    """
    _remove(door, output, "unban", {}, **what)


@click.command(short_help="take back what was said in a room")
@click.argument("room_id", metavar="ROOM")
@click.argument("event_id", metavar="[EVENT]", required=False)
@click.option("--by", "pattern", metavar="USER", help="All that this user said; * and ? stand for other characters.")
@within_time
@click.option("--reason", metavar="TEXT", help="Why, which all in the room can read.")
@destroys
@at_door
def redact(
    door: AdminDoor,
    output: Output,
    room_id: str,
    event_id: str | None,
    *,
    pattern: str | None,
    since: int | None,
    until: int | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Redact one EVENT of a room, or all messages by USER. It cannot be taken back.

    The time of a message is the one that its sender's server gave.
    """
    if (event_id is None) == (pattern is None) or (pattern is None and (since, until) != (None, None)):
        raise click.UsageError("Name an EVENT, or say --by whom; --since and --until go with --by.")
    because = {} if reason is None else {"reason": reason}
    if event_id is not None:
        about = {"room_id": room_id, "event_id": event_id}
        path = room_path(room_id, "redact", checked_event_id(event_id))
        if is_meant(output, f"redact {event_id} in {room_id}", about, dry_run=dry_run, yes=yes):
            answer = ask(door, "POST", path, because)
            output.say(f"{event_id} is redacted.", {**about, "redaction": answer["event_id"]})
    if pattern is not None:
        times = {name: when for name, when in (("since_ms", since), ("until_ms", until)) if when is not None}
        wanted = {**_whom(pattern), **times}
        what = f"by {pattern} in {room_id}"
        if _is_redaction_meant(door, output, room_id, wanted, what, dry_run=dry_run, yes=yes):
            _redact_all(door, output, room_id, {**wanted, **because})


def _is_redaction_meant(
    door: AdminDoor, output: Output, room_id: str, wanted: Mapping[str, Any], what: str, *, dry_run: bool, yes: bool
) -> bool:
    """Whether to redact all that is wanted; a dry run tells of it."""
    path = room_path(room_id, "sent")
    with output.progress("Looking") as show:
        sent = list(_pages(show, "found", lambda begin: _get(door, path, wanted, begin)))
    looked_at = {"room_id": room_id, **wanted, "events": sent}
    if not sent and not dry_run:
        output.say("There is nothing to redact.", looked_at)
        return False
    if dry_run and not output.is_json:
        output.tell(EVENT_COLUMNS, (_event_row(each, time_of(each["origin_server_ts"])) for each in sent))
    return is_meant(output, f"redact {_count(len(sent), 'event')} {what}", looked_at, dry_run=dry_run, yes=yes)


def _redact_all(door: AdminDoor, output: Output, room_id: str, body: Mapping[str, Any]) -> None:
    path = room_path(room_id, "redact")

    def redacted() -> Iterator[Outcome]:
        for step in steps(lambda begin: ask(door, "POST", path, {**body, **begin})):
            yield from ((_event_row(each, "redacted"), True) for each in step["done"])
            for each in step["failed"]:
                told = f"NOT redacted: {each['reason']}"
                yield Row(each, f"{each['event_id']}: {told}", (each["event_id"], "", "", told)), False

    if failed := _tell(output, "Redacting", EVENT_COLUMNS, redacted()):
        raise CommandFailed(f"{_count(failed, 'event')} could not be redacted")


def _remove(
    door: AdminDoor,
    output: Output,
    act: str,
    more: Mapping[str, Any],
    *,
    pattern: str,
    rooms: tuple[str, ...],
    all_rooms: bool,
    exactly: bool,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    if all_rooms == bool(rooms):
        raise click.UsageError("Name rooms, or say --all.")
    if pattern.startswith("!"):
        raise CommandFailed(f"say whom first, and then in which rooms: homeserver admin room {act} USER ROOM")
    for room_id in rooms:
        room_path(room_id)
    because = {} if reason is None else {"reason": reason}
    whom = _whom(pattern, exactly=exactly)
    if "user_id" in whom and rooms and not more:
        # What can be put right at once is not asked about.
        what = f"{act} {pattern} in {_count(len(rooms), 'room')}"
        about = {"user_id": pattern, "rooms": list(rooms)}
        if dry_run and not is_meant(output, what, about, dry_run=True, yes=yes):
            return
        rows = _in_rooms(door, act, pattern, rooms, because)
    else:
        wanted = {**whom, **more}
        if not _is_aim_meant(door, output, act, wanted, rooms, dry_run=dry_run, yes=yes):
            return
        rows = _many_users(door, act, {**wanted, **because, **({"rooms": list(rooms)} if rooms else {})})
    if failed := _tell(output, act.capitalize(), COLUMNS, rows):
        raise CommandFailed(f"{_count(failed, 'time')} nobody could be {DONE[act]}")


def _whom(pattern: str, *, exactly: bool = False) -> dict[str, str]:
    """A user, or a pattern, in the words of the API. Raises CommandFailed for what is no user ID."""
    if not exactly and WILDCARDS.intersection(pattern):
        return {"pattern": pattern}
    user_path(pattern)
    return {"user_id": pattern}


def _is_aim_meant(
    door: AdminDoor,
    output: Output,
    act: str,
    wanted: Mapping[str, Any],
    rooms: Sequence[str],
    *,
    dry_run: bool,
    yes: bool,
) -> bool:
    """Whether to do it to all whom it would befall; a dry run tells of them."""
    query = {**wanted, "removal": act, "room_id": rooms}
    with output.progress("Looking") as show:
        hits = list(_pages(show, "found", lambda begin: _get(door, MEMBERS, query, begin), "members"))
    befallen = [each for each in hits if not each["spared"]]
    about = {**wanted, "members": hits}
    if not befallen and not dry_run:
        output.say(f"There is nobody to {act}.", about)
        return False
    if dry_run and not output.is_json:
        output.tell(HIT_COLUMNS, (_hit_row(each) for each in hits))
    users = _count(len({each["user_id"] for each in befallen}), "user")
    what = f"{act} {users} in {_count(len({each['room_id'] for each in befallen}), 'room')}"
    return is_meant(output, what, about, dry_run=dry_run, yes=yes)


def _in_rooms(
    door: AdminDoor, act: str, user_id: str, rooms: Sequence[str], because: Mapping[str, str]
) -> Iterator[Outcome]:
    for room_id in rooms:
        try:
            ask(door, "POST", room_path(room_id, act), {"user_id": user_id, **because})
        except CommandFailed as refused:
            if len(rooms) == 1:
                raise
            yield _row(act, room_id, user_id, refused.reason), False
        else:
            yield _row(act, room_id, user_id), True


def _many_users(door: AdminDoor, act: str, body: Mapping[str, Any]) -> Iterator[Outcome]:
    for step in steps(lambda begin: ask(door, "POST", f"{MEMBERS}/{act}", {**body, **begin})):
        for each in step["done"]:
            yield _row(act, each["room_id"], each["user_id"]), True
        for each in step["failed"]:
            yield _row(act, each["room_id"], each["user_id"], each["reason"]), False


def _tell(output: Output, doing: str, columns: Sequence[str], outcomes: Iterator[Outcome]) -> int:
    """Tell of each as it is done, and meanwhile how many they are; how often it was not possible."""
    done = failed = 0

    def counted() -> Iterator[Row]:
        nonlocal done, failed
        for row, is_done in outcomes:
            done, failed = done + is_done, failed + (not is_done)
            show(f"{done} done, {failed} not possible")
            yield row

    with output.progress(doing) as show:
        output.tell(columns, counted())
    return failed


def _row(act: str, room_id: str, user_id: str, failure: str | None = None) -> Row:
    told = DONE[act] if failure is None else f"NOT {DONE[act]}: {failure}"
    answer = {"room_id": room_id, "user_id": user_id, "act": act, "done": failure is None, "reason": failure}
    return Row(answer, f"{room_id}: {printable(user_id)} {told}", (room_id, user_id, told))


def _hit_row(hit: Any) -> Row:
    state = f"{hit['membership']}; spared, as an administrator of this server" if hit["spared"] else hit["membership"]
    return Row(hit, f"{hit['room_id']}: {printable(hit['user_id'])}: {state}", (hit["room_id"], hit["user_id"], state))


def _event_row(event: Any, told: str) -> Row:
    cells = (event["event_id"], event["sender"], event["type"], told)
    return Row(event, f"{event['event_id']} {printable(event['sender'])} {printable(event['type'])}: {told}", cells)


def _get(door: AdminDoor, path: str, query: Mapping[str, Any], begin: Mapping[str, str]) -> Any:
    words = {name: "true" if value is True else value for name, value in {**query, **begin}.items()}
    return ask(door, "GET", f"{path}?{urlencode(words, doseq=True)}")


def _pages(show: Callable[[str], None], word: str, ask_for: Asking, name: str = "found") -> Iterator[Any]:
    """What the steps find."""
    count = 0
    for step in steps(ask_for):
        count += len(step[name])
        show(f"{count} {word}")
        yield from step[name]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
