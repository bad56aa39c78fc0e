"""How much each requester may ask of each class of endpoints."""

from enum import Enum


class RateClass(Enum):
    """Endpoints that share a bucket. An endpoint of class FREE has none."""

    FREE = "free"  # sync and what else is answered from memory, or waits
    GENERAL = "general"
    SEND = "send"  # events into rooms
    LOGIN = "login"
    REGISTER = "register"
    JOIN = "join"
    INVITE = "invite"
    CREATE_ROOM = "create_room"
    SEARCH = "search"
    KEYS = "keys"
    MEDIA = "media"
    REPORT = "report"
    FEDERATION = "federation"
