"""What encryption costs: to publish the keys of a device, to ask for those of many, to send to many devices."""

from typing import Any, Final

from tests.bench.measures import Arena, Figure, Samples
from tests.services.e2ee.signed_keys import device_keys, one_time_key
from tests.users import User

ALGORITHM: Final = "signed_curve25519"
CIPHERTEXT: Final = "A" * 400


async def keys(arena: Arena) -> list[Figure]:
    """Keys of many devices: uploaded by each, queried and claimed by one, who then sends to all of them."""
    counts = arena.counts
    asker, *owners = await arena.people(counts.devices + 1)
    await arena.room(asker, *owners)
    upload, query, claim, to_device = (Samples(arena.contestant) for _ in range(4))
    for user in owners:
        await upload.time(user.call("POST", "keys", "upload", body=_published(user, counts.one_time_keys)))
    wanted = {user.user_id: {user.device_id: ALGORITHM} for user in owners}
    queried: Any = {}
    claimed: Any = {}
    for number in range(min(counts.repetitions, counts.one_time_keys)):
        asked: dict[str, Any] = {"device_keys": {user.user_id: [] for user in owners}}
        queried = await query.time(asker.call("POST", "keys", "query", body=asked))
        claimed = await claim.time(asker.call("POST", "keys", "claim", body={"one_time_keys": wanted}))
        path = ("sendToDevice", "m.room.encrypted", f"to all {number}")
        await to_device.time(asker.call("PUT", *path, body={"messages": _messages(owners)}))
    assert all(queried["device_keys"][user.user_id] for user in owners), "keys are lacking"
    assert all(claimed["one_time_keys"][user.user_id] for user in owners), "one-time keys are lacking"
    return [
        upload.figure(f"upload keys of a device, {counts.one_time_keys} for one time"),
        query.figure(f"query keys of {counts.devices} users"),
        claim.figure(f"claim keys of {counts.devices} devices"),
        to_device.figure(f"to-device to {counts.devices} devices"),
    ]


# Any: JSON.
def _published(user: User, count: int) -> dict[str, Any]:
    one_time = {
        f"{ALGORITHM}:AAAA{number:02}": one_time_key(user.user_id, f"public {number}", user.device_id)
        for number in range(count)
    }
    fallback = {f"{ALGORITHM}:FALL": {**one_time_key(user.user_id, "fallback", user.device_id), "fallback": True}}
    return {
        "device_keys": device_keys(user.user_id, user.device_id),
        "one_time_keys": one_time,
        "fallback_keys": fallback,
    }


def _messages(users: list[User]) -> dict[str, Any]:
    return {
        user.user_id: {
            user.device_id: {
                "algorithm": "m.olm.v1.curve25519-aes-sha2",
                "sender_key": "a key in base64",
                "ciphertext": {user.user_id: {"type": 0, "body": CIPHERTEXT}},
            }
        }
        for user in users
    }
