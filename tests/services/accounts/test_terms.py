"""Policy documents that are to be accepted."""

import pytest

from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.registration import Registration, RegistrationPolicy
from homeserver.services.accounts.registration_tokens import TokenLimits
from homeserver.services.accounts.terms import PolicyDocument, params_of, versions_of
from homeserver.services.errors import UserInteractionRequired
from homeserver.storage.accepted_terms import accepted_terms_of
from homeserver.storage.accounts import find_account
from tests.services.accounts.people import PASSWORD
from tests.services.world import ALICE, World, now

TERMS = (
    PolicyDocument("terms_of_service", "1.2", "en", "Terms of Service", "https://example.org/terms-en"),
    PolicyDocument("terms_of_service", "1.2", "fr", "Conditions d'utilisation", "https://example.org/terms-fr"),
    PolicyDocument("privacy_policy", "3", "en", "Privacy Policy", "https://example.org/privacy"),
)
WISH = RegistrationWish("alice", PASSWORD, None)


def attempt(session: str | None, **shown: str) -> Attempt:
    return Attempt("POST /register", b"", None if session is None else {"session": session, **shown})


def refused(registration: Registration, tried: Attempt) -> UserInteractionRequired:
    with pytest.raises(UserInteractionRequired) as required:
        now(registration.register(WISH, tried))
    return required.value


def test_clients_are_told_of_each_policy_in_its_languages() -> None:
    assert params_of(TERMS) == {
        "policies": {
            "terms_of_service": {
                "version": "1.2",
                "en": {"name": "Terms of Service", "url": "https://example.org/terms-en"},
                "fr": {"name": "Conditions d'utilisation", "url": "https://example.org/terms-fr"},
            },
            "privacy_policy": {
                "version": "3",
                "en": {"name": "Privacy Policy", "url": "https://example.org/privacy"},
            },
        }
    }
    assert versions_of(TERMS) == {"terms_of_service": "1.2", "privacy_policy": "3"}


def test_nobody_registers_without_accepting_and_what_was_accepted_is_kept(world: World) -> None:
    registration = world.open_registration(RegistrationPolicy(is_open=True, needs_token=False, terms=TERMS))

    asked = refused(registration, attempt(None))
    by_another_stage = refused(registration, attempt(asked.session, type="m.login.dummy"))
    assert world.sync_database.read(find_account, ALICE) is None
    now(registration.register(WISH, attempt(asked.session, type="m.login.terms")))

    assert asked.flows == [["m.login.terms"]]
    assert asked.params == by_another_stage.params == {"m.login.terms": params_of(TERMS)}
    assert world.sync_database.read(accepted_terms_of, ALICE) == {"terms_of_service": "1.2", "privacy_policy": "3"}


def test_a_registration_token_is_asked_for_as_well(world: World) -> None:
    registration = world.open_registration(RegistrationPolicy(is_open=True, needs_token=True, terms=TERMS))
    token = now(world.registration_tokens.create(None, None, TokenLimits(1, None))).token
    asked = refused(registration, attempt(None))

    accepted = refused(registration, attempt(asked.session, type="m.login.terms"))
    now(registration.register(WISH, attempt(asked.session, type="m.login.registration_token", token=token)))

    assert asked.flows == [["m.login.registration_token", "m.login.terms"]]
    assert accepted.completed == ("m.login.terms",)
    assert world.sync_database.read(accepted_terms_of, ALICE) != {}


def test_an_account_that_was_not_made_accepted_nothing(world: World) -> None:
    registration = world.open_registration(RegistrationPolicy(is_open=True, needs_token=False, terms=TERMS))
    now(world.registration.register_by_administrator("alice", PASSWORD, is_admin=False))

    with pytest.raises(Exception, match="taken"):
        now(registration.register(WISH, attempt(None, type="m.login.terms")))

    assert world.sync_database.read(accepted_terms_of, ALICE) == {}
