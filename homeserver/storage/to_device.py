"""Messages that wait for devices until those have them. Spec: client-server-api/#send-to-device-messaging"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MESSAGES_PER_DEVICE: Final = 10_000


@dataclass(frozen=True, slots=True)
class ToDeviceMessage:
    """One message: `message` is the JSON object with sender, type and content, as sync shows it."""

    position: int
    message: bytes


@dataclass(frozen=True, slots=True)
class InboxOverflow:
    """An inbox that a further message makes too full: all messages up to and with `position` are to go."""

    user_id: UserID
    device_id: DeviceID
    position: int


INBOXES = """
    SELECT devices.user_id, devices.device_id,
           (SELECT waiting.log_position FROM to_device_messages waiting
             WHERE waiting.user_id = devices.user_id AND waiting.device_id = devices.device_id
             ORDER BY waiting.log_position DESC LIMIT 1 OFFSET :spare)
      FROM devices WHERE devices.user_id IN :user_ids[text]"""


def inboxes_of(
    tx: Transaction, user_ids: Sequence[UserID], *, most: int = MESSAGES_PER_DEVICE
) -> tuple[dict[UserID, list[DeviceID]], list[InboxOverflow]]:
    """The devices of these users, and those that already have as many messages as may wait."""
    devices: dict[UserID, list[DeviceID]] = {}
    overflows: list[InboxOverflow] = []
    for row in tx.all(INBOXES, user_ids=list(user_ids), spare=most - 1):
        user_id, device_id = UserID(row[0]), DeviceID(row[1])
        devices.setdefault(user_id, []).append(device_id)
        if row[2] is not None:
            overflows.append(InboxOverflow(user_id, device_id, row[2]))
    return devices, overflows


INSERT = """
    INSERT INTO to_device_messages (user_id, device_id, log_position, message)
    VALUES (:user_id, :device_id, :log_position, :message)"""


def insert_messages(tx: Transaction, messages: Mapping[tuple[UserID, DeviceID], bytes], *, log_position: int) -> None:
    """Put one message into the inbox of each of these devices."""
    rows = [
        {"user_id": user_id, "device_id": device_id, "log_position": log_position, "message": message}
        for (user_id, device_id), message in messages.items()
    ]
    tx.insert_many(INSERT, rows)


FOR_DEVICE = """
    SELECT log_position, message FROM to_device_messages
     WHERE user_id = :user_id AND device_id = :device_id AND log_position > :after AND log_position <= :upto
     ORDER BY log_position LIMIT :limit"""


def messages_for_device(
    tx: Transaction, user_id: UserID, device_id: DeviceID, *, after: int, upto: int, limit: int
) -> list[ToDeviceMessage]:
    """The first messages in (after, upto] that wait for a device, oldest first."""
    rows = tx.all(FOR_DEVICE, user_id=user_id, device_id=device_id, after=after, upto=upto, limit=limit)
    return [ToDeviceMessage(row[0], bytes(row[1])) for row in rows]


DELETE_UPTO = """
    DELETE FROM to_device_messages
     WHERE user_id = :user_id AND device_id = :device_id AND log_position <= :position"""


def delete_acknowledged(tx: Transaction, acknowledged: Sequence[tuple[UserID, DeviceID, int]]) -> int:
    """Delete what each device has, up to and with a position; return how many messages went."""
    return sum(
        tx.run(DELETE_UPTO, user_id=user_id, device_id=device_id, position=position)
        for user_id, device_id, position in acknowledged
    )


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "to_device_messages",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.bounded(f"at most {MESSAGES_PER_DEVICE} per device, until the device has them"),
    ),
)
