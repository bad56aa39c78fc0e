"""Which threads users are subscribed to, and from which they have unsubscribed. Spec: MSC4306

Who may subscribe, and when a subscription comes too late: services/rooms/thread_subscriptions.py.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MOST_SUBSCRIPTIONS: Final = 10_000  # of one user, with those that have ended


@dataclass(frozen=True, slots=True)
class ThreadSubscription:
    """How a user stands to a thread since a log position. `is_automatic`: a client subscribed without being told to."""

    user_id: UserID
    room_id: RoomID
    root_id: EventID
    is_subscribed: bool
    is_automatic: bool
    log_position: int


STORE = """
    INSERT INTO thread_subscriptions (user_id, room_id, root_id, is_subscribed, is_automatic, log_position)
    VALUES (:user_id, :room_id, :root_id, :is_subscribed, :is_automatic, :log_position)
    ON CONFLICT (user_id, room_id, root_id) DO UPDATE SET
        is_subscribed = excluded.is_subscribed, is_automatic = excluded.is_automatic,
        log_position = excluded.log_position"""


def store_subscription(tx: Transaction, subscription: ThreadSubscription) -> None:
    """Put it in place of what was known of the user and the thread."""
    row = {
        "user_id": subscription.user_id,
        "room_id": subscription.room_id,
        "root_id": subscription.root_id,
        "is_subscribed": subscription.is_subscribed,
        "is_automatic": subscription.is_automatic,
        "log_position": subscription.log_position,
    }
    tx.insert_many(STORE, [row])


COLUMNS: Final = "user_id, room_id, root_id, is_subscribed, is_automatic, log_position"
FIND = f"""
    SELECT {COLUMNS} FROM thread_subscriptions
     WHERE user_id = :user_id AND room_id = :room_id AND root_id = :root_id"""  # noqa: S608 - the columns are a constant


def find_subscription(tx: Transaction, user_id: UserID, room_id: RoomID, root_id: EventID) -> ThreadSubscription | None:
    """How the user stands to the thread; None for one who never subscribed."""
    row = tx.one(FIND, user_id=user_id, room_id=room_id, root_id=root_id)
    return None if row is None else _subscription(row)


COUNT = "SELECT COUNT(*) FROM thread_subscriptions WHERE user_id = :user_id"


def may_subscribe_anew(tx: Transaction, user_id: UserID, most: int = MOST_SUBSCRIPTIONS) -> bool:
    """Whether the user may subscribe to one more thread than ever before."""
    row = tx.one(COUNT, user_id=user_id)
    return row is None or row[0] < most


CHANGED = f"""
    SELECT {COLUMNS} FROM thread_subscriptions
     WHERE user_id = :user_id AND log_position > :after AND log_position <= :upto
     ORDER BY log_position DESC LIMIT :limit"""  # noqa: S608 - as above


def changed_subscriptions(
    tx: Transaction, user_id: UserID, *, after: int, upto: int, limit: int
) -> list[ThreadSubscription]:
    """The user's subscriptions that changed in (after, upto], the newest first."""
    return [_subscription(row) for row in tx.all(CHANGED, user_id=user_id, after=after, upto=upto, limit=limit)]


SUBSCRIBERS = """
    SELECT user_id FROM thread_subscriptions
     WHERE room_id = :room_id AND root_id = :root_id AND user_id IN :user_ids[text] AND is_subscribed"""


def subscribers(tx: Transaction, room_id: RoomID, root_id: EventID, user_ids: Collection[UserID]) -> set[UserID]:
    """Those of the users who are subscribed to the thread."""
    if not user_ids:
        return set()
    rows = tx.all(SUBSCRIBERS, room_id=room_id, root_id=root_id, user_ids=sorted(user_ids))
    return {UserID(row[0]) for row in rows}


def _subscription(row: tuple[Any, ...]) -> ThreadSubscription:
    return ThreadSubscription(UserID(row[0]), RoomID(row[1]), EventID(row[2]), bool(row[3]), bool(row[4]), int(row[5]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "thread_subscriptions",
        owners={Owner.USER: "user_id", Owner.ROOM: "room_id"},
        retention=Retention.bounded("so many per user as `may_subscribe_anew` allows"),
    ),
)
