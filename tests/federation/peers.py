"""Homeservers that speak with each other, as processes on the loopback interface: Columba, and Synapse.

Each has two ports: one with TLS, after which it is named, for other servers, and one without for its own users. The
first is called localhost and the second 127.0.0.1: an access control list looks at names without their ports.
"""

import os
import secrets
import signal
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.contestants import Contestant
from tests.federation.people import Person
from tests.server import Port, new_server
from tests.synapse import UNLIMITED, new_synapse, synapse_python
from tests.tls import CertificateAuthority
from tests.users import register, register_with_secret

HOSTS: Final = ("localhost", "127.0.0.1")
COLUMBA: Final = "columba"
SYNAPSE: Final = "synapse"


@dataclass
class Peer:
    """A homeserver that others can reach."""

    kind: str  # COLUMBA or SYNAPSE
    contestant: Contestant
    host: str  # one of HOSTS
    federation_port: Port
    is_paused: bool = False
    _people: list[Person] = field(default_factory=list)

    @property
    def server_name(self) -> str:
        """Its name, and where other servers reach it."""
        return f"{self.host}:{self.federation_port.number}"

    @property
    def url(self) -> str:
        """Where its own users reach it; without a slash at its end."""
        return f"http://127.0.0.1:{self.contestant.port}"

    async def start(self) -> None:
        """Start it, or start it again on the same data, and wait until it answers. Raises DidNotStart."""
        await self.contestant.start()

    def stop(self) -> None:
        """End it as a supervisor does; its data is kept."""
        self.contestant.stop()

    def pause(self) -> None:
        """Let it do nothing, not even hang up, as a machine that has lost its network or its breath."""
        os.killpg(self.contestant.pid, signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let it go on."""
        os.killpg(self.contestant.pid, signal.SIGCONT)
        self.is_paused = False

    async def recover(self) -> None:
        """Have it go on if it was paused and run if it was stopped, by a test that did not come to its end."""
        if self.is_paused:
            self.resume()
        if self.contestant.server.process is None:
            await self.start()

    def close(self) -> None:
        """End it and delete what it has."""
        if self.is_paused:
            self.resume()
        self.contestant.close()
        self.federation_port.close()

    async def person(self, name: str) -> Person:
        """A new user of this server. No two have the same name, whatever the tests before called theirs."""
        person = Person(await register(self.contestant.port, f"{name}-{secrets.token_hex(4)}"))
        await person.look()
        return person

    async def administrator(self) -> Person:
        """A new user who looks after this server."""
        assert self.contestant.secret is not None
        name = f"root-{secrets.token_hex(4)}"
        return Person(await register_with_secret(self.contestant.port, name, self.contestant.secret, is_admin=True))


def columba(authority: CertificateAuthority, host: str) -> Peer:
    """This project's server, not running yet. It soon tries again what did not answer."""
    port = Port()
    certificate = authority.issue(host)
    server = new_server(server_name=f"{host}:{port.number}")
    server.settings["listeners"] = [
        {"bind": "127.0.0.1", "port": server.port.number, "serve": ["client", "media", "admin"]},
        {
            "bind": "127.0.0.1",
            "port": port.number,
            "serve": ["client", "federation", "media"],
            "tls": {"certificate": str(certificate.certificate), "private_key": str(certificate.private_key)},
        },
    ]
    server.settings["federation"] = {
        "ca_file": str(authority.file),
        "allow_private_addresses": True,
        "retry": {"first_s": 0.2, "factor": 2, "max_s": 2},
    }
    secret = secrets.token_hex(16)
    server.settings["registration"] = {**server.settings["registration"], "shared_secret": secret}
    return Peer(COLUMBA, Contestant(COLUMBA, server, secret), host, port)


def synapse(authority: CertificateAuthority, host: str) -> Peer:
    """Synapse, not running yet. It soon tries again what did not answer. Raises SynapseMissing."""
    python = synapse_python()
    port = Port()
    certificate = authority.issue(host)
    # Any: YAML.
    settings: dict[str, Any] = {
        "server_name": f"{host}:{port.number}",
        "tls_certificate_path": str(certificate.certificate),
        "tls_private_key_path": str(certificate.private_key),
        "federation_custom_ca_list": [str(authority.file)],
        "ip_range_blacklist": [],
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "allow_public_rooms_over_federation": True,
        "allow_public_rooms_without_auth": True,
        "room_list_publication_rules": [{"action": "allow"}],
        "rc_federation": {"window_size": 1000, "sleep_limit": 100_000, "reject_limit": 100_000, "concurrent": 100},
        "rc_key_requests": UNLIMITED,
        "rc_room_creation": UNLIMITED,
        "rc_presence": {"per_user": UNLIMITED},
        "rc_delayed_event_mgmt": UNLIMITED,
        "federation": {
            "client_timeout": "20s",
            "max_short_retries": 1,
            "max_short_retry_delay": "1s",
            "max_long_retries": 2,
            "max_long_retry_delay": "1s",
            "destination_min_retry_interval": 500,
            "destination_retry_multiplier": 1,
            "destination_max_retry_interval": "2s",
        },
    }
    secret = secrets.token_hex(16)
    server = new_synapse(python, shared_secret=secret, settings=settings)
    (plain,) = server.settings["listeners"]
    server.settings["listeners"] = [plain, {**plain, "port": port.number, "tls": True}]
    return Peer(SYNAPSE, Contestant(SYNAPSE, server, secret), host, port)


KINDS: Final = {COLUMBA: columba, SYNAPSE: synapse}
