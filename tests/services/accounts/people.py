"""People who register, and what their tokens tell."""

from dataclasses import replace
from typing import Any

from homeserver.core.identifiers import UserID
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.storage.accounts import find_account, update_account
from homeserver.storage.database import Transaction
from tests.services.world import PHONE, World, now

PASSWORD = "wonderland"
DUMMY_SHOWN = Attempt("POST /register", b"", {"type": "m.login.dummy"})


def register(
    world: World, username: str, password: str = PASSWORD, device: DeviceWish = DeviceWish(PHONE)
) -> OpenedSession:
    """A new account, logged in."""
    registered = now(world.registration.register(RegistrationWish(username, password, device), DUMMY_SHOWN))
    assert registered.session is not None
    return registered.session


def whose(world: World, token: str) -> Requester | None:
    """Whose token it is."""
    found = world.tokens.find(token)
    if found is None or isinstance(found, Requester):
        return found
    return now(found)  # type: ignore[arg-type]  # what waits is a coroutine


def change_account(world: World, user_id: UserID, **flags: Any) -> None:
    """Set flags of an account, as an administrator does."""

    def change(tx: Transaction) -> None:
        account = find_account(tx, user_id)
        assert account is not None
        update_account(tx, replace(account, **flags))
        tx.after_commit(lambda: world.tokens.forget_user(user_id))

    world.sync_database.write(change)
