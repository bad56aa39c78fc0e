"""Making accounts: by whoever may, with what this server asks for; by application services; by administrators.

Guests are in guest_accounts.py, until they want an account of their own. The tokens that may be asked for are made by
administrators. Spec: client-server-api/#account-registration
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, UserID, is_valid_new_localpart, parse_user_id
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.appservice_names import AppserviceNames
from homeserver.services.accounts.begun_registrations import Begun, BegunRegistrations, RegistrationWish
from homeserver.services.accounts.guest_accounts import GuestAccounts
from homeserver.services.accounts.interactive_auth import (
    DUMMY,
    NO_PARAMS,
    REGISTRATION_TOKEN,
    TERMS,
    Attempt,
    InteractiveAuth,
)
from homeserver.services.accounts.new_accounts import NewAccounts
from homeserver.services.accounts.passwords import Passwords, check_new_password
from homeserver.services.accounts.profiles import LONGEST_DISPLAY_NAME
from homeserver.services.accounts.registration_tokens import is_token
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession, Sessions
from homeserver.services.accounts.terms import PolicyDocument, params_of, versions_of
from homeserver.services.errors import (
    Exclusive,
    Forbidden,
    InvalidParameter,
    InvalidUsername,
    MissingParameter,
    UserInteractionRequired,
    UserInUse,
)
from homeserver.storage.accepted_terms import note_accepted_terms
from homeserver.storage.accounts import Account, AccountKind, find_account, insert_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.profiles import Profile, store_profile
from homeserver.storage.registration_tokens import find_registration_token, use_registration_token
from homeserver.storage.user_directory import note_names

CLOSED: Final = "Registration is disabled on this server"
GENERATED_LENGTH: Final = 12
NO_TERMS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """Who may make an account without an administrator."""

    is_open: bool
    needs_token: bool
    terms: Sequence[PolicyDocument] = ()  # to be accepted
    probation_s: int = 0  # for which those who make their accounts themselves may do less

    @property
    def flow(self) -> list[str]:
        """The stages that have to be passed."""
        asked = [*([REGISTRATION_TOKEN] if self.needs_token else []), *([TERMS] if self.terms else [])]
        return asked or [DUMMY]


@dataclass(frozen=True, slots=True)
class Registered:
    """The account that was made, and its first session."""

    user_id: UserID
    session: OpenedSession | None


class Registration:
    """Makes accounts."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        interactive_auth: InteractiveAuth,
        sessions: Sessions,
        appservices: AppserviceNames,
        guests: GuestAccounts,
        new_accounts: NewAccounts,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
        policy: RegistrationPolicy,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._interactive_auth = interactive_auth
        self._sessions = sessions
        self._appservices = appservices
        self._guests = guests
        self._new_accounts = new_accounts
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._policy = policy
        self._begun = BegunRegistrations(clock)

    async def register(self, wish: RegistrationWish, attempt: Attempt, address: str = "") -> Registered:
        """Make an account for whoever passes the stages that the policy asks for. `address` is where they come from, if
        that is known.

        Who shows the access token of a guest, and wants the guest's name, has the guest's account from then on.
        What the session's first attempt said of the account need not be said again. Who comes again when the account is
        made, with the session and the password, got no answer: they are logged in to it.
        Raises Forbidden, InvalidUsername, UserInUse, Exclusive, WeakPassword, UserInteractionRequired,
        LimitExceeded.
        """
        if not self._policy.is_open:
            raise Forbidden(CLOSED)
        begun = self._begun.find(attempt)
        if begun is not None and begun.user_id is not None:
            again = await self._repeat(begun, begun.user_id, wish)
            if again is not None:
                return again
            begun = None  # that session is over, as is one that nobody knows
        if begun is not None and begun.wish is not None and wish.says_nothing:
            wish = begun.wish
        user_id = self._wanted_user_id(wish.username)
        if wish.guest_access_token is None:
            await self._check_free(user_id, appservice_id=None)
        else:
            await self._guests.check_is_guest(wish.guest_access_token, user_id)
        if wish.password is not None:
            check_new_password(wish.password)
        terms = self._policy.terms
        stages = {DUMMY: _pass, REGISTRATION_TOKEN: self._show_token, TERMS: _pass}
        params = {TERMS: params_of(terms)} if terms else NO_PARAMS
        try:
            passed = await self._interactive_auth.pass_stages(attempt, [self._policy.flow], stages, None, params)
        except UserInteractionRequired as required:
            self._begun.note(required.session, wish)
            raise
        if wish.password is None:
            raise MissingParameter("An account needs a password")
        if wish.guest_access_token is None:
            await self._new_accounts.admit(user_id, address)
        token = passed.get(REGISTRATION_TOKEN)
        account = Account(
            user_id,
            AccountKind.USER,
            self._clock.now_ms(),
            password_hash=await self._passwords.hash_new(wish.password),
            probation_until_ms=self._probation_until_ms(),
        )
        made = await self._database.write(
            self._create,
            account,
            wish.device,
            token=token if isinstance(token, str) else None,
            is_upgrade=wish.guest_access_token is not None,
            terms=versions_of(terms),
        )
        if begun is not None:
            self._begun.note_made(begun, user_id, None if made.session is None else made.session.device_id)
        return made

    async def _repeat(self, begun: Begun, user_id: UserID, wish: RegistrationWish) -> Registered | None:
        """Log in to the account that was made; None if another is wished, or the password is not its."""
        if wish.password is None or (wish.username is not None and self._wanted_user_id(wish.username) != user_id):
            return None
        account = await self._database.read(find_account, user_id)
        usable = account is not None and not account.is_deactivated and not account.is_locked
        password_hash = account.password_hash if account is not None and usable else None
        if not await self._passwords.is_correct(password_hash, wish.password):
            return None
        if wish.device is None:
            return Registered(user_id, None)
        # Nobody has the tokens that got lost: the device gets others.
        device = replace(wish.device, device_id=wish.device.device_id or begun.device_id)
        return Registered(user_id, await self._database.write(self._sessions.open, user_id, device))

    async def register_for_appservice(self, requester: Requester, wish: RegistrationWish) -> Registered:
        """Make an account in the namespace of an application service. Raises Exclusive, UserInUse, InvalidUsername."""
        appservice_id = requester.appservice_id
        if appservice_id is None:
            raise Forbidden("Only an application service can register in this way")
        if wish.username is None:
            raise MissingParameter("An application service says which user it registers")
        user_id = self._wanted_user_id(wish.username)
        if not self._appservices.may_speak_for(appservice_id, user_id):
            raise Exclusive("This user ID is not in the application service's namespace")
        await self._check_free(user_id, appservice_id=appservice_id)
        account = Account(user_id, AccountKind.APPSERVICE, self._clock.now_ms(), appservice_id=appservice_id)
        return await self._database.write(self._create, account, wish.device, token=None)

    async def register_by_administrator(
        self,
        username: str,
        password: str | None,
        *,
        is_admin: bool,
        device: DeviceWish | None = None,
        display_name: str | None = None,
    ) -> Registered:
        """Make an account, whether registration is open or not; without a password nobody logs in to it yet.

        Raises InvalidUsername, UserInUse, WeakPassword, InvalidParameter.
        """
        user_id = self._wanted_user_id(username)
        if display_name is not None and len(display_name) > LONGEST_DISPLAY_NAME:
            raise InvalidParameter(f"A display name has at most {LONGEST_DISPLAY_NAME} characters")
        await self._check_free(user_id, appservice_id=None)
        account = Account(
            user_id,
            AccountKind.USER,
            self._clock.now_ms(),
            password_hash=None if password is None else await self._passwords.hash_new(password),
            is_admin=is_admin,
        )
        return await self._database.write(self._create, account, device, token=None, display_name=display_name)

    async def check_available(self, username: str) -> None:
        """Raise UserInUse, InvalidUsername or Exclusive for a name that is not to be had, Forbidden when none is."""
        if not self._policy.is_open:
            raise Forbidden(CLOSED)
        await self._check_free(self._wanted_user_id(username), appservice_id=None)

    async def check_free(self, username: str) -> None:
        """As check_available, whether registration is open or not."""
        await self._check_free(self._wanted_user_id(username), appservice_id=None)

    async def is_token_valid(self, token: str) -> bool:
        """True if an account can be made with this token. Raises Forbidden when none can be made at all."""
        if not self._policy.is_open:
            raise Forbidden(CLOSED)
        found = await self._database.read(find_registration_token, token) if is_token(token) else None
        return found is not None and found.is_valid(self._clock.now_ms())

    def _probation_until_ms(self) -> int | None:
        seconds = self._policy.probation_s
        return self._clock.now_ms() + seconds * 1000 if seconds else None

    def _wanted_user_id(self, username: str | None) -> UserID:
        localpart = self._randomness.opaque_id("", GENERATED_LENGTH) if username is None else username
        localpart = localpart.lower()
        if not is_valid_new_localpart(localpart):
            raise InvalidUsername("A user name consists of the letters a-z, digits, and . _ = - / +")
        try:
            return parse_user_id(f"@{localpart}:{self._server_name}")
        except BadIdentifier as bad:
            raise InvalidUsername("The user name is too long") from bad

    async def _check_free(self, user_id: UserID, *, appservice_id: str | None) -> None:
        if self._appservices.is_reserved(user_id, besides=appservice_id):
            raise Exclusive
        if await self._database.read(find_account, user_id) is not None:
            raise UserInUse

    async def _show_token(self, shown: Mapping[str, Any]) -> object:
        token = shown.get("token")
        if not isinstance(token, str):
            raise MissingParameter("The registration token is missing")
        if not await self.is_token_valid(token):
            raise Forbidden("The registration token is not valid")
        return token

    def _create(
        self,
        tx: Transaction,
        account: Account,
        device: DeviceWish | None,
        *,
        token: str | None,
        display_name: str | None = None,
        is_upgrade: bool = False,
        terms: Mapping[str, str] = NO_TERMS,
    ) -> Registered:
        note_accepted_terms(tx, account.user_id, terms, now_ms=self._clock.now_ms())
        if token is not None and not use_registration_token(tx, token, now_ms=self._clock.now_ms()):
            raise Forbidden("The registration token is not valid any more")
        if is_upgrade:
            self._guests.upgrade(tx, account)
            session = None if device is None else self._sessions.open(tx, account.user_id, device)
            return Registered(account.user_id, session)
        if not insert_account(tx, account):
            raise UserInUse
        if display_name:
            store_profile(tx, account.user_id, Profile(display_name, None))
        note_names(tx, {account.user_id: display_name})
        session = None if device is None else self._sessions.open(tx, account.user_id, device)
        return Registered(account.user_id, session)


async def _pass(_: Mapping[str, Any]) -> object:
    return True
