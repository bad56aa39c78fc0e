"""What administrators have done by the server, over a while."""

from dataclasses import dataclass

from homeserver.assembly.accounts import Accounts
from homeserver.assembly.mechanics import Mechanics
from homeserver.services.admin.announcements import AnnouncementJob, Announcements
from homeserver.services.admin.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Administration:
    """What runs by itself once an administrator asked for it."""

    announcements: Announcements
    jobs: Jobs


def make_administration(made: Mechanics, accounts: Accounts) -> Administration:
    """Each kind of job is given to the one who does them."""
    announcing = AnnouncementJob(made.database, accounts.notices)
    jobs = Jobs(made.database, made.clock, made.randomness, (announcing,))
    return Administration(Announcements(jobs), jobs)
