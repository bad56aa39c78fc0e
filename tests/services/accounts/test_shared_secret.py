"""Registration by the shared secret."""

from dataclasses import replace

import pytest

from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.accounts.shared_secret import SecretWish, SharedSecretRegistration, proof
from homeserver.services.errors import Forbidden, InvalidParameter, ServiceError, UserInUse
from homeserver.storage.accounts import find_account
from tests.services.accounts.people import register
from tests.services.world import ALICE, World, now

SECRET = "s3cret"


@pytest.fixture
def by_secret(world: World) -> SharedSecretRegistration:
    """Registration for those who know the secret."""
    return SharedSecretRegistration(world.registration, world.clock, world.randomness, SECRET)


def signed(nonce: str, secret: str = SECRET, *, is_admin: bool = False, user_type: str | None = None) -> SecretWish:
    unsigned = SecretWish(nonce, "alice", "wonderland", "", is_admin=is_admin, user_type=user_type, device=DeviceWish())
    return replace(unsigned, mac=proof(secret, unsigned))


def test_the_proof_is_the_one_that_tools_for_synapse_make() -> None:
    # As OpenSSL computes them: printf 'thisisanonce\\0pepper_roni\\0pizza\\0admin' | openssl dgst -sha1 -hmac …
    admin = SecretWish("thisisanonce", "pepper_roni", "pizza", "", is_admin=True)
    bot = SecretWish("thisisanonce", "pepper_roni", "pizza", "", user_type="bot")

    assert proof("shared_secret", admin) == "48715842ad67d5dc9a9ee938a3bda4fcfae8d7c7"
    assert proof("shared_secret", bot) == "b269635cb53e1adc15073ae7ffbd000b836b3105"


@pytest.mark.parametrize("is_admin", [True, False])
@pytest.mark.parametrize("user_type", [None, "bot"])
def test_who_knows_the_secret_makes_an_account(
    world: World, by_secret: SharedSecretRegistration, is_admin: bool, user_type: str | None
) -> None:
    registered = now(by_secret.register(signed(by_secret.new_nonce(), is_admin=is_admin, user_type=user_type)))

    account = world.sync_database.read(find_account, ALICE)
    assert registered.session is not None
    assert account is not None
    assert account.is_admin == is_admin


def test_a_nonce_counts_once_even_for_a_wrong_proof(by_secret: SharedSecretRegistration) -> None:
    nonce = by_secret.new_nonce()
    with pytest.raises(Forbidden):
        now(by_secret.register(signed(nonce, "guessed")))

    with pytest.raises(ServiceError):
        now(by_secret.register(signed(nonce)))


def test_a_nonce_does_not_last(world: World, by_secret: SharedSecretRegistration) -> None:
    nonce = by_secret.new_nonce()

    world.clock.advance(60)

    with pytest.raises(ServiceError):
        now(by_secret.register(signed(nonce)))


def test_a_proof_for_a_user_makes_no_administrator(by_secret: SharedSecretRegistration) -> None:
    wish = signed(by_secret.new_nonce())

    with pytest.raises(Forbidden):
        now(by_secret.register(replace(wish, is_admin=True)))


@pytest.mark.parametrize("mac", ["", "é", "0" * 40])
def test_a_wrong_proof_is_refused(by_secret: SharedSecretRegistration, mac: str) -> None:
    wish = signed(by_secret.new_nonce())

    with pytest.raises(Forbidden):
        now(by_secret.register(replace(wish, mac=mac)))


def test_nul_cannot_move_the_borders_of_what_is_proven(by_secret: SharedSecretRegistration) -> None:
    unsigned = SecretWish(by_secret.new_nonce(), "alice\0wonderland", "", "")

    with pytest.raises(InvalidParameter):
        now(by_secret.register(replace(unsigned, mac=proof(SECRET, unsigned))))


def test_a_display_name_is_bounded_as_in_profiles(by_secret: SharedSecretRegistration) -> None:
    wish = replace(signed(by_secret.new_nonce()), display_name="n" * 300)

    with pytest.raises(InvalidParameter):
        now(by_secret.register(wish))


def test_a_name_that_is_taken_stays_taken(world: World, by_secret: SharedSecretRegistration) -> None:
    register(world, "alice")

    with pytest.raises(UserInUse):
        now(by_secret.register(signed(by_secret.new_nonce())))


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nobody_registers_so(world: World, secret: str | None) -> None:
    off = SharedSecretRegistration(world.registration, world.clock, world.randomness, secret)

    with pytest.raises(ServiceError):
        off.new_nonce()
    with pytest.raises(ServiceError):
        now(off.register(signed("nonce", "")))
