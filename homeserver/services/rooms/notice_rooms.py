"""What users may not do with the room in which the server speaks to them.

How it speaks is in services/admin/server_notices.py. Spec: client-server-api/#server-notices
"""

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import CannotLeaveServerNoticeRoom
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Transaction
from homeserver.storage.notice_rooms import find_notice_room


def check_may_decline(tx: Transaction, room_id: RoomID, user_id: UserID) -> None:
    """Raise CannotLeaveServerNoticeRoom when the invite is the server's own, unless the account is closed.

    Who is in the room may leave it.
    """
    if find_notice_room(tx, user_id) != room_id:
        return
    account = find_account(tx, user_id)
    if account is not None and not account.is_deactivated:
        raise CannotLeaveServerNoticeRoom("An invite to the server's notices cannot be declined; join, and leave then")
