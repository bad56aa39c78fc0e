"""Which file systems are no place for SQLite's write-ahead log: those that several machines share."""

from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
SHARED_BY_MACHINES: Final = frozenset(
    (
        "nfs",
        "nfs3",
        "nfs4",
        "cifs",
        "smb2",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "orangefs",
        "ocfs2",
        "gfs2",
        "9p",
    )
)


def unsuitable_file_system(path: Path, mounts: str | None = None) -> str | None:
    """The type of the file system that `path` is on when SQLite's log is not safe there, or None.

    `mounts` is the text of Linux's mountinfo; other systems have none, and are not judged.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    place = path.absolute().parent.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after:
            continue
        mount = Path(fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    if kind in SHARED_BY_MACHINES or kind.startswith("fuse."):
        return kind
    return None
