"""End-to-end encryption, as far as a server sees it."""

from dataclasses import dataclass

from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.key_visibility import KeyVisibility
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys
from homeserver.services.e2ee.remote_user_keys import RemoteUserKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from homeserver.services.e2ee.to_device import ToDevice


@dataclass(frozen=True, slots=True)
class Encryption:
    """Devices, their keys, and messages from device to device."""

    device_lists: DeviceLists
    remote_users: RemoteUsers
    key_visibility: KeyVisibility
    device_keys: DeviceKeys
    cross_signing: CrossSigning
    to_device: ToDevice


def make_encryption(made: Mechanics, outgoing: Outgoing, events: Events) -> Encryption:
    """Devices of this server's users, and those of others as far as they are known."""
    database, clock, server_name, news = made.database, made.clock, made.server_name, events.news
    client = outgoing.federation_client
    device_lists = DeviceLists(database, news, clock)
    remote_users = RemoteUsers(database, device_lists, client, clock, made.randomness, server_name)
    outgoing.destinations.listen(remote_users.note_reachable)
    elsewhere = RemoteUserKeys(database, RemoteDeviceKeys(client, clock), remote_users, server_name)
    visibility = KeyVisibility(database, is_limited=made.settings.limit_key_queries)
    return Encryption(
        device_lists,
        remote_users,
        visibility,
        DeviceKeys(database, device_lists, elsewhere, visibility, news, clock, server_name),
        CrossSigning(database, device_lists, news, clock),
        ToDevice(database, news, clock, server_name, events.shadow_bans),
    )
