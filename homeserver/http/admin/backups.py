"""Administration: backups and exports, as files on the server's computer. What is in them is told to nobody here."""

from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.http.endpoint import NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.backups import Backups, Making


class BackupBody(msgspec.Struct, frozen=True):
    """What is to be in it."""

    signing_key: bool = True


class KeptBackup(TypedDict):
    """A file that is whole; its kind is `backup` or `export`."""

    name: str
    kind: str
    made_ts: int
    size_bytes: int


class BackupAnswer(TypedDict):
    """A file that is being made, or was: how far that is, and how large it is or why there is none."""

    name: str
    kind: str
    path: str
    finished: bool
    failure: str | None
    size_bytes: int | None
    stage: str
    rows: int
    of_rows: int


class BackupsAnswer(TypedDict):
    """Where files are kept, how many backups at most, which there are, and which one is being made."""

    folder: str
    keep: int
    backups: list[KeptBackup]
    under_way: BackupAnswer | None


@dataclass(frozen=True)
class BackupEndpoints:
    """Files that are made here, one at a time, under names that are given here."""

    backups: Backups

    @admin_endpoint("GET", "/_columba/admin/v1/backups", spec="for `homeserver admin server backups`")
    async def list_backups(self, _: PlainRequest) -> Reply[BackupsAnswer]:
        """The backups and exports that there are, the newest first, and the one that is being made."""
        kept: list[KeptBackup] = [
            {
                "name": each.name,
                "kind": each.kind.name.lower(),
                "made_ts": each.made_ms,
                "size_bytes": each.size_bytes,
            }
            for each in self.backups.kept()
        ]
        under_way, server = self.backups.under_way, self.backups.server
        return Reply(
            {
                "folder": str(server.folder),
                "keep": server.keep,
                "backups": kept,
                "under_way": None if under_way is None else _shown(under_way),
            }
        )

    @admin_endpoint("POST", "/_columba/admin/v1/backups", body=BackupBody, spec="for `homeserver admin server backup`")
    async def back_up(self, request: Request[NoQuery, BackupBody]) -> Reply[BackupAnswer]:
        """Begin with a backup; how it goes on is told under its name."""
        by_owner = request.user_id is None
        return Reply(_shown(self.backups.back_up(has_signing_key=request.body.signing_key, by_owner=by_owner)))

    @admin_endpoint("POST", "/_columba/admin/v1/exports", spec="for `homeserver admin server export`")
    async def export(self, request: PlainRequest) -> Reply[BackupAnswer]:
        """Begin with an export; how it goes on is told under its name, as of a backup."""
        return Reply(_shown(self.backups.export(by_owner=request.user_id is None)))

    @admin_endpoint("GET", "/_columba/admin/v1/backups/{backupName}", spec="for `homeserver admin server backup`")
    async def follow(self, request: PlainRequest) -> Reply[BackupAnswer]:
        """How far the newest one is, or what came of it: after some seconds, or as soon as it is at its end."""
        return Reply(_shown(await self.backups.wait_for(request.path["backupName"])))


def _shown(making: Making) -> BackupAnswer:
    return {
        "name": making.name,
        "kind": making.kind.name.lower(),
        "path": str(making.path),
        "finished": not making.is_under_way,
        "failure": making.failure,
        "size_bytes": making.size_bytes,
        "stage": making.progress.stage,
        "rows": making.progress.rows,
        "of_rows": making.progress.of,
    }
