"""`homeserver admin user rate-limit` and `shadow-ban`: users who are held back, or may go further than others."""

from typing import Any

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output
from homeserver.cli.user_paths import user_path


@click.command(short_help="how fast a user may act")
@click.argument("user_id", metavar="USER")
@click.option("--per-second", type=float, metavar="NUMBER", help="So many events, invites, joins … a second.")
@click.option("--burst", type=int, metavar="NUMBER", help="So many at once, after a pause.")
@click.option("--none", "is_free", is_flag=True, help="No limit at all.")
@click.option("--reset", is_flag=True, help="The limits of the server's settings again.")
@at_door
def rate_limit(
    door: AdminDoor,
    output: Output,
    user_id: str,
    *,
    per_second: float | None,
    burst: int | None,
    is_free: bool,
    reset: bool,
) -> None:
    """Give a user of this server a rate limit of their own; without an option, show it.

    It holds at once, for each kind of what a user does to others: sending, joining, inviting, making rooms, reporting.
    """
    if (per_second is not None) + is_free + reset > 1 or (burst is not None and per_second is None):
        raise click.UsageError("Give --per-second, with or without --burst, or --none, or --reset.")
    path = f"{user_path(user_id)}/override_ratelimit"
    if reset:
        ask(door, "DELETE", path)
        answer: Any = {}  # Any: JSON
    elif is_free:
        answer = ask(door, "POST", path, {"messages_per_second": 0, "burst_count": 0})
    elif per_second is not None:
        answer = ask(door, "POST", path, {"messages_per_second": per_second, "burst_count": burst or 0})
    else:
        answer = ask(door, "GET", path)
    output.say(_told(user_id, answer), {"user_id": user_id, **answer})


@click.command(short_help="let nobody hear a user")
@click.argument("user_id", metavar="USER")
@click.option("--undo", is_flag=True, help="Let the user be heard again.")
@at_door
def shadow_ban(door: AdminDoor, output: Output, user_id: str, *, undo: bool) -> None:
    """Let nobody hear a user of this server, without their noticing.

    What they send is answered as always, and goes nowhere. What was said before stays.
    """
    ask(door, "DELETE" if undo else "POST", f"{user_path(user_id)}/shadow_ban")
    told = f"{user_id} is heard again." if undo else f"Nobody hears {user_id} any more."
    output.say(told, {"user_id": user_id, "shadow_banned": not undo})


def _told(user_id: str, own: Any) -> str:  # Any: JSON
    if not own:
        return f"For {user_id} the limits of the settings hold."
    if not own["messages_per_second"]:
        return f"{user_id} may act as fast as they like."
    return f"{user_id} may act {own['messages_per_second']} times a second, and {own['burst_count']} times at once."


def told_limit(own: Any) -> str:  # Any: JSON
    """A user's own limit in a few words; nothing where that of the settings holds."""
    if own is None:
        return ""
    if not own["messages_per_second"]:
        return "none: as fast as they like"
    return f"{own['messages_per_second']} times a second, {own['burst_count']} at once"
