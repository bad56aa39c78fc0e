"""What accounts need to know of application services: their tokens, and which user IDs are theirs.

Spec: application-service-api/#registration
"""

from collections.abc import Callable
from typing import Protocol

from homeserver.core.identifiers import UserID
from homeserver.services.accounts.requester import Requester


class AppserviceNames(Protocol):
    """Knows the application services of this server."""

    def find_by_token(self, token: str) -> Requester | None:
        """The application service with this token, as its own user."""

    def may_speak_for(self, appservice_id: str, user_id: UserID) -> bool:
        """True if the user ID is in the application service's namespace, or its own user."""

    def is_reserved(self, user_id: UserID, *, besides: str | None) -> bool:
        """True if an application service other than `besides` has the user ID to itself."""


class WithReserved:
    """Application services, a user ID that this server has to itself, and those that nobody is to have."""

    def __init__(
        self,
        appservices: AppserviceNames,
        reserved: UserID,
        is_unwelcome: Callable[[UserID], bool] = lambda _: False,
    ) -> None:
        self._appservices = appservices
        self._reserved = reserved
        self._is_unwelcome = is_unwelcome

    def find_by_token(self, token: str) -> Requester | None:
        """See AppserviceNames."""
        return self._appservices.find_by_token(token)

    def may_speak_for(self, appservice_id: str, user_id: UserID) -> bool:
        """See AppserviceNames. For the server nobody else speaks."""
        return user_id != self._reserved and self._appservices.may_speak_for(appservice_id, user_id)

    def is_reserved(self, user_id: UserID, *, besides: str | None) -> bool:
        """See AppserviceNames."""
        if user_id == self._reserved or self._is_unwelcome(user_id):
            return True
        return self._appservices.is_reserved(user_id, besides=besides)


class NoAppservices:
    """A server without application services."""

    def find_by_token(self, token: str) -> Requester | None:  # noqa: ARG002 - see AppserviceNames
        """Nobody."""
        return None

    def may_speak_for(self, appservice_id: str, user_id: UserID) -> bool:  # noqa: ARG002 - see AppserviceNames
        """No."""
        return False

    def is_reserved(self, user_id: UserID, *, besides: str | None) -> bool:  # noqa: ARG002 - see AppserviceNames
        """No."""
        return False
