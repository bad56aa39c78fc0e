"""Accounts of this server: who somebody is, and how they show it."""

from dataclasses import dataclass

from homeserver.assembly.encryption import Encryption
from homeserver.assembly.events import Events
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.outgoing import Outgoing
from homeserver.assembly.rooms import Rooms
from homeserver.core.identifiers import UserID
from homeserver.services.accounts.account_data import AccountDataKeeping
from homeserver.services.accounts.appservice_names import NoAppservices, WithReserved
from homeserver.services.accounts.deactivation import Deactivation
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.guest_accounts import GuestAccounts
from homeserver.services.accounts.interactive_auth import InteractiveAuth
from homeserver.services.accounts.login import Login
from homeserver.services.accounts.new_accounts import NewAccounts
from homeserver.services.accounts.openid import OpenIDTokens
from homeserver.services.accounts.password_change import PasswordChange
from homeserver.services.accounts.password_check import PasswordCheck
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.accounts.profiles import Profiles
from homeserver.services.accounts.registration import Registration, RegistrationPolicy
from homeserver.services.accounts.registration_tokens import RegistrationTokens
from homeserver.services.accounts.remote_profiles import RemoteProfileQueries
from homeserver.services.accounts.sessions import Sessions
from homeserver.services.accounts.shared_secret import SharedSecretRegistration
from homeserver.services.accounts.terms import PolicyDocument
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.admin.server_notices import NoticesUser, ServerNotices
from homeserver.services.rooms.member_profiles import MemberProfiles


@dataclass(frozen=True, slots=True)
class Accounts:
    """What belongs to a user rather than to a room."""

    account_data: AccountDataKeeping
    deactivation: Deactivation
    guests: GuestAccounts
    interactive_auth: InteractiveAuth
    login: Login
    notices: ServerNotices
    openid_tokens: OpenIDTokens
    password_change: PasswordChange
    profiles: Profiles
    registration: Registration
    registration_policy: RegistrationPolicy
    registration_tokens: RegistrationTokens
    removal: DeviceRemoval
    sessions: Sessions
    shared_secret: SharedSecretRegistration
    tokens: AccessTokens


def make_accounts(
    made: Mechanics, outgoing: Outgoing, events: Events, encryption: Encryption, rooms: Rooms
) -> Accounts:
    """Passwords, tokens and sessions, and what an account holds."""
    settings, database, clock, randomness = made.settings, made.database, made.clock, made.randomness
    server_name, device_lists = made.server_name, encryption.device_lists
    argon2 = settings.passwords
    passwords = Passwords(made.in_thread, time_cost=argon2.argon2_time_cost, memory_kib=argon2.argon2_memory_kib)
    appservices = NoAppservices()
    allows_guests = settings.registration.allow_guest_access
    tokens = AccessTokens(database, appservices, clock, admits_guests=allows_guests)
    removal = DeviceRemoval(tokens, device_lists)
    lifetime_ms = settings.access_token_lifetime_s * 1000
    sessions = Sessions(database, tokens, removal, device_lists, clock, randomness, lifetime_ms)
    check = PasswordCheck(database, passwords, clock)
    interactive_auth = InteractiveAuth(check, clock, randomness)
    terms = tuple(
        PolicyDocument(one.policy, one.version, one.language, one.name, one.url) for one in settings.registration.terms
    )
    policy = RegistrationPolicy(
        settings.registration.enabled, settings.registration.require_token, terms, settings.registration.probation_s
    )
    new_accounts = NewAccounts(made.rate_limits, made.spam_checks)
    guests = GuestAccounts(
        database, sessions, tokens, new_accounts, clock, randomness, server_name, are_allowed=allows_guests
    )
    notices_user = _notices_user(made)
    names = WithReserved(appservices, notices_user.user_id, rooms.policy_lists.bars_name)
    registration = Registration(
        database,
        passwords,
        interactive_auth,
        sessions,
        names,
        guests,
        new_accounts,
        clock,
        randomness,
        server_name,
        policy,
    )
    remote_profiles = RemoteProfileQueries(outgoing.federation_client, made.budget, clock)
    account_data = AccountDataKeeping(database, events.news)
    return Accounts(
        account_data=account_data,
        deactivation=Deactivation(
            database, interactive_auth, sessions, device_lists, tokens, rooms.anywhere, events.erased_users
        ),
        guests=guests,
        interactive_auth=interactive_auth,
        login=Login(
            database, check, passwords, sessions, made.rate_limits, made.spam_checks, clock, randomness, server_name
        ),
        notices=ServerNotices(events.creation, rooms.creation, account_data, clock, notices_user, server_name),
        openid_tokens=OpenIDTokens(database, clock, randomness),
        password_change=PasswordChange(database, passwords, interactive_auth, sessions),
        profiles=Profiles(database, MemberProfiles(events.creation), server_name, remote_profiles),
        registration=registration,
        registration_policy=policy,
        registration_tokens=RegistrationTokens(database, clock, randomness),
        removal=removal,
        sessions=sessions,
        shared_secret=SharedSecretRegistration(registration, clock, randomness, settings.registration.shared_secret),
        tokens=tokens,
    )


def _notices_user(made: Mechanics) -> NoticesUser:
    notices = made.settings.server_notices
    user_id = UserID(f"@{notices.localpart}:{made.server_name}")
    return NoticesUser(user_id, notices.display_name, notices.avatar_url, notices.room_name)
