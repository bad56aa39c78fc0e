"""When something was, as commands are told it: so long ago (2h), or a date, with or without a time, of UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from homeserver.cli.durations import Duration
from homeserver.cli.options import options


class Moment(click.ParamType[int]):
    """A moment, in milliseconds."""

    name = "moment"

    # Any: a text, as click hands it over
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """When that was. Fails for what has no such form."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = datetime.now(UTC) - self._ago(value, param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)

    def _ago(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # Any: as above
        try:
            return Duration().convert(value, param, ctx)
        except click.BadParameter:
            self.fail("write how long ago, like 2h, or a date, like 2026-05-01 or 2026-05-01T18:30", param, ctx)


# Let a command take `--since` and `--until`, each of them included.
within_time: Final = options(
    click.option(
        "--since", type=Moment(), metavar="WHEN", help="Only what is from then or later: 2h, or 2026-05-01T18:30."
    ),
    click.option("--until", type=Moment(), metavar="WHEN", help="Only what is from then or before."),
)
