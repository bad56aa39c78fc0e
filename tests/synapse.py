"""Synapse, another homeserver, in a virtual environment and a folder of its own: to be measured or spoken with.

Its settings are those that `generate_config` writes but for what is in `settings_of`.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.environments import NotInstalled, environment_with
from tests.server import Port

REQUIREMENT: Final = "matrix-synapse>=1.163,<1.164"
STOP_S: Final = 20.0
UNLIMITED: Final[Mapping[str, float]] = {"per_second": 1_000_000.0, "burst_count": 1_000_000}


class SynapseMissing(Exception):  # noqa: N818 - a fact about this machine
    """Synapse could not be installed; why is in the message."""


def synapse_python() -> Path:
    """The interpreter of a virtual environment with Synapse, which is made at first use. Raises SynapseMissing."""
    try:
        return environment_with("synapse", REQUIREMENT) / "python"
    except NotInstalled as problem:
        raise SynapseMissing(str(problem)) from problem


@dataclass
class Synapse:
    """A Synapse with a folder of its own, on SQLite: started, stopped and started again on the same data and port."""

    python: Path
    folder: Path
    port: Port
    settings: dict[str, Any]  # Any: YAML
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What all runs wrote, to their log and to their standard error."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*log")) if path.is_file()
        )

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        assert self.process is None, "it runs already"
        configuration = self.folder / "homeserver.yaml"
        configuration.write_text(yaml.safe_dump(self.settings))
        if not (self.folder / "signing.key").exists():
            subprocess.run(
                [self.python, "-m", "synapse.app.homeserver", "-c", configuration, "--generate-keys"],
                cwd=self.folder,
                env=_environment(),
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        with (self.folder / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "synapse.app.homeserver", "-c", configuration],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it as a supervisor does."""
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop it, if it runs, and delete all that it had."""
        with contextlib.suppress(ProcessLookupError):
            if self.process is not None:
                self.stop()
        self.port.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# Any: YAML, throughout.
def new_synapse(python: Path, *, shared_secret: str, settings: Mapping[str, Any] | None = None) -> Synapse:
    """A Synapse that does not run yet. `settings` go over those of `settings_of`, top-level key by key."""
    port = Port()
    folder = Path(tempfile.mkdtemp(prefix="columba-synapse-"))
    (folder / "log.yaml").write_text(yaml.safe_dump(_log_settings(folder)))
    return Synapse(python, folder, port, {**settings_of(folder, port.number, shared_secret), **(settings or {})})


def settings_of(folder: Path, port: int, shared_secret: str) -> dict[str, Any]:
    """Synapse's settings for loads and tests: SQLite, one plain listener, warnings only, no limits, cheap passwords."""
    return {
        "server_name": f"127.0.0.1:{port}",
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "pid_file": str(folder / "homeserver.pid"),
        "listeners": [
            {
                "port": port,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "tls": False,
                "resources": [{"names": ["client", "federation"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "log_config": str(folder / "log.yaml"),
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": shared_secret,
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "report_stats": False,
        "trusted_key_servers": [],
        "bcrypt_rounds": 4,
        "rc_message": UNLIMITED,
        "rc_registration": UNLIMITED,
        "rc_room_creation": UNLIMITED,
        "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
        "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
        "rc_joins_per_room": UNLIMITED,
        "rc_invites": {"per_room": UNLIMITED, "per_user": UNLIMITED, "per_issuer": UNLIMITED},
    }


def _log_settings(folder: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "formatter": "plain", "filename": str(folder / "synapse.log")}
        },
        "root": {"level": "WARNING", "handlers": ["file"]},
    }


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
