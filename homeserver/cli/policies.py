"""`homeserver admin policy …`: moderation policy lists, from the shell."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask, is_running
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.options import options
from homeserver.cli.output import Output, Row, printable, time_of

LISTS: Final = f"{ADMIN_API}/policy/lists"
AUDIT: Final = f"{ADMIN_API}/audit"
BY: Final = "policy_lists"
ASKED_EVERY_S: Final = 2.0
LIST_COLUMNS: Final = ("List", "Does", "Rules", "Has done", "State")
RULE_COLUMNS: Final = ("About", "Entity", "Recommendation", "Reason")
STEP_COLUMNS: Final = ("Act", "Whom or what", "Where", "Reason", "Not possible because")
ACT_COLUMNS: Final = ("Time", "Act", "On", "List", "Outcome")
CHECK_COLUMNS: Final = ("List", "About", "Entity", "Recommendation", "Reason")
WATCHES: Final = "watch"
DEEDS: Final = {
    "ban": ("ban", "bans"),
    "acl": ("pattern of servers shut out of a room", "patterns of servers shut out of rooms"),
    "block": ("room blocked", "rooms blocked"),
    "refuse": ("pattern of servers blocked", "patterns of servers blocked"),
}


# Let a command take what a list is to do.
_takes_purpose: Final = options(
    click.option(
        "--apply-to",
        type=click.Choice(["rooms", "server", WATCHES]),
        multiple=True,
        help="What the list does; can be given twice. `watch` is nothing.",
    ),
    click.option(
        "--room",
        "rooms",
        metavar="ROOM",
        multiple=True,
        help="With --apply-to rooms: only in this room. Can be given several times.",
    ),
)


@click.group(short_help="lists of who is not welcome")
def policy() -> None:
    """Follow moderation policy lists, and do what they say, without a bot.

    A list is a room in whose state are rules about users, rooms and servers. LIST is the ID of its room.
    """


@policy.command("list", short_help="print the lists that are followed")
@at_door
def list_lists(door: AdminDoor, output: Output) -> None:
    """Print the lists that are followed, what each does, and what it has done."""
    output.tell(LIST_COLUMNS, (_list_row(each) for each in ask(door, "GET", LISTS)["lists"]))


@policy.command(short_help="follow a list, or change what it does")
@click.argument("room", metavar="LIST")
@click.option("--as", "user_id", metavar="USER", help="A user of this server who joins the room, if nobody is in it.")
@click.option(
    "--via", metavar="SERVER", multiple=True, help="A server that is in the room. Can be given several times."
)
@_takes_purpose
@at_door
def subscribe(
    door: AdminDoor,
    output: Output,
    room: str,
    user_id: str | None,
    via: Sequence[str],
    apply_to: Sequence[str],
    rooms: Sequence[str],
) -> None:
    """Follow a list, or change what it does. With --as, LIST may be an alias.

    Somebody of this server must be in the list's room: who, is said by --as, or there is somebody already.

    --apply-to rooms: whom the list names is banned from the rooms that --room names, or from all in which a user of
    this server has the power for it, and its servers are added to the lists of those that these rooms shut out.

    --apply-to server: users are banned from all rooms in which that is possible, and they and the servers cannot
    invite anybody here; rooms are blocked; with the servers this one speaks no more.

    --apply-to watch: nothing is done.
    """
    where, given = _purpose(apply_to, rooms)
    if where is None:
        raise CommandFailed("say what the list is to do: --apply-to rooms, server or watch")
    body = {"room": room, "apply_to": where, "rooms": given, "user_id": user_id, "via": list(via)}
    followed = ask(door, "POST", LISTS, body)
    output.say(f"{followed['room_id']} is followed: {_list_row(followed).line}", followed)


@policy.command(short_help="follow a list no more")
@click.argument("list_id", metavar="LIST")
@click.option("--undo", is_flag=True, help="Undo what was done because of the list. Without, it stays.")
@destroys
@at_door
def unsubscribe(door: AdminDoor, output: Output, list_id: str, *, undo: bool, dry_run: bool, yes: bool) -> None:
    """Follow a list no more. What it has done stays, unless --undo is given."""
    known = ask(door, "GET", _path(list_id))
    what = f"follow {list_id} no more" + (f", and undo what it has done ({_done(known)})" if undo else "")
    if not is_meant(output, what, {"list": list_id, "undo": undo, "deeds": known["deeds"]}, dry_run=dry_run, yes=yes):
        return
    answer = ask(door, "DELETE", f"{_path(list_id)}?{urlencode({'undo': str(undo).lower()})}")
    told = f"{list_id} is not followed any more."
    if undo:
        told += f" Undone: {answer['done']}." if answer["is_complete"] else " The server goes on undoing what was done."
    output.say(told, {"list": list_id, **answer})


@policy.command(short_help="print what a list says")
@click.argument("list_id", metavar="LIST")
@at_door
def show(door: AdminDoor, output: Output, list_id: str) -> None:
    """Print a list's rules, those that weigh most first, and what it was not possible to do."""
    known = ask(door, "GET", _path(list_id))
    output.tell(RULE_COLUMNS, (_rule_row(rule) for rule in _rules(door, list_id)))
    for what, why in known["obstacles"].items():
        output.say(f"Not possible: {printable(what)}: {why}", {"not_possible": what, "because": why})


@policy.command(short_help="print what is done because of lists, as it is done")
@click.option("--once", is_flag=True, help="Print what was done lately, and end.")
@at_door
def watch(door: AdminDoor, output: Output, *, once: bool) -> None:
    """Print what was done lately because of lists, then what is done, as it is done, until Ctrl-C."""
    acts = Acts(door)
    if once or not is_running(door):
        output.tell(ACT_COLUMNS, (_act_row(act) for act in acts.news()))
        if not once:
            raise CommandFailed("the server does not run, so nothing is done because of lists now")
        return
    while True:
        for act in acts.news():
            output.say(_act_row(act).line, act)
        time.sleep(ASKED_EVERY_S)


@policy.command("dry-run", short_help="say what a list would do")
@click.argument("list_id", metavar="LIST")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=100, metavar="NUMBER", help="Print so many at most (100)."
)
@_takes_purpose
@at_door
def dry_run(
    door: AdminDoor, output: Output, list_id: str, limit: int, apply_to: Sequence[str], rooms: Sequence[str]
) -> None:
    """Say what a list would do that is not done yet, and do nothing.

    Without --apply-to it is what it does as a list that is followed. With it, the list need not be followed, but
    somebody of this server must be in its room.
    """
    where, given = _purpose(apply_to, rooms)
    query: list[tuple[str, str]] = [("limit", str(limit))]
    query += [("apply_to", each) for each in where or ()] + [("rooms", each) for each in given or ()]
    answer = ask(door, "GET", f"{_path(list_id)}/dry_run?{urlencode(query)}")
    output.tell(STEP_COLUMNS, (_step_row(step) for step in answer["steps"]))
    counts = {kind: count for kind, count in answer.items() if kind != "steps"}
    told = _counted(answer["counts"]) or "nothing"
    if answer["impossible"]:
        told += f"; {answer['impossible']} of these are not possible"
    if not answer["is_whole"]:
        told += "; and more"
    output.say(f"Would bring about: {told}. Nothing was changed.", {**counts, "dry_run": True})


@policy.command(short_help="do now what a list says")
@click.argument("list_id", metavar="LIST")
@at_door
def apply(door: AdminDoor, output: Output, list_id: str) -> None:
    """Do now what a list says, and try again what was not possible before. The server does so by itself, too."""
    done = failed = 0
    with output.progress(f"Carrying out {list_id}") as tell:
        is_complete = False
        while not is_complete:
            answer = ask(door, "POST", f"{_path(list_id)}/apply")
            done, failed, is_complete = done + answer["done"], failed + answer["failed"], answer["is_complete"]
            tell(f"{done} done, {failed} not possible")
    told = f"{done} done" if not failed else f"{done} done, {failed} not possible: see `policy show`"
    output.say(f"{list_id} is carried out: {told}.", {"list": list_id, "done": done, "failed": failed})


@policy.command(short_help="say what the lists say of somebody or something")
@click.argument("entity", metavar="ENTITY")
@at_door
def check(door: AdminDoor, output: Output, entity: str) -> None:
    """Say what the lists say of the user, room or server ENTITY, what counts first.

    The exit code is 0 if there is a rule, and 1 if there is none.
    """
    answer = ask(door, "GET", f"{ADMIN_API}/policy/check?{urlencode({'entity': entity})}")
    output.tell(CHECK_COLUMNS, (_check_row(rule) for rule in answer["rules"]))
    if not answer["rules"]:
        raise CommandFailed(f"no list says anything of {entity}")


def _purpose(apply_to: Sequence[str], rooms: Sequence[str]) -> tuple[list[str] | None, list[str] | None]:
    """What the options say: to what a list is applied, None without a word, and the rooms that are given."""
    if WATCHES in apply_to and len(set(apply_to)) > 1:
        raise CommandFailed("a list that is only watched is applied to nothing else")
    if rooms and "rooms" not in apply_to:
        raise CommandFailed("--room goes with --apply-to rooms")
    where = None if not apply_to else sorted(set(apply_to) - {WATCHES})
    return where, list(rooms) or None


def _rules(door: AdminDoor, list_id: str) -> Iterator[Any]:  # Any: the server's JSON, here and below
    after: int | None = 0
    while after is not None:
        page = ask(door, "GET", f"{_path(list_id)}/rules?{urlencode({'from': after, 'limit': 500})}")
        yield from page["rules"]
        after = page["next"]


class Acts:
    """What is done because of lists, as it is told of: what is under way is told of once more when it has ended."""

    def __init__(self, door: AdminDoor) -> None:
        self._door = door
        self._after: int | None = None
        self._under_way: set[int] = set()

    def news(self) -> list[Any]:
        """What was not told of yet, the oldest first; at first what was done lately."""
        acts = self._newest()
        told = [act for act in acts if self._is_news(act)]
        self._under_way = {act["position"] for act in acts if act["outcome"] is None}
        self._after = max([act["position"] for act in acts], default=self._after or 0)
        return told[::-1]

    def _newest(self) -> list[Any]:
        """The newest acts, as far back as there is anything that was not told of."""
        query = {"by": BY, "limit": "100"}
        answer = ask(self._door, "GET", f"{AUDIT}?{urlencode(query)}")
        acts: list[Any] = answer["acts"]
        while self._after is not None and answer["next"] is not None and acts[-1]["position"] > self._after:
            answer = ask(self._door, "GET", f"{AUDIT}?{urlencode({**query, 'from': answer['next']})}")
            acts += answer["acts"]
        return acts

    def _is_news(self, act: Any) -> bool:
        position: int = act["position"]
        is_new = self._after is None or position > self._after
        return is_new or (position in self._under_way and act["outcome"] is not None)


def _list_row(known: Any) -> Row:
    does = " and ".join(known["apply_to"]) or "is only watched"
    if known["rooms"] is not None:
        does += f" ({len(known['rooms'])} given)"
    rules = ", ".join(f"{count} about {kind}s" for kind, count in known["rules"].items() if count) or "none"
    told = []
    if known["idle_rules"]:
        told.append(f"{known['idle_rules']} rules not acted upon")
    if not known["members"]:
        told.append("nobody of this server is in its room any more")
    if known["replaced_by"] is not None:
        told.append(f"its room was replaced by {known['replaced_by']}: subscribe to that one")
    if known["obstacles"]:
        told.append(f"{len(known['obstacles'])} acts were not possible")
    if known["is_ending"]:
        told.append("being undone")
    elif known["is_busy"]:
        told.append("being carried out")
    state = "; ".join(told) or "in force"
    cells = (known["room_id"], does, rules, _done(known), state)
    return Row(known, f"{known['room_id']}: {does}; rules: {rules}; has done: {_done(known)}; {state}", cells)


def _done(known: Any) -> str:
    return _counted(known["deeds"]) or "nothing"


def _counted(counts: Any) -> str:
    return ", ".join(f"{count} {DEEDS[kind][count != 1]}" for kind, count in counts.items() if count)


def _rule_row(rule: Any) -> Row:
    entity, reason = printable(rule["entity"]), printable(rule["reason"])  # others have written it
    recommended = rule["recommendation"] + (" (not acted upon)" if rule["is_idle"] else "")
    line = f"{rule['kind']} {entity}: {recommended}" + (f": {reason}" if reason else "")
    return Row(rule, line, (rule["kind"], entity, recommended, reason))


def _check_row(rule: Any) -> Row:
    entity, reason = printable(rule["entity"]), printable(rule["reason"])
    recommended = rule["recommendation"] + ("" if rule["acts"] else " (only watched)")
    line = f"{rule['list']}: {rule['kind']} {entity}: {recommended}" + (f": {reason}" if reason else "")
    return Row(rule, line, (rule["list"], rule["kind"], entity, recommended, reason))


def _step_row(step: Any) -> Row:
    entity, reason = printable(step["entity"]), printable(step["reason"])
    act, where, why_not = DEEDS[step["act"]][0], step["room_id"] or "this server", step["obstacle"] or ""
    line = (
        f"{act}: {entity}: {where}"
        + (f": {reason}" if reason else "")
        + (f" (not possible: {why_not})" * bool(why_not))
    )
    return Row(step, line, (act, entity, where, reason, why_not))


def _act_row(act: Any) -> Row:
    details = act["details"]
    on = printable(act["target"] or "this server")
    if "room_id" in details:
        on += f" in {details['room_id']}"
    if "servers" in details:
        on += f": {printable(', '.join(details['servers']))}"
    outcome = "under way" if act["outcome"] is None else "done" if act["outcome"]["status"] < 400 else "not possible"
    moment = time_of(act["at_ms"])
    line = f"{moment} {act['act']}: {on} ({details.get('list')}): {outcome}"
    return Row(act, line, (moment, act["act"], on, details.get("list", ""), outcome))


def _path(list_id: str) -> str:
    return f"{LISTS}/{quote(list_id, safe='')}"
