"""What a configuration allows that is hardly meant for a server on the internet. What it can say is in sections.py."""

from collections.abc import Iterator
from ipaddress import ip_address

from homeserver.settings.sections import Listener, Settings


def find_risks(settings: Settings) -> Iterator[str]:
    """What works, but is hardly meant for a server on the internet."""
    is_public = any("client" in listener.serve and _is_public(listener) for listener in settings.listeners)
    if settings.registration.enabled and not settings.registration.require_token and is_public:
        yield "everybody who reaches this server can make an account (registration.require_token is false)"
    for listener in settings.listeners:
        if _is_public(listener) and listener.tls is None:
            yield f"{listener.bind} port {listener.port} has no TLS: passwords can be read on their way"
        if _is_public(listener) and "metrics" in listener.serve:
            yield f"everybody who reaches {listener.bind} port {listener.port} can read this server's figures (metrics)"
    if settings.federation.enabled and not settings.federation.verify_certificates:
        yield "any server can pretend to be another one (federation.verify_certificates is false)"
    if settings.federation.enabled and settings.federation.allow_private_addresses:
        yield "outsiders can make this server call private addresses (federation.allow_private_addresses is true)"
    if not settings.rate_limits.enabled:
        yield "nothing limits how fast passwords can be guessed (rate_limits is disabled)"


def _is_public(listener: Listener) -> bool:
    return not ip_address(listener.bind).is_loopback
