"""What the doctor looks at."""

from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.services.admin.doctor import Doctor
from homeserver.services.admin.own_address import Address, OwnAddress, host_of
from homeserver.services.admin.own_machine import Files, OwnMachine
from homeserver.services.federation.reachability import Reachability
from homeserver.settings.risks import find_risks
from homeserver.settings.sections import Settings


def make_doctor(made: Mechanics, outgoing: Outgoing, reachability: Reachability) -> Doctor:
    """Whoever looks at the machine comes first: it costs least, and explains the rest."""
    settings = made.settings
    machine = OwnMachine(
        _files(settings),
        tuple(find_risks(settings)),
        made.figures,
        made.database.backend,
        made.in_thread,
        made.clock,
    )
    address = Address(
        host_of(made.server_name), settings.base_url, settings.federation.enabled, settings.calls.turn.uris
    )
    return Doctor((machine, OwnAddress(address, outgoing.well_known, reachability, made.database, made.in_thread)))


def _files(settings: Settings) -> Files:
    listeners = [listener.tls for listener in settings.listeners if listener.tls is not None]
    return Files(
        settings.data_dir,
        (
            settings.data_dir,
            settings.signing_key_file,
            settings.sqlite_file,
            *(tls.private_key for tls in listeners),
        ),
        tuple(tls.certificate for tls in listeners),
        settings.file,
    )
