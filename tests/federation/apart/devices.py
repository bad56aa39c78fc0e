"""What servers tell of devices: waiting until somebody is told the truth."""

from tests.federation.people import Person


async def names_of_devices(owner: Person, asking: Person, *wanted: tuple[Person, str | None]) -> None:
    """Wait until somebody is told that these are the devices of the owner, and these their names."""
    by_id = {device.user.device_id: name for device, name in wanted}
    while True:
        asking.changed_devices.discard(owner.user_id)
        answer = await asking.post("keys", "query", body={"device_keys": {owner.user_id: []}})
        found = answer["device_keys"].get(owner.user_id, {})
        if {key: keys.get("unsigned", {}).get("device_display_name") for key, keys in found.items()} == by_id:
            return
        await asking.until(lambda: owner.user_id in asking.changed_devices)
