"""Options that are declared together."""

import click
from click.testing import CliRunner

from homeserver.cli.options import options


def test_a_command_takes_all_of_them_and_help_tells_of_them_in_order() -> None:
    taken: list[object] = []

    @click.command()
    @options(click.argument("who"), click.option("--first", is_flag=True), click.option("--second", is_flag=True))
    def greet(**given: object) -> None:
        taken.append(given)

    told = CliRunner().invoke(greet, ["--help"]).output
    CliRunner().invoke(greet, ["bob", "--second"])

    assert told.index("WHO") < told.index("--first") < told.index("--second")
    assert taken == [{"who": "bob", "first": False, "second": True}]
