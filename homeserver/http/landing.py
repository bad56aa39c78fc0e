"""The page at the server's root: what this is, and how to connect to it.

Plain HTML, without script, style sheet or picture: nothing to load, nothing to run.
"""

from dataclasses import dataclass
from html import escape
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.http.endpoint import NONE, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{server_name}</title>
</head>
<body>
<h1>{server_name}</h1>
<p>This is a <a href="https://matrix.org/">Matrix</a> homeserver. It runs Columba {version}.</p>
<h2>How to connect</h2>
<p>Install any Matrix client and enter this server's name:</p>
<p><strong>{server_name}</strong></p>
<p>If the client does not find the server by its name, enter its address: <code>{base_url}</code></p>
<p>{registration}</p>
</body>
</html>
"""
_IS_OPEN: Final = "Anybody may make an account here: choose &ldquo;create account&rdquo; in your client."
_WITH_TOKEN: Final = "Whoever was given a registration token may make an account here."  # noqa: S105 - a sentence
_IS_CLOSED: Final = "Accounts here are made by whoever runs the server."
_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "public, max-age=300"),
)


@dataclass(frozen=True)
class LandingEndpoints:
    """For people who open the server's address in a browser."""

    server_name: ServerName
    base_url: str
    version: str
    is_registration_open: bool
    needs_registration_token: bool

    @endpoint("GET", "/", auth=NONE, limit=RateClass.FREE, spec="for people with a browser")
    async def page(self, _: PlainRequest) -> Reply:
        """One page, the same for everybody."""
        registration = _IS_CLOSED
        if self.is_registration_open:
            registration = _WITH_TOKEN if self.needs_registration_token else _IS_OPEN
        page = _PAGE.format(
            server_name=escape(self.server_name),
            base_url=escape(self.base_url),
            version=escape(self.version),
            registration=registration,
        )
        return Reply(page.encode(), headers=_HEADERS)
