"""How many accounts people may make themselves, and whether it looks like spam when they do.

What else is asked of them is in registration.py. Administrators and application services make as many as they like.
"""

from homeserver.core.identifiers import UserID
from homeserver.core.rate_limits import network_of
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.spam_checks import SpamChecks


class NewAccounts:
    """Counts accounts before they are made, guests among them. An address is empty where it is not known."""

    def __init__(self, limits: RateLimits, checks: SpamChecks) -> None:
        self._limits = limits
        self._checks = checks

    async def admit(self, user_id: UserID, address: str) -> None:
        """Somebody is about to make an account. Raises RefusedAsSpam, LimitExceeded."""
        await self._checks.ask("may_register", user_id, address)
        self.count(address)

    def count(self, address: str) -> None:
        """Somebody is about to be here, under whatever name. Raises LimitExceeded."""
        draws = [Draw(Counted.REGISTRATIONS, "")]
        if address:
            draws.append(Draw(Counted.REGISTRATIONS_BY_ADDRESS, network_of(address)))
        self._limits.draw(*draws)
