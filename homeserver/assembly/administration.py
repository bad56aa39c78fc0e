"""What administrators have done by the server, over a while."""

from dataclasses import dataclass

from homeserver.assembly.mechanics import Mechanics
from homeserver.services.admin.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Administration:
    """What runs by itself once an administrator asked for it."""

    jobs: Jobs


def make_administration(made: Mechanics) -> Administration:
    """Each kind of job is given to the one who does them."""
    return Administration(Jobs(made.database, made.clock, made.randomness, ()))
