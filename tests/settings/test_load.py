"""Reading the configuration file."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from homeserver.settings.load import load_settings
from homeserver.settings.reading import SettingsError
from homeserver.settings.sections import DEFAULT_RATE_LIMITS, GIB, MIB, Listener, RateLimit, Settings
from tests.settings.configurations import RULES, load, mistakes


def test_given_the_server_name_alone_then_everything_else_has_its_default(tmp_path: Path) -> None:
    settings = load(tmp_path, "server_name: example.org\n")

    assert settings == Settings(server_name="example.org", data_dir=tmp_path / "columba-data")
    assert settings.base_url == "https://example.org/"
    assert settings.signing_key_file == tmp_path / "columba-data" / "signing.key"


def test_the_settings_of_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("certificate")
    (tmp_path / "key.pem").write_text("key")

    settings = load(
        tmp_path,
        """
server_name: example.org:8448
public_base_url: https://matrix.example.org
data_dir: /var/lib/columba
database: postgresql://columba:secret@localhost:5432/columba
listeners:
  - {bind: 127.0.0.1, port: 8008, serve: [client, federation, media, admin, metrics]}
  - bind: "::"
    port: 8448
    serve: [federation, media]
    tls: {certificate: cert.pem, private_key: key.pem}
trusted_proxies: [10.0.0.0/8, "fd00::1"]
registration: {enabled: yes, require_token: false, shared_secret: abc}
federation:
  retry: {first_s: 0.5, max_s: 60}
  key_servers: [matrix.org]
default_room_version: 11
rate_limits:
  send: {rate_hz: 100, burst: 1000}
cache_size: 1g
limits: {upload_bytes: 2MiB, body_bytes: 1048576}
""",
    )

    assert settings.base_url == "https://matrix.example.org/"
    assert settings.data_dir == Path("/var/lib/columba")
    assert settings.database == "postgresql://columba:secret@localhost:5432/columba"
    assert settings.listeners[0] == Listener(port=8008, serve=("client", "federation", "media", "admin", "metrics"))
    assert settings.listeners[1].tls is not None
    assert settings.listeners[1].tls.private_key == tmp_path / "key.pem"
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::1/128"))
    assert (settings.registration.enabled, settings.registration.shared_secret) == (True, "abc")
    assert (settings.federation.retry.first_s, settings.federation.retry.factor) == (0.5, 2.0)
    assert settings.default_room_version == "11"
    assert settings.rate_limits.classes["send"] == RateLimit(rate_hz=100, burst=1000)
    assert settings.rate_limits.classes["login"] == DEFAULT_RATE_LIMITS["login"]
    assert (settings.cache_size, settings.limits.upload_bytes, settings.limits.body_bytes) == (GIB, 2 * MIB, MIB)


def test_a_section_that_is_left_empty_has_its_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "server_name: example.org\nfederation:\nappservices:\nrate_limits:\n")

    assert settings == Settings(server_name="example.org", data_dir=tmp_path / "columba-data")


@pytest.mark.parametrize("written", ["on", '"on"', "local", "off", "'off'"])
def test_presence_may_stand_with_quotes_or_without(tmp_path: Path, written: str) -> None:
    settings = load(tmp_path, f"server_name: example.org\npresence: {written}\n")

    assert settings.presence == written.strip("'\"")


def test_rate_limits_can_be_switched_off(tmp_path: Path) -> None:
    settings = load(tmp_path, "server_name: example.org\nrate_limits: disabled\n")

    assert not settings.rate_limits.enabled


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "server_name: example.org\ndatabase: postgresql://u:s3cret@h/d\nregistration: {shared_secret: s3cret}\n"
        "calls: {turn: {uris: ['turn:x'], username: u, password: s3cret}}\n",
    )

    assert "s3cret" not in repr(settings)


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        """\
server_name: https://example.org
public_base_url: example.org
listeners:
  - {bind: localhost, port: 70000, serve: [clients]}
  - port: 8008
    tls:
      certificate: missing.pem
registration:
  enable: true
  require_token: maybe
registration:
  enabled: true
federaton: {}
trusted_proxies: [10.0.0.1/8]
cache_size: 64 megabytes
rate_limits:
  sending: {rate_hz: 1, burst: 1}
  login: {rate_hz: fast}
log: {level: loud, format: json}
""",
    )

    assert told == [
        "homeserver.yaml:1: server_name: 'https://example.org' is no server name: "
        "write example.org, or example.org:8448, without https://",
        "homeserver.yaml:2: public_base_url: 'example.org' is no URL: write https://example.org/",
        "homeserver.yaml:4: listeners[0].port: must be from 0 to 65535, not 70000",
        "homeserver.yaml:4: listeners[0].bind: 'localhost' is no IP address: "
        "write 127.0.0.1 for this computer alone, 0.0.0.0 or :: for all",
        "homeserver.yaml:4: listeners[0].serve[0]: must be one of: client, federation, media, admin, metrics",
        f"homeserver.yaml:7: listeners[1].tls.certificate: {tmp_path}/missing.pem cannot be read: "
        "No such file or directory",
        "homeserver.yaml:7: listeners[1].tls.private_key: is missing",
        "homeserver.yaml:9: registration.enable: there is no such setting; did you mean enabled?",
        "homeserver.yaml:10: registration.require_token: must be true or false",
        "homeserver.yaml:11: registration: stands twice; it is already in line 8",
        "homeserver.yaml:13: federaton: there is no such setting; did you mean federation?",
        "homeserver.yaml:14: trusted_proxies[0]: '10.0.0.1/8' is no range of addresses: "
        "write 10.0.0.0/8 or 192.0.2.1 (10.0.0.1/8 has host bits set)",
        "homeserver.yaml:15: cache_size: must be a size: bytes, or a number with K, M or G, like 64M",
        "homeserver.yaml:17: rate_limits.sending: there is no such setting; did you mean send?",
        "homeserver.yaml:18: rate_limits.login.rate_hz: must be a number",
        "homeserver.yaml:18: rate_limits.login.burst: is missing",
        "homeserver.yaml:19: log.level: must be one of: debug, info, warning, error",
    ]


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        (
            "server_name: a.b\ncalls: {turn: {uris: ['turn:x'], password: p}}",
            "calls.turn: needs either shared_secret, or username and password",
        ),
        (
            "server_name: a.b\ncalls: {turn: {uris: ['turn:x'], shared_secret: s, username: u, password: p}}",
            "calls.turn: needs either shared_secret, or username and password",
        ),
        (
            "server_name: a.b\ncalls: {turn: {uris: ['stun:x']}}",
            "calls.turn.uris[0]: 'stun:x' is no TURN server: write turn:turn.example.org:3478?transport=udp",
        ),
        (
            "server_name: a.b\nsupport: {contacts: [{role: m.role.admin}]}",
            "support.contacts[0]: needs a matrix_id or an email_address",
        ),
        ("server_name: 12", 'server_name: must be text: write "12" with quotes'),
        ("server_name: null", "server_name: must be text"),
        ("server_name: ''", "server_name: must not be empty"),
        ("server_name: [a]", "server_name: must be text"),
        ("- server_name", "must be a table of settings (key: value)"),
        ("{server_name: a.b, ? [x] : y}", "?: a key must be a word"),
        ("server_name: a.b\nlisteners: []", "listeners: must have at least 1 of them"),
        ("server_name: a.b\nlisteners: 8008", "listeners: must be a list"),
        ("server_name: a.b\nlisteners: [8008]", "listeners[0]: must be a table of settings (key: value)"),
        ("server_name: a.b\nlisteners: [{port: '8008'}]", "listeners[0].port: must be a whole number"),
        ("server_name: a.b\nlisteners: [{port: 0b_}]", "listeners[0].port: must be a whole number"),
        ("server_name: a.b\nlisteners: [{port: 80, serve: []}]", "listeners[0].serve: must have at least 1 of them"),
        (
            "server_name: a.b\nlisteners: [{port: 80}, {port: 80}]",
            "listeners[1]: listeners[0] listens on 127.0.0.1 port 80 already",
        ),
        (
            "server_name: a.b\ndatabase: mysql://root:secret@localhost/x",
            "database: must be sqlite or postgresql://user:password@host:5432/name",
        ),
        (
            "server_name: a.b\ndatabase: postgresql://localhost",
            "database: must be sqlite or postgresql://user:password@host:5432/name",
        ),
        (
            "server_name: a.b\nfederation: {retry: {first_s: 10, max_s: 5}}",
            "federation.retry: max_s must not be less than first_s",
        ),
        ("server_name: a.b\nfederation: {ca_file: .}", "federation.ca_file: {folder} cannot be read: Is a directory"),
        ("server_name: a.b\nrate_limits: off", "rate_limits: must be default, disabled, or a table of classes"),
        ("server_name: a.b\nlimits: {body_bytes: 1K}", "limits.body_bytes: must be from 256K to 1G, not 1K"),
        (
            "server_name: a.b\ndefault_room_version: 13",
            "default_room_version: must be a room version: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        ),
        (
            "server_name: a.b\npublic_base_url: https://a.b/?x=y",
            "public_base_url: must be an URL without user, ? and #",
        ),
        (
            "server_name: a.b\npublic_base_url: https://a.b:99999/",
            "public_base_url: 'https://a.b:99999/' is no URL: write https://example.org/",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, line: str, mistake: str) -> None:
    number = line.count("\n") + 1

    told = mistakes(tmp_path, line)

    assert told == [f"homeserver.yaml:{number}: {mistake.format(folder=tmp_path)}"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "homeserver.yaml:1: the file is empty; server_name is missing"),
        ("registration: {}", "homeserver.yaml:1: server_name: is missing"),
        ("a: b\n  c: d", "homeserver.yaml:2: is not YAML: mapping values are not allowed here"),
        ("a: [b", "homeserver.yaml:1: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: &x b\n---\nc: d", "homeserver.yaml:2: is not YAML: but found another document"),
        ("a: *nowhere", "homeserver.yaml:1: is not YAML: found undefined alias 'nowhere'"),
    ],
)
def test_a_file_that_is_not_a_configuration_at_all_is_refused(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, text) == [mistake]


def test_a_file_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")

    for name, reason in (("missing.yaml", "cannot be read: No such file"), ("binary.yaml", "is not text in UTF-8")):
        with pytest.raises(SettingsError, match=reason):
            load_settings(tmp_path / name, RULES)


def test_a_data_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, f"server_name: a.b\ndata_dir: /{'x' * 120}\n")

    assert "is too long for a socket" in told


REGISTRATION = """\
id: {id}
url: http://127.0.0.1:1234/
as_token: {token}
hs_token: hs
sender_localpart: _irc_bot
namespaces:
  users: [{{exclusive: true, regex: "@_irc_.*"}}]
  rooms: []
de.sorunome.msc2409.push_ephemeral: true
org.example.unknown: 1
"""


def test_registration_files_of_application_services_are_read(tmp_path: Path) -> None:
    (tmp_path / "irc.yaml").write_text(REGISTRATION.format(id="IRC", token="s3cret"))

    settings = load(tmp_path, "server_name: example.org\nappservices: [irc.yaml]\n")

    (appservice,) = settings.appservices
    assert (appservice.id, appservice.url, appservice.as_token) == ("IRC", "http://127.0.0.1:1234", "s3cret")
    assert appservice.namespaces.users[0].exclusive
    assert appservice.namespaces.aliases == ()
    assert appservice.receive_ephemeral
    assert "s3cret" not in repr(settings)


def test_mistakes_in_registration_files_are_told_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "irc.yaml").write_text("id: IRC\nurl: null\nas_token: a\nhs_token: h\nsender_localpart: 5\n")
    (tmp_path / "xmpp.yaml").write_text(REGISTRATION.format(id="X", token="t").replace('"@_irc_.*"', '"("'))

    told = mistakes(tmp_path, "server_name: 5.\nappservices: [irc.yaml, xmpp.yaml, gone.yaml]\n")

    assert told == [
        'homeserver.yaml:1: server_name: must be text: write "5." with quotes',
        f"homeserver.yaml:2: appservices[2]: {tmp_path}/gone.yaml cannot be read: No such file or directory",
        "irc.yaml:1: namespaces: is missing",
        'irc.yaml:5: sender_localpart: must be text: write "5" with quotes',
        "xmpp.yaml:7: namespaces.users[0].regex: is no regular expression: missing ), unterminated subpattern "
        "at position 0",
    ]


def test_application_services_must_not_share_an_id_or_a_token(tmp_path: Path) -> None:
    for name, identity, token in (("a", "A", "1"), ("b", "A", "2"), ("c", "C", "1")):
        (tmp_path / f"{name}.yaml").write_text(REGISTRATION.format(id=identity, token=f"t{token}"))

    same_id = mistakes(tmp_path, "server_name: a.b\nappservices: [a.yaml, b.yaml]\n")
    same_token = mistakes(tmp_path, "server_name: a.b\nappservices: [a.yaml, c.yaml]\n")

    assert same_id == ["homeserver.yaml:2: appservices[1]: has the same id as appservices[0]"]
    assert same_token == ["homeserver.yaml:2: appservices[1]: has the same as_token as appservices[0]"]
