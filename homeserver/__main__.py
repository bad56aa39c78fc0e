"""`python -m homeserver` is the command `homeserver`."""

import sys

from homeserver.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
