"""`homeserver admin server backup`, `restore` and what belongs to them, from the shell.

A backup is made by the server, as a file on its computer. It is looked at and put back here, without a server.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed, configuration_file, read_settings, takes_configuration
from homeserver.cli.output import Output, Row, printable, time_of
from homeserver.core.errors import BadKey
from homeserver.core.signing import SigningKey
from homeserver.runtime.archive_files import BadArchive
from homeserver.runtime.data_folder import DataFolder, DataFolderProblem
from homeserver.runtime.secret_files import replace_secret_file
from homeserver.services.admin.backup_archive import Header, Outside, Progress, check_backup, read_header
from homeserver.services.admin.restoring import restore_backup
from homeserver.settings.sections import Settings
from homeserver.storage.database import DatabaseRefused
from homeserver.storage.opening import fill_database
from homeserver.storage.whole_tables import NotFilled

BACKUPS: Final = f"{ADMIN_API}/backups"
COLUMNS: Final = ("File", "Made", "Size")
WITH_KEY: Final = "It holds the signing key: keep it as safe as the server."
WITHOUT_KEY: Final = (
    "Warning: the signing key is not in it. Keep a copy of its file elsewhere: nobody can make it again, and without "
    "it the server is not known to others any more."
)


@click.command(short_help="back the server up, while it runs")
@click.option("--without-key", is_flag=True, help="Leave the signing key out. Then keep a copy of its file elsewhere.")
@at_door
def backup(door: AdminDoor, output: Output, *, without_key: bool) -> None:
    """Back the server up, while it runs and others write.

    Writes all that the server has, as of one moment, into a new file in the folder of `backups.folder`, on the server's
    computer; the file is read again before it gets its name. When the owner of the server asks, the oldest goes of more
    than `backups.keep`.
    """
    made = _follow(door, output, ask(door, "POST", BACKUPS, {"signing_key": not without_key}))
    told = f"Wrote {made['path']}: {made['of_rows']} rows, {size_of(made['size_bytes'])}; it was read again."
    output.say(f"{told}\n{WITHOUT_KEY if without_key else WITH_KEY}", {**made, "has_signing_key": not without_key})


@click.command(short_help="export accounts and rooms for other programs")
@at_door
def export(door: AdminDoor, output: Output) -> None:
    """Export all accounts and rooms, in a form that other programs read.

    Writes a line of JSON for each account, room and event, without passwords or tokens, into a new file beside the
    backups. It cannot be restored: for that there is `backup`.
    """
    made = _follow(door, output, ask(door, "POST", f"{ADMIN_API}/exports"))
    output.say(f"Wrote {made['path']}: {made['of_rows']} lines, {size_of(made['size_bytes'])}.", made)


@click.command(short_help="list the backups and exports")
@at_door
def backups(door: AdminDoor, output: Output) -> None:
    """List the backups and exports in the folder of `backups.folder`, the newest first."""
    found = ask(door, "GET", BACKUPS)
    output.tell(COLUMNS, (_row(found["folder"], each) for each in found["backups"]))


@click.command("check-backup", short_help="look whether a backup is whole, and whose it is")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--configuration", is_flag=True, help="Print the configuration that was in use, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def check(file: Path, *, configuration: bool, as_json: bool) -> None:
    """Read all of a backup, and say whose it is and of when. No server is needed for that."""
    output = Output(as_json=as_json)
    header, outside = _read(file)
    with output.progress("Reading the backup") as show:
        _run(check_backup(file), show)
    if not configuration:
        output.say(_described(file, header, outside), _told(header, outside))
    elif outside.configuration is None:
        raise CommandFailed(f"{file} holds no configuration")
    else:
        print(outside.configuration, end="", flush=True)


@click.command(short_help="put a backup back on an empty computer")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Look whether it could be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@takes_configuration
def restore(file: Path, *, dry_run: bool, as_json: bool, config: Path | None) -> None:
    """Put a backup back, where no server runs and no database is yet.

    The configuration says where to: it may name another kind of database than the server had. All of the backup is read
    and checked first. Nothing that is there is replaced. Start the server afterwards, and never the old one again.
    """
    output = Output(as_json=as_json)
    settings = read_settings(configuration_file(config))
    header, outside = _read(file)
    _expect_the_same_server(file, header, settings)
    writes_key = _expect_the_same_key(file, header, outside, settings.signing_key_file)
    try:
        folder = DataFolder.hold(settings.data_dir, "homeserver admin server restore")
    except DataFolderProblem as problem:
        raise CommandFailed(f"{problem.reason}: stop the server first") from problem
    try:
        with output.progress("Restoring") as show:
            _run(check_backup(file), show)
            if not dry_run:
                if writes_key and outside.signing_key is not None:
                    # First: where it is there already, and the same, all this can be done once more.
                    _write_key(settings.signing_key_file, outside.signing_key)
                _run(_restore(file, settings), show)
    finally:
        folder.release()
    told = _told(header, outside)
    if dry_run:
        output.say(f"{_described(file, header, outside)}\nIt could be restored. Nothing was changed.", told)
        return
    lines = [f"Restored {header.rows} rows of {header.server_name}, as of {time_of(header.made_ms)}."]
    if not settings.signing_key_file.exists():
        lines.append(f"Warning: the signing key was not in it. Put your copy at {settings.signing_key_file} first.")
    lines += [
        "Start the server, and look whether all is sound:",
        f"  homeserver admin room verify --all{'' if config is None else f' -c {config}'}",
    ]
    output.say("\n".join(lines), told)


def size_of(count: int) -> str:
    """A number of bytes, for people."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


# Any: the server's JSON, here and below
def _follow(door: AdminDoor, output: Output, making: Any) -> Any:
    """The server's last word on a file that it makes. Raises CommandFailed if nothing came of it."""
    with output.progress(f"Making {making['name']}") as show:
        while not making["finished"]:
            show(_how_far(Progress(making["stage"], making["rows"], making["of_rows"])))
            making = ask(door, "GET", f"{BACKUPS}/{making['name']}")
    if making["failure"] is not None:
        raise CommandFailed(f"{making['name']} was not made: {making['failure']}")
    return making


def _row(folder: str, found: Any) -> Row:
    made, size = time_of(found["made_ts"]), size_of(found["size_bytes"])
    return Row(found, f"{folder}/{found['name']}: {made}, {size}", (found["name"], made, size))


def _how_far(progress: Progress) -> str:
    return f"{progress.stage}, {progress.rows} of {progress.of} rows" if progress.of else progress.stage


def _run(steps: Iterator[Progress], show: Any) -> None:  # Any: what Output.progress gives
    """Do something step by step. Raises CommandFailed."""
    try:
        for progress in steps:
            show(_how_far(progress))
    except (BadArchive, NotFilled, DatabaseRefused) as wrong:
        raise CommandFailed(wrong.reason) from wrong
    except OSError as problem:
        raise CommandFailed(str(problem)) from problem


def _read(file: Path) -> tuple[Header, Outside]:
    try:
        return read_header(file)
    except BadArchive as wrong:
        raise CommandFailed(wrong.reason) from wrong
    except OSError as problem:
        raise CommandFailed(f"{file} cannot be read: {problem.strerror}") from problem


def _restore(file: Path, settings: Settings) -> Iterator[Progress]:
    return restore_backup(file, lambda revisions: fill_database(settings.database, settings.data_dir, revisions))


def _expect_the_same_server(file: Path, header: Header, settings: Settings) -> None:
    if header.server_name != settings.server_name:
        raise CommandFailed(
            f"{file} is of {printable(header.server_name)}, and the configuration is for {settings.server_name}: a "
            "server's name cannot be changed"
        )
    # By the clock the server knows positions that it gave since: it goes on behind them.
    if time.time_ns() // 1_000_000 < header.made_ms:
        raise CommandFailed(
            f"{file} was made at {time_of(header.made_ms)}, which is to come: put the clock right first"
        )


def _expect_the_same_key(file: Path, header: Header, outside: Outside, path: Path) -> bool:
    """Whether the backup's key is to be written: not where the same is. Raises CommandFailed where another one is."""
    if not path.exists():
        return outside.signing_key is not None
    try:
        key = SigningKey.from_line(path.read_text("ascii")).verify_key
    except (OSError, UnicodeDecodeError, BadKey) as wrong:
        raise CommandFailed(f"the signing key in {path} cannot be read: {wrong}") from wrong
    if (key.key_id, key.to_base64()) != (header.key_id, header.public_key):
        raise CommandFailed(
            f"{path} is another key than that of {file}, {printable(header.key_id)}: put it aside, or other servers do "
            "not know yours any more"
        )
    return False


def _write_key(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_secret_file(path, text)
    except OSError as problem:
        raise CommandFailed(f"the signing key {path} cannot be written: {os.strerror(problem.errno or 0)}") from problem


def _told(header: Header, outside: Outside) -> dict[str, object]:
    return {
        "server_name": header.server_name,
        "made_ts": header.made_ms,
        "columba": header.columba,
        "database": header.database,
        "rows": header.rows,
        "key_id": header.key_id,
        "has_signing_key": outside.signing_key is not None,
        "has_configuration": outside.configuration is not None,
    }


def _described(file: Path, header: Header, outside: Outside) -> str:
    name, columba, kind = (printable(text) for text in (header.server_name, header.columba, header.database))
    key = f"with the key {header.key_id}" if outside.signing_key is not None else "WITHOUT the signing key"
    return (
        f"{file} is whole: {name} as of {time_of(header.made_ms)}, {header.rows} rows, {printable(key)}; "
        f"made by Columba {columba} on {kind}."
    )
