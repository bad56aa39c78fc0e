"""The end of an account: nobody logs in to it any more, and its user leaves all rooms.

Spec: client-server-api/#account-deactivation. The user ID stays taken.
"""

from dataclasses import replace
from typing import Final

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import UserID
from homeserver.runtime.logs import get_logger
from homeserver.services.accounts.interactive_auth import Attempt, InteractiveAuth
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import Sessions
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import NotFound, ServiceError
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.storage.accounts import departing_users, find_account, update_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import rooms_of_user
from homeserver.storage.owned_rows import delete_private_rows
from homeserver.storage.profiles import delete_profile

PRESENT: Final = ("join", "invite", "knock")

log = get_logger(__name__)


class Deactivation:
    """Closes accounts."""

    def __init__(
        self,
        database: Database,
        interactive_auth: InteractiveAuth,
        sessions: Sessions,
        device_lists: DeviceLists,
        tokens: AccessTokens,
        membership: RemoteMembership,
        erased: ErasedUsers,
    ) -> None:
        self._database = database
        self._interactive_auth = interactive_auth
        self._sessions = sessions
        self._device_lists = device_lists
        self._tokens = tokens
        self._membership = membership
        self._erased = erased

    async def deactivate_own(self, requester: Requester, attempt: Attempt, *, erase: bool) -> None:
        """Close one's own account once the password was shown. Raises UserInteractionRequired."""
        if requester.appservice_id is None:
            await self._interactive_auth.confirm_user(requester.user_id, attempt)
        await self.deactivate(requester.user_id, erase=erase)

    async def deactivate(self, user_id: UserID, *, erase: bool) -> None:
        """Close an account; what is closed already is closed. With `erase`, the profile goes too, and newcomers to the
        user's rooms are not shown what the user said.

        Raises NotFound.
        """
        await self._database.write(self._close, user_id, erase=erase)
        await self._leave_rooms(user_id)

    async def resume(self) -> None:
        """Let users leave their rooms whose accounts were closed before a restart: to be called once at the start."""
        for user_id in await self._database.read(departing_users):
            await self._leave_rooms(user_id)

    def _close(self, tx: Transaction, user_id: UserID, *, erase: bool) -> None:
        account = find_account(tx, user_id)
        if account is None:
            raise NotFound("This server knows no such user")
        closed = replace(
            account, is_deactivated=True, is_erased=account.is_erased or erase, password_hash=None, is_admin=False
        )
        update_account(tx, closed)
        self._sessions.end_all(tx, user_id, besides=None)
        delete_private_rows(tx, user_id)
        if erase:
            delete_profile(tx, user_id)
            tx.after_commit(lambda: self._erased.note(user_id))
        self._device_lists.note_change(tx, user_id)
        tx.after_commit(lambda: self._tokens.forget_user(user_id))

    async def _leave_rooms(self, user_id: UserID) -> None:
        memberships = await self._database.read(rooms_of_user, user_id)
        for membership in memberships:
            if membership.membership not in PRESENT:
                continue
            try:
                await self._membership.leave(user_id, membership.room_id, None)
            except (ServiceError, AuthRejected) as refused:
                # One room that cannot be left must not keep the user in all others.
                log.warning("a deactivated user stays in a room", room_id=membership.room_id, reason=str(refused))
