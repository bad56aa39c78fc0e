"""Backups of a server on SQLite, as the operator's guide says: its data folder, copied while the server is stopped, and
files that the server makes of itself while it runs.
"""

import asyncio
import json
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


async def back_up_online(islands: Islands, number: int) -> Path:
    """Have a server that runs make a backup of itself, outside of its folder."""
    server = islands.server(number)
    server.settings["backups"] = {"folder": str(server.folder / "backups")}
    islands.peers[number].stop()
    await islands.peers[number].start()
    made = await asyncio.to_thread(server.command, "admin", "server", "backup", "--json")
    assert made.returncode == 0, made.stderr
    return Path(json.loads(made.stdout)["path"])


async def restore_elsewhere(islands: Islands, number: int, backup: Path) -> None:
    """Stop the server, put the backup back as on an empty computer, and start it there."""
    server = islands.server(number)
    islands.peers[number].stop()
    shutil.rmtree(server.data_dir)
    restored = await asyncio.to_thread(server.command, "admin", "server", "restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    await islands.peers[number].start()
