"""What the server says to all of its users: a notice to each, a few at a time, gone on with after a restart.

How one user is told is in server_notices.py, how the work goes on in jobs.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.identifiers import UserID
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.admin.server_notices import Notice, NoticeTransaction, ServerNotices
from homeserver.services.errors import Forbidden, NotFound, TooLarge
from homeserver.storage.accounts import Account, AccountKind, accounts_after
from homeserver.storage.admin_jobs import Job, JobProgress
from homeserver.storage.database import Database

KIND: Final = "announcement"
ALL_USERS: Final = "users"  # the subject: so there is one announcement at a time
PER_STEP: Final = 20
LARGEST_BYTES: Final = 32 * 1024  # of the content, which is kept with the job


class AnnouncementJob:
    """Tells users one after the other, in the order of their IDs.

    The outcome has the last user that was looked at, how many were told, and how many could not be.
    """

    name: Final = KIND

    def __init__(self, database: Database, notices: ServerNotices, per_step: int = PER_STEP) -> None:
        self._database = database
        self._notices = notices
        self._per_step = per_step

    async def step(self, job: Job) -> Step:
        """Tell the next few. Who was told by this job is not told again."""
        outcome = job.progress.outcome
        told, failed = outcome.get("told", 0), outcome.get("failed", 0)
        accounts = await self._database.read(accounts_after, outcome.get("after", ""), limit=self._per_step)
        for account in accounts:
            if self._is_told(account):
                try:
                    await self._tell(job, account.user_id)
                    told += 1
                except (NotFound, Forbidden):  # closed at this moment, or has made the room one for nobody
                    failed += 1
        after = accounts[-1].user_id if accounts else outcome.get("after", "")
        done = job.progress.done + len(accounts)
        progress = JobProgress(done, None, {"after": after, "told": told, "failed": failed})
        return Step(progress, is_last=len(accounts) < self._per_step)

    def may_be_cancelled(self, job: Job) -> bool:  # noqa: ARG002 - see JobKind
        """Yes: then those who come later in the order are not told."""
        return True

    async def _tell(self, job: Job, user_id: UserID) -> None:
        transaction = NoticeTransaction(KIND, f"{job.job_id} {user_id}")
        await self._notices.send(user_id, Notice(job.arguments["content"]), transaction)

    def _is_told(self, account: Account) -> bool:
        """Guests come and go, and nobody reads what is said to the users of an application service."""
        is_person = account.kind is AccountKind.USER and not account.is_deactivated
        return is_person and not self._notices.is_sender(account.user_id)


class Announcements:
    """Has something said to everybody."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def announce(self, content: Mapping[str, Any], *, asked_by: UserID | None) -> Job:  # Any: JSON
        """Begin to say it, as a message. Raises BadJson, TooLarge, InvalidParameter while another one goes on."""
        if len(encode_canonical(content)) > LARGEST_BYTES:
            raise TooLarge(f"An announcement must not be larger than {LARGEST_BYTES} bytes")
        return await self._jobs.schedule(KIND, ALL_USERS, {"content": content}, asked_by=asked_by)
