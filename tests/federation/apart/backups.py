"""Backups of a server on SQLite, as the operator's guide says: its data folder, copied while the server is stopped."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.federation.apart.islands import Islands
from tests.server import Server


@dataclass
class Backup:
    """A copy of what a server had."""

    server: Server
    folder: Path

    def put_back(self) -> None:
        """Put it in place of what the server has, which is stopped."""
        assert self.server.process is None, "it runs"
        shutil.rmtree(self.server.data_dir)
        shutil.copytree(self.folder, self.server.data_dir)


async def back_up(islands: Islands, number: int, folder: Path) -> Backup:
    """Stop a server, copy its folder, and start it again."""
    server = islands.server(number)
    islands.peers[number].stop()
    shutil.copytree(server.data_dir, folder)
    await islands.peers[number].start()
    return Backup(server, folder)


async def restore(islands: Islands, number: int, backup: Backup) -> None:
    """Stop the server, put the backup back, and start it again."""
    islands.peers[number].stop()
    backup.put_back()
    await islands.peers[number].start()
