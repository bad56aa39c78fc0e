"""Spam checks: those that the operator has installed, by their entry points, and the bot that is asked over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

import homeserver
from homeserver.outbound.callbacks import Callbacks
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.randomness import Randomness
from homeserver.runtime.side_threads import SideThreads
from homeserver.runtime.startup import StartRefused
from homeserver.services.http_antispam import AntispamWishes, HttpAntispam
from homeserver.services.spam_checks import Installed, SpamChecks
from homeserver.settings.sections import Settings, SpamCheck

GROUP: Final = "columba.spam_checks"
SPARE_S: Final = 1.0  # so that the time of a request ends before that of the check


@dataclass(frozen=True, slots=True)
class SpamChecking:
    """All checks, and what has to be begun and ended for one of them."""

    checks: SpamChecks
    antispam: HttpAntispam | None
    callbacks: Callbacks | None
    pings: bool

    async def close(self) -> None:
        """Hang up."""
        if self.callbacks is not None:
            await self.callbacks.close()


def make_spam_checking(
    settings: Settings, reactor: Any, clock: Clock, randomness: Randomness, metrics: Metrics
) -> SpamChecking:  # Any: a reactor is many interfaces at once
    """Raises StartRefused for a check that is not installed, or does not begin."""
    installed = [_installed(each) for each in settings.spam_checks]
    wanted = settings.http_antispam
    antispam = callbacks = None
    if wanted.base_url is not None:
        user_agent = f"Columba/{homeserver.__version__}"
        callbacks = Callbacks(reactor, clock, wanted.base_url, wanted.authorization, user_agent, wanted.timeout_s)
        enabled = None if wanted.enabled_callbacks is None else frozenset(wanted.enabled_callbacks)
        wishes = AntispamWishes(enabled, frozenset(wanted.async_callbacks), frozenset(wanted.fail_open))
        antispam = HttpAntispam(callbacks, wishes, clock, randomness)
        installed.append(Installed("http_antispam", antispam, wanted.timeout_s + SPARE_S, fails_open=False))
    checks = SpamChecks(installed, clock, SideThreads(reactor.callFromThread, "spam check").run)
    checks.export(metrics)
    return SpamChecking(checks, antispam, callbacks, wanted.ping)


def _installed(wanted: SpamCheck) -> Installed:
    found = [each for each in entry_points(group=GROUP) if each.name == wanted.name]
    if len(found) != 1:
        raise StartRefused(
            f"spam_checks: there are {len(found)} entry points {wanted.name!r} of the group {GROUP}, not one. "
            "Is its package installed in the environment of this server?"
        )
    try:
        factory: Callable[..., Any] = found[0].load()  # Any: code of others
        check = factory(dict(wanted.config))
    except (ImportError, AttributeError, TypeError, ValueError, LookupError, OSError) as failure:
        raise StartRefused(f"spam_checks: {wanted.name} does not begin: {failure!r}") from failure
    return Installed(wanted.name, check, wanted.timeout_s, fails_open=wanted.when_failing == "allow")
