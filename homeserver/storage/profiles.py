"""How users of this server want to be shown: display names and avatars."""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's display name and avatar (an mxc URI); None where there is none."""

    display_name: str | None
    avatar_url: str | None


FIND = "SELECT display_name, avatar_url FROM profiles WHERE user_id = :user_id"


def find_profile(tx: Transaction, user_id: UserID) -> Profile | None:
    """The user's profile; None if the user never set one."""
    row = tx.one(FIND, user_id=user_id)
    return None if row is None else Profile(row[0], row[1])


def member_profile(tx: Transaction, user_id: UserID) -> dict[str, str]:
    """What the content of the user's m.room.member events says of the profile."""
    profile = find_profile(tx, user_id)
    if profile is None:
        return {}
    shown = {"displayname": profile.display_name, "avatar_url": profile.avatar_url}
    return {key: value for key, value in shown.items() if value is not None}


STORE = """
    INSERT INTO profiles (user_id, display_name, avatar_url) VALUES (:user_id, :display_name, :avatar_url)
    ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name, avatar_url = excluded.avatar_url"""


def store_profile(tx: Transaction, user_id: UserID, profile: Profile) -> None:
    """Put a profile in place of the user's."""
    tx.run(STORE, user_id=user_id, display_name=profile.display_name, avatar_url=profile.avatar_url)


FIELDS = "SELECT name, value FROM profile_fields WHERE user_id = :user_id ORDER BY name"


def profile_fields(tx: Transaction, user_id: UserID) -> dict[str, bytes]:
    """The JSON of all fields other than display name and avatar."""
    return {row[0]: bytes(row[1]) for row in tx.all(FIELDS, user_id=user_id)}


STORE_FIELD = """
    INSERT INTO profile_fields (user_id, name, value) VALUES (:user_id, :name, :value)
    ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value"""


def store_profile_field(tx: Transaction, user_id: UserID, name: str, value: bytes) -> None:
    """Set a field other than display name and avatar to a JSON value."""
    tx.run(STORE_FIELD, user_id=user_id, name=name, value=value)


DELETE_FIELD = "DELETE FROM profile_fields WHERE user_id = :user_id AND name = :name"


def delete_profile_field(tx: Transaction, user_id: UserID, name: str) -> None:
    """Take a field other than display name and avatar away."""
    tx.run(DELETE_FIELD, user_id=user_id, name=name)


DELETE_PROFILE = "DELETE FROM profiles WHERE user_id = :user_id"
DELETE_FIELDS = "DELETE FROM profile_fields WHERE user_id = :user_id"


def delete_profile(tx: Transaction, user_id: UserID) -> None:
    """Take the whole profile away."""
    tx.run(DELETE_PROFILE, user_id=user_id)
    tx.run(DELETE_FIELDS, user_id=user_id)


TABLES: Final[tuple[Table, ...]] = (
    Table("profiles", owners={Owner.USER: "user_id"}, retention=Retention.bounded("one row per account")),
    Table("profile_fields", owners={Owner.USER: "user_id"}, retention=Retention.bounded("64 KiB per account")),
)
