"""`homeserver`, but what it does by itself every few minutes is a day away: `python -m tests.hostile.unhurried_server`.

Who compares the database before and after a refused request would take a row that has expired meanwhile for its doing.
"""

import sys
from typing import Final

from homeserver.assembly import server
from homeserver.cli.main import main
from homeserver.services.events import expiry

A_DAY_S: Final = 86_400.0
PAUSES: Final = (
    (server, "SWEEP_EVERY_S"),
    (server, "ACKNOWLEDGED_EVERY_S"),
    (server, "COLLECT_EVERY_S"),
    (expiry, "EVERY_S"),
)

if __name__ == "__main__":
    for module, name in PAUSES:
        assert isinstance(getattr(module, name), float), name
        setattr(module, name, A_DAY_S)
    sys.exit(main())
