"""The tables that the database's own mechanics need: revisions, counters, the position of the change log."""

from typing import Final

from homeserver.storage import continuity, log_leaps
from homeserver.storage.tables import Retention, Table

TABLES: Final = (
    Table("schema_revisions", retention=Retention.bounded("one per revision")),
    Table("counters", retention=Retention.bounded("one per named counter")),
    Table("log_position", retention=Retention.bounded("one")),
    *continuity.TABLES,
    *log_leaps.TABLES,
)
