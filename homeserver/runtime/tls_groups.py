"""By which group the two ends of a TLS connection agreed on its keys, counted.

X25519MLKEM768 is the one that a quantum computer cannot undo later. The library offers it first by itself, and falls
back to a classical group with a peer that does not know it. The counts say how many peers still do not.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from OpenSSL.SSL import SSL_CB_HANDSHAKE_DONE, Connection, Context

INCOMING: Final = "incoming"
OUTGOING: Final = "outgoing"
UNKNOWN: Final = "unknown"  # TLS 1.2 with RSA key exchange, or a library that does not tell


class TlsGroups:
    """The counts of this process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Handshakes so far by direction and group."""
        return self._counts

    def note(self, direction: str, connection: Connection) -> str:
        """Count a connection whose handshake is done; its group."""
        group = connection.get_group_name() or UNKNOWN
        self._counts[direction, group] += 1
        return group

    def watch(self, context: Context) -> None:
        """Count the handshakes of a listener's connections."""

        def informed(connection: Connection, where: int, _: int) -> None:
            if where & SSL_CB_HANDSHAKE_DONE:
                self.note(INCOMING, connection)

        context.set_info_callback(informed)
