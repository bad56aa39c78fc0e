"""The settings: what the configuration file can say, and what counts where it says nothing.

Every default stands here and nowhere else. What each setting means for the operator is written in template.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from homeserver.settings import kinds
from homeserver.settings.kinds import reads
from homeserver.settings.reading import Place, Refused, entries, is_null, refuse_unknown, word_of

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
DAY_S: Final = 86_400
LONGEST_LIFETIME_S: Final = 100 * 366 * DAY_S
SURFACES: Final = ("client", "federation", "media", "admin", "metrics")


@dataclass(frozen=True, slots=True)
class Tls:
    """The files with which a listener speaks TLS."""

    certificate: Path = field(metadata=reads(kinds.existing_file))
    private_key: Path = field(metadata=reads(kinds.existing_file))


@dataclass(frozen=True, slots=True)
class Listener:
    """An address and port, and what is served there. Port 0 is any free port."""

    port: int = field(metadata=reads(kinds.whole_number(0, 65_535)))
    bind: str = field(default="127.0.0.1", metadata=reads(kinds.address))
    serve: tuple[str, ...] = field(
        default=("client", "federation", "media"), metadata=reads(kinds.list_of(kinds.one_of(*SURFACES), least=1))
    )
    tls: Tls | None = field(default=None, metadata=reads(kinds.optional(kinds.section(Tls))))


def _listeners(place: Place) -> tuple[Listener, ...]:
    read = kinds.read_items(place, kinds.section(Listener), least=1)
    taken: dict[tuple[str, int], Place] = {}
    for at, listener in read:
        key = (listener.bind, listener.port)
        if listener.port and key in taken:
            raise at.refuse(f"{taken[key].name} listens on {listener.bind} port {listener.port} already")
        taken[key] = at
    return tuple(listener for _, listener in read)


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy in one language. Spec: client-server-api/#terms-of-service-at-registration"""

    policy: str = field(metadata=reads(kinds.opaque_id))
    version: str = field(metadata=reads(kinds.text))
    name: str = field(metadata=reads(kinds.text))
    url: str = field(metadata=reads(kinds.web_address))
    language: str = field(default="en", metadata=reads(kinds.language))


def _terms(place: Place) -> tuple[PolicyDocument, ...]:
    read = kinds.read_items(place, kinds.section(PolicyDocument))
    versions: dict[str, tuple[Place, str]] = {}
    languages: dict[tuple[str, str], Place] = {}
    for at, document in read:
        first, version = versions.setdefault(document.policy, (at, document.version))
        if document.version != version:
            raise at.refuse(f"is another version than {first.name}, of the same policy")
        same = languages.setdefault((document.policy, document.language), at)
        if same is not at:
            raise at.refuse(f"is the same policy in the same language as {same.name}")
    return tuple(document for _, document in read)


@dataclass(frozen=True, slots=True)
class Registration:
    """Who may make an account."""

    enabled: bool = field(default=False, metadata=reads(kinds.flag))
    require_token: bool = field(default=True, metadata=reads(kinds.flag))
    shared_secret: str | None = field(default=None, repr=False, metadata=reads(kinds.optional(kinds.text)))
    allow_guest_access: bool = field(default=False, metadata=reads(kinds.flag))
    terms: tuple[PolicyDocument, ...] = field(default=(), metadata=reads(_terms))
    probation_s: int = field(default=DAY_S, metadata=reads(kinds.whole_number(0, 365 * DAY_S)))
    newcomers_invite_strangers: bool = field(default=True, metadata=reads(kinds.flag))


@dataclass(frozen=True, slots=True)
class Retry:
    """When a server that did not answer is asked again."""

    first_s: float = field(default=60.0, metadata=reads(kinds.number(0.1, DAY_S)))
    factor: float = field(default=2.0, metadata=reads(kinds.number(1, 10)))
    max_s: float = field(default=float(DAY_S), metadata=reads(kinds.number(0.1, 30 * DAY_S)))


def _retry(place: Place) -> Retry:
    retry = kinds.section(Retry)(place)
    if retry.max_s < retry.first_s:
        raise place.refuse("max_s must not be less than first_s")
    return retry


@dataclass(frozen=True, slots=True)
class Federation:
    """How this server speaks with others."""

    enabled: bool = field(default=True, metadata=reads(kinds.flag))
    address: str | None = field(default=None, metadata=reads(kinds.optional(kinds.server_name)))
    verify_certificates: bool = field(default=True, metadata=reads(kinds.flag))
    ca_file: Path | None = field(default=None, metadata=reads(kinds.optional(kinds.existing_file)))
    allow_private_addresses: bool = field(default=False, metadata=reads(kinds.flag))
    key_servers: tuple[str, ...] = field(default=(), metadata=reads(kinds.list_of(kinds.server_name)))
    partial_state_joins: bool = field(default=True, metadata=reads(kinds.flag))
    retry: Retry = field(default_factory=Retry, metadata=reads(_retry))


@dataclass(frozen=True, slots=True)
class Passwords:
    """What a password costs to check, for us and for whoever guesses."""

    argon2_time_cost: int = field(default=3, metadata=reads(kinds.whole_number(1, 100)))
    argon2_memory_kib: int = field(default=65_536, metadata=reads(kinds.whole_number(8, 4_194_304)))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`burst` requests at once, and `rate_hz` per second in the long run."""

    rate_hz: float = field(metadata=reads(kinds.number(0.0001, 1_000_000)))
    burst: int = field(metadata=reads(kinds.whole_number(1, 1_000_000)))


DEFAULT_RATE_LIMITS: Final[Mapping[str, RateLimit]] = MappingProxyType(
    {
        "general": RateLimit(rate_hz=50, burst=200),
        "send": RateLimit(rate_hz=10, burst=50),
        "login": RateLimit(rate_hz=0.1, burst=10),
        "register": RateLimit(rate_hz=0.1, burst=5),
        "join": RateLimit(rate_hz=0.5, burst=20),
        "invite": RateLimit(rate_hz=0.5, burst=20),
        "create_room": RateLimit(rate_hz=0.2, burst=10),
        "search": RateLimit(rate_hz=2, burst=20),
        "keys": RateLimit(rate_hz=20, burst=100),
        "media": RateLimit(rate_hz=20, burst=200),
        "report": RateLimit(rate_hz=0.1, burst=10),
        "newcomer": RateLimit(rate_hz=1, burst=60),
        "guest": RateLimit(rate_hz=5, burst=50),
        "federation": RateLimit(rate_hz=50, burst=200),
        "invites_by_user": RateLimit(rate_hz=0.1, burst=100),
        "invites_by_newcomer": RateLimit(rate_hz=0.003, burst=20),
        "invites_to_user": RateLimit(rate_hz=0.005, burst=20),
        "invites_to_room": RateLimit(rate_hz=0.2, burst=200),
        "invites_by_server": RateLimit(rate_hz=0.5, burst=100),
        "joins_to_room": RateLimit(rate_hz=1, burst=100),
        "joins_by_server": RateLimit(rate_hz=0.1, burst=20),
        "events_by_server": RateLimit(rate_hz=20, burst=2000),
        "registrations": RateLimit(rate_hz=0.05, burst=50),
        "registrations_by_address": RateLimit(rate_hz=0.003, burst=10),
        "failed_logins_by_address": RateLimit(rate_hz=0.02, burst=20),
    }
)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much each requester may ask of each class of endpoints, and how much else there may be of what is counted."""

    enabled: bool = True
    classes: Mapping[str, RateLimit] = field(default_factory=lambda: DEFAULT_RATE_LIMITS)


def _rate_limits(place: Place) -> RateLimits:
    word = word_of(place.node)
    if word == "default" or is_null(place.node):
        return RateLimits()
    if word == "disabled":
        return RateLimits(enabled=False)
    if word is not None:
        raise place.refuse("must be default, disabled, or a table of classes")
    found = entries(place)
    refuse_unknown(found, list(DEFAULT_RATE_LIMITS))
    classes = dict(DEFAULT_RATE_LIMITS)
    is_refused = False
    for name, (_, at) in found.items():
        try:
            classes[name] = kinds.section(RateLimit)(at)
        except Refused:
            is_refused = True
    if is_refused:
        raise Refused
    return RateLimits(classes=MappingProxyType(classes))


@dataclass(frozen=True, slots=True)
class SpamCheck:
    """Code of others that says what may be done. `config` is given to it; what is in it, it knows."""

    name: str = field(metadata=reads(kinds.text))
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, metadata=reads(kinds.free_table))  # Any: YAML
    timeout_s: float = field(default=5.0, metadata=reads(kinds.number(0.01, 60)))
    when_failing: str = field(default="allow", metadata=reads(kinds.one_of("allow", "refuse")))


ANTISPAM_CALLBACKS: Final = (
    "check_event_for_spam",
    "user_may_invite",
    "federated_user_may_invite",
    "user_may_join_room",
    "user_may_create_room",
    "user_may_create_room_alias",
    "user_may_publish_room",
    "check_username_for_spam",
    "check_login_for_spam",
)


@dataclass(frozen=True, slots=True)
class HttpAntispam:
    """A moderation bot that is asked over HTTP."""

    base_url: str | None = field(default=None, metadata=reads(kinds.optional(kinds.web_address)))
    authorization: str | None = field(default=None, repr=False, metadata=reads(kinds.optional(kinds.text)))
    enabled_callbacks: tuple[str, ...] | None = field(
        default=None, metadata=reads(kinds.optional(kinds.list_of(kinds.one_of(*ANTISPAM_CALLBACKS))))
    )
    async_callbacks: tuple[str, ...] = field(
        default=(), metadata=reads(kinds.list_of(kinds.one_of(*ANTISPAM_CALLBACKS)))
    )
    fail_open: tuple[str, ...] = field(
        default=("check_event_for_spam",), metadata=reads(kinds.list_of(kinds.one_of(*ANTISPAM_CALLBACKS)))
    )
    timeout_s: float = field(default=5.0, metadata=reads(kinds.number(0.01, 60)))
    ping: bool = field(default=True, metadata=reads(kinds.flag))


@dataclass(frozen=True, slots=True)
class Turn:
    """The TURN servers that carry calls of two, and how users get in."""

    uris: tuple[str, ...] = field(default=(), metadata=reads(kinds.list_of(kinds.turn_uri)))
    shared_secret: str | None = field(default=None, repr=False, metadata=reads(kinds.optional(kinds.text)))
    username: str | None = field(default=None, metadata=reads(kinds.optional(kinds.text)))
    password: str | None = field(default=None, repr=False, metadata=reads(kinds.optional(kinds.text)))
    lifetime_s: int = field(default=DAY_S, metadata=reads(kinds.whole_number(60, 30 * DAY_S)))
    allow_guests: bool = field(default=False, metadata=reads(kinds.flag))


def _turn(place: Place) -> Turn:
    turn = kinds.section(Turn)(place)
    has_user = turn.username is not None and turn.password is not None
    if turn.uris and has_user == (turn.shared_secret is not None):
        raise place.refuse("needs either shared_secret, or username and password")
    return turn


@dataclass(frozen=True, slots=True)
class Calls:
    """Where calls go through."""

    turn: Turn = field(default_factory=Turn, metadata=reads(_turn))
    livekit_urls: tuple[str, ...] = field(default=(), metadata=reads(kinds.list_of(kinds.web_address)))


@dataclass(frozen=True, slots=True)
class UserDirectory:
    """Whom users find."""

    search_all_users: bool = field(default=False, metadata=reads(kinds.flag))


@dataclass(frozen=True, slots=True)
class ServerNotices:
    """In whose name the server speaks to its users. Spec: client-server-api/#server-notices"""

    localpart: str = field(default="_server", metadata=reads(kinds.localpart))
    display_name: str = field(default="Server", metadata=reads(kinds.text))
    avatar_url: str | None = field(default=None, metadata=reads(kinds.optional(kinds.media)))
    room_name: str = field(default="Server notices", metadata=reads(kinds.text))


@dataclass(frozen=True, slots=True)
class MessageRetention:
    """For how long rooms keep what is said in them. Spec: MSC1763"""

    enabled: bool = field(default=False, metadata=reads(kinds.flag))
    default_max_lifetime_s: int | None = field(
        default=None, metadata=reads(kinds.optional(kinds.whole_number(60, LONGEST_LIFETIME_S)))
    )
    shortest_max_lifetime_s: int = field(default=DAY_S, metadata=reads(kinds.whole_number(0, LONGEST_LIFETIME_S)))
    longest_max_lifetime_s: int | None = field(
        default=None, metadata=reads(kinds.optional(kinds.whole_number(60, LONGEST_LIFETIME_S)))
    )


def _retention(place: Place) -> MessageRetention:
    retention = kinds.section(MessageRetention)(place)
    longest = retention.longest_max_lifetime_s
    if longest is not None and longest < retention.shortest_max_lifetime_s:
        raise place.refuse("longest_max_lifetime_s must not be less than shortest_max_lifetime_s")
    return retention


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who helps with this server. Spec: client-server-api/#getwell-knownmatrixsupport"""

    role: str = field(metadata=reads(kinds.one_of("m.role.admin", "m.role.security", "m.role.moderator", "m.role.dpo")))
    matrix_id: str | None = field(default=None, metadata=reads(kinds.optional(kinds.text)))
    email_address: str | None = field(default=None, metadata=reads(kinds.optional(kinds.text)))


def _contact(place: Place) -> Contact:
    contact = kinds.section(Contact)(place)
    if contact.matrix_id is None and contact.email_address is None:
        raise place.refuse("needs a matrix_id or an email_address")
    return contact


@dataclass(frozen=True, slots=True)
class Support:
    """Whom people may ask about this server."""

    contacts: tuple[Contact, ...] = field(default=(), metadata=reads(kinds.list_of(_contact)))
    page: str | None = field(default=None, metadata=reads(kinds.optional(kinds.web_address)))


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be."""

    body_bytes: int = field(default=8 * MIB, metadata=reads(kinds.size_bytes(256 * KIB, GIB)))
    upload_bytes: int = field(default=50 * MIB, metadata=reads(kinds.size_bytes(KIB, 64 * GIB)))
    remote_media_bytes: int = field(default=10 * GIB, metadata=reads(kinds.size_bytes(0, 1 << 50)))


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how it looks."""

    level: str = field(default="info", metadata=reads(kinds.one_of("debug", "info", "warning", "error")))
    format: str = field(default="console", metadata=reads(kinds.one_of("console", "json")))


@dataclass(frozen=True, slots=True)
class Namespace:
    """Identifiers that an application service is interested in. Spec: application-service-api/#registration"""

    exclusive: bool = field(metadata=reads(kinds.flag))
    regex: str = field(metadata=reads(kinds.pattern))


@dataclass(frozen=True, slots=True)
class Namespaces:
    """All identifiers that an application service is interested in."""

    users: tuple[Namespace, ...] = field(
        default=(), metadata=reads(kinds.list_of(kinds.section(Namespace, strict=False)))
    )
    aliases: tuple[Namespace, ...] = field(
        default=(), metadata=reads(kinds.list_of(kinds.section(Namespace, strict=False)))
    )
    rooms: tuple[Namespace, ...] = field(
        default=(), metadata=reads(kinds.list_of(kinds.section(Namespace, strict=False)))
    )


@dataclass(frozen=True, slots=True)
class Appservice:
    """The registration file of an application service. Spec: application-service-api/#registration"""

    id: str = field(metadata=reads(kinds.text))
    url: str | None = field(metadata=reads(kinds.optional(kinds.web_address)))
    as_token: str = field(repr=False, metadata=reads(kinds.text))
    hs_token: str = field(repr=False, metadata=reads(kinds.text))
    sender_localpart: str = field(metadata=reads(kinds.text))
    namespaces: Namespaces = field(metadata=reads(kinds.section(Namespaces, strict=False)))
    rate_limited: bool = field(default=True, metadata=reads(kinds.flag))
    protocols: tuple[str, ...] = field(default=(), metadata=reads(kinds.list_of(kinds.text)))
    # The other names are those of the proposal, MSC2409, which bridges still write.
    receive_ephemeral: bool = field(
        default=False, metadata=reads(kinds.flag, "push_ephemeral", "de.sorunome.msc2409.push_ephemeral")
    )


def _appservices(place: Place) -> tuple[Appservice, ...]:
    read = kinds.read_items(place, kinds.file_of(Appservice))
    for attribute in ("id", "as_token"):
        owners: dict[str, Place] = {}
        for at, appservice in read:
            value = getattr(appservice, attribute)
            if value in owners:
                raise at.refuse(f"has the same {attribute} as {owners[value].name}")
            owners[value] = at
    return tuple(appservice for _, appservice in read)


@dataclass(frozen=True, slots=True)
class Backups:
    """Where backups and exports are put, and how many of each are kept."""

    folder: Path | None = field(default=None, metadata=reads(kinds.optional(kinds.path)))
    keep: int = field(default=7, metadata=reads(kinds.whole_number(1, 10_000)))


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. Paths are absolute once it was read from a file."""

    server_name: str = field(metadata=reads(kinds.server_name))
    public_base_url: str | None = field(default=None, metadata=reads(kinds.optional(kinds.web_folder)))
    data_dir: Path = field(default=Path("columba-data"), metadata=reads(kinds.path))
    signing_key: Path | None = field(default=None, metadata=reads(kinds.optional(kinds.path)))
    media_dir: Path | None = field(default=None, metadata=reads(kinds.optional(kinds.path)))
    database: str = field(default="sqlite", repr=False, metadata=reads(kinds.database))
    listeners: tuple[Listener, ...] = field(
        default=(Listener(port=8008, serve=("client", "federation", "media", "admin")),), metadata=reads(_listeners)
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")), metadata=reads(kinds.list_of(kinds.network))
    )
    registration: Registration = field(default_factory=Registration, metadata=reads(kinds.section(Registration)))
    access_token_lifetime_s: int = field(default=300, metadata=reads(kinds.whole_number(10, 365 * DAY_S)))
    query_string_tokens: str = field(default="accept", metadata=reads(kinds.one_of("accept", "refuse")))
    passwords: Passwords = field(default_factory=Passwords, metadata=reads(kinds.section(Passwords)))
    default_room_version: str = field(default="12", metadata=reads(kinds.room_version))
    forget_rooms_when_left: bool = field(default=False, metadata=reads(kinds.flag))
    presence: str = field(default="on", metadata=reads(kinds.one_of("on", "local", "off")))
    federation: Federation = field(default_factory=Federation, metadata=reads(kinds.section(Federation)))
    rate_limits: RateLimits = field(default_factory=RateLimits, metadata=reads(_rate_limits))
    spam_checks: tuple[SpamCheck, ...] = field(default=(), metadata=reads(kinds.list_of(kinds.section(SpamCheck))))
    http_antispam: HttpAntispam = field(default_factory=HttpAntispam, metadata=reads(kinds.section(HttpAntispam)))
    limits: Limits = field(default_factory=Limits, metadata=reads(kinds.section(Limits)))
    cache_size: int = field(default=64 * MIB, metadata=reads(kinds.size_bytes(MIB, 1 << 40)))
    user_directory: UserDirectory = field(default_factory=UserDirectory, metadata=reads(kinds.section(UserDirectory)))
    limit_key_queries: bool = field(default=False, metadata=reads(kinds.flag))
    calls: Calls = field(default_factory=Calls, metadata=reads(kinds.section(Calls)))
    server_notices: ServerNotices = field(default_factory=ServerNotices, metadata=reads(kinds.section(ServerNotices)))
    retention: MessageRetention = field(default_factory=MessageRetention, metadata=reads(_retention))
    support: Support = field(default_factory=Support, metadata=reads(kinds.section(Support)))
    policy_server_key: str | None = field(default=None, metadata=reads(kinds.optional(kinds.public_key)))
    appservices: tuple[Appservice, ...] = field(default=(), metadata=reads(_appservices))
    backups: Backups = field(default_factory=Backups, metadata=reads(kinds.section(Backups)))
    log: Log = field(default_factory=Log, metadata=reads(kinds.section(Log)))

    # The file that this was read from; it cannot be set.
    file: Path | None = field(default=None, compare=False)

    @property
    def base_url(self) -> str:
        """Where clients reach this server, with a slash at its end."""
        return self.public_base_url or f"https://{self.server_name}/"

    @property
    def signing_key_file(self) -> Path:
        """The file with the key by which this server signs."""
        return self.signing_key or self.data_dir / "signing.key"

    @property
    def sqlite_file(self) -> Path:
        """The database's file, where the database is SQLite."""
        return self.data_dir / "homeserver.db"

    @property
    def media_folder(self) -> Path:
        """Where the bytes of media lie."""
        return self.media_dir or self.data_dir / "media"

    @property
    def backup_folder(self) -> Path:
        """Where backups and exports are put."""
        return self.backups.folder or self.data_dir / "backups"

    @property
    def admin_socket(self) -> Path:
        """The unix socket by which administrators speak with the running server."""
        return self.data_dir / "admin.sock"
