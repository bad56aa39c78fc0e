"""Keys of an algorithm that neither of two servers knows: claimed from one by way of the other, as they came."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from tests.api.test_future_keys import ML_KEM, prekey, secret_for
from tests.federation.apart.islands import Islands
from tests.federation.people import Person
from tests.federation.scenes import people
from tests.services.e2ee.signed_keys import device_keys

pytestmark = pytest.mark.large


async def test_post_quantum_prekeys_are_claimed_across_servers_as_they_came_each_once(three: Islands) -> None:
    async with three.connected():
        alice, bob = await people(*three.peers[:2])
        owner = alice.user_id, alice.user.device_id
        private = [MLKEM768PrivateKey.generate() for _ in range(3)]
        prekeys = [{f"{ML_KEM}:{name}": prekey(*owner, one)} for name, one in zip("ABF", private, strict=True)]
        body = {
            "device_keys": device_keys(*owner),
            "one_time_keys": {**prekeys[0], **prekeys[1]},
            "fallback_keys": prekeys[2],
        }
        uploaded = await alice.post("keys", "upload", body=body)

        claimed = [await claim(bob, alice) for _ in range(4)]

        queried = await bob.post("keys", "query", body={"device_keys": {alice.user_id: []}})
        told = await alice.get("sync", query={"timeout": 0})
        assert uploaded["one_time_key_counts"][ML_KEM] == 2
        assert claimed == [*prekeys, prekeys[2]]
        assert ML_KEM not in told["device_one_time_keys_count"]
        assert told["device_unused_fallback_key_types"] == []
        for one, (key,) in zip(private, map(dict.values, claimed), strict=False):
            secret, ciphertext = secret_for(key, queried["device_keys"][alice.user_id][alice.user.device_id])
            assert one.decapsulate(ciphertext) == secret


async def claim(person: Person, owner: Person) -> Any:
    """The key that somebody is given, by its name."""
    body = {"one_time_keys": {owner.user_id: {owner.user.device_id: ML_KEM}}}
    answer: Any = await person.post("keys", "claim", body=body)
    assert not answer["failures"]
    return answer["one_time_keys"][owner.user_id][owner.user.device_id]
