"""All services of one server, lowest floor first."""

from dataclasses import dataclass

from homeserver.assembly.accounts import Accounts, make_accounts
from homeserver.assembly.administration import Administration, make_administration
from homeserver.assembly.encryption import Encryption, make_encryption
from homeserver.assembly.events import Events, make_events
from homeserver.assembly.federation import Federation, make_federation
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing, make_outgoing
from homeserver.assembly.policies import Policies, make_policies
from homeserver.assembly.rooms import Rooms, make_rooms
from homeserver.assembly.syncing import Syncing, make_syncing


@dataclass(frozen=True, slots=True)
class Parts:
    """What was made, by the floor that it stands on."""

    outgoing: Outgoing
    events: Events
    encryption: Encryption
    rooms: Rooms
    accounts: Accounts
    syncing: Syncing
    federation: Federation
    administration: Administration
    policies: Policies


def make_parts(made: Mechanics) -> Parts:
    """Each floor is given those below it."""
    outgoing = make_outgoing(made)
    events = make_events(made, outgoing)
    encryption = make_encryption(made, outgoing, events)
    rooms = make_rooms(made, outgoing, events)
    accounts = make_accounts(made, outgoing, events, encryption, rooms)
    syncing = make_syncing(made, events, encryption, rooms)
    federation = make_federation(made, outgoing, events, encryption, rooms)
    administration = make_administration(made, events, rooms, accounts, federation)
    policies = make_policies(made, outgoing, events, rooms)
    return Parts(outgoing, events, encryption, rooms, accounts, syncing, federation, administration, policies)
