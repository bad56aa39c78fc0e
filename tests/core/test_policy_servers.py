"""What an m.room.policy event names, and what its server recommends."""

from typing import Any

import pytest

from homeserver.core.event import view_event
from homeserver.core.policy_servers import PolicyServer, is_recommended, read_policy
from homeserver.core.signing import SigningKey, sign_event
from tests.forked_rooms import ALICE, TWO
from tests.scenes import Scene

KEY = SigningKey("policy_server", bytes([5]) * 32)
PUBLIC = KEY.verify_key.to_base64()
POLICY = PolicyServer(TWO, KEY.verify_key)


def test_a_policy_is_read() -> None:
    assert read_policy({"via": TWO, "public_keys": {"ed25519": PUBLIC}}) == POLICY
    assert read_policy({"via": TWO, "public_keys": {"ed25519": "no key"}}) == PolicyServer(TWO, None)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"via": TWO},
        {"via": 5, "public_keys": {"ed25519": PUBLIC}},
        {"via": "no server", "public_keys": {"ed25519": PUBLIC}},
        {"via": TWO, "public_keys": PUBLIC},
        {"via": TWO, "public_keys": {"ed25519": 5}},
    ],
)
def test_what_is_no_policy_names_nobody(content: Any) -> None:
    assert read_policy(content) is None


def test_what_the_server_has_signed_is_recommended() -> None:
    scene = Scene()
    event = scene.say(ALICE, after=[scene.last])
    pdu = sign_event(event.pdu, event.version, TWO, KEY)
    signed = view_event(pdu, event.version, event_id=event.event_id)

    assert is_recommended(signed, POLICY)
    assert not is_recommended(event, POLICY)
    assert not is_recommended(signed, PolicyServer(TWO, None))
    assert not is_recommended(signed, PolicyServer(TWO, SigningKey("policy_server", bytes(32)).verify_key))


def test_the_policy_itself_needs_no_recommendation_and_what_only_looks_like_it_does() -> None:
    scene = Scene()
    itself = scene.send(ALICE, "m.room.policy", {}, after=[scene.last])
    other = scene.send(ALICE, "m.room.policy", {}, "other", after=[scene.last])
    message = scene.send(ALICE, "m.room.policy", {}, None, after=[scene.last])

    assert [is_recommended(event, POLICY) for event in (itself, other, message)] == [True, False, False]
