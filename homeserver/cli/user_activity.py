"""`homeserver admin user activity` and `let-reset-keys`: what users did of late, and those whose keys are lost."""

from datetime import UTC, datetime, timedelta

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.durations import Duration
from homeserver.cli.output import Output, time_of
from homeserver.cli.user_paths import user_path


@click.command(short_help="how much somebody invites and joins")
@click.argument("user_id", metavar="USER")
@click.option("--within", type=Duration(), default="1d", metavar="TIME", help="In the last time, like 12h or 7d (1d).")
@at_door
def activity(door: AdminDoor, output: Output, user_id: str, within: timedelta) -> None:
    """Print how many invites USER has sent of late, and how many rooms they have entered.

    Those who misuse the server do a lot of both.
    """
    path = user_path(user_id)
    since_ms = int((datetime.now(UTC) - within).timestamp() * 1000)
    invites = ask(door, "GET", f"{path}/sent_invite_count?from_ts={since_ms}")["invite_count"]
    joined = ask(door, "GET", f"{path}/cumulative_joined_room_count?from_ts={since_ms}")["cumulative_joined_room_count"]
    output.describe(
        (
            ("User", user_id),
            ("Since", time_of(since_ms)),
            ("Invites sent", str(invites)),
            ("Rooms joined", str(joined)),
        ),
        {"user_id": user_id, "since_ms": since_ms, "invites_sent": invites, "rooms_joined": joined},
    )


@click.command(short_help="let somebody replace lost cross-signing keys")
@click.argument("user_id", metavar="USER")
@at_door
def let_reset_keys(door: AdminDoor, output: Output, user_id: str) -> None:
    """Let USER replace their cross-signing keys without a password, once, within ten minutes.

    For those who lost the keys and have no password. Others see that the keys changed, and verify them anew.
    """
    answer = ask(door, "POST", f"{user_path(user_id)}/allow_cross_signing_replacement")
    until_ms = answer["updatable_without_uia_before_ms"]
    output.say(
        f"{user_id} may replace their cross-signing keys until {time_of(until_ms)}.",
        {"user_id": user_id, "until_ms": until_ms},
    )
