"""Who asks: the account and session behind an access token.

How a token is looked up is in tokens.py, how it arrives in http/authentication.py.
"""

from dataclasses import dataclass

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit


@dataclass(frozen=True, slots=True)
class Requester:
    """One account, speaking through one session."""

    user_id: UserID
    device_id: DeviceID | None  # None: an application service that names no device
    session_id: int  # 0: an application service, which has no session
    is_guest: bool = False
    is_admin: bool = False  # a server administrator
    is_locked: bool = False
    is_suspended: bool = False
    is_shadow_banned: bool = False
    is_soft_logged_out: bool = False  # the token has expired, the session has not ended
    is_rate_limited: bool = True  # False: an application service, or a user whom the administrator exempted
    rate_limit: RateLimit | None = None  # how fast the user may act, instead of what the settings say
    probation_until_ms: int | None = None  # until when the user may do less than others: the account is new
    appservice_id: str | None = None  # which one speaks, for its own user or one of its namespace
