"""How long something takes or counts, as commands are told it: 30m, 12h, 7d, 2w."""

import re
from datetime import timedelta
from typing import Any, Final

import click

UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_WRITTEN: Final = re.compile(r"([0-9]{1,4})([mhdw])")


class Duration(click.ParamType[timedelta]):
    """A number with its unit."""

    name = "duration"

    # Any: a text, as click hands it over
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """How long that is. Fails for what has no such form."""
        written = _WRITTEN.fullmatch(value)
        if written is None:
            self.fail("write a number with m, h, d or w, like 7d", param, ctx)
        return timedelta(**{UNITS[written[2]]: int(written[1])})
