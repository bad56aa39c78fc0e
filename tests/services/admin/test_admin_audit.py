"""The book of acts."""

import pytest

from homeserver.services.admin.admin_audit import MOST_PER_PAGE, AdminAudit
from homeserver.services.errors import InvalidParameter
from homeserver.storage.admin_audit import Act, End, Wanted
from tests.services.world import World, now

LOCK = Act("@root:example.org", "PUT /lock/{userId}", "@eve:example.org", "{}")


def test_an_act_is_written_down_before_it_has_an_end(world: World) -> None:
    audit = AdminAudit(world.database, world.clock)

    begun = now(audit.begin(LOCK))
    before = now(audit.page(Wanted(), before=None, limit=10))
    world.clock.advance(1)
    now(audit.end(begun, End(200, None)))

    after = now(audit.page(Wanted(), before=None, limit=10))
    assert [(noted.act, noted.end) for noted in before] == [(LOCK, None)]
    assert [(noted.act, noted.end) for noted in after] == [(LOCK, End(200, None))]
    assert after[0].ended_ms == after[0].at_ms + 1000


def test_what_was_done_already_is_written_down_with_its_end(world: World) -> None:
    audit = AdminAudit(world.database, world.clock)

    now(audit.note_done(LOCK, End(200, None)))

    assert [noted.end for noted in now(audit.page(Wanted(), before=None, limit=10))] == [End(200, None)]


@pytest.mark.parametrize("limit", [0, -1, MOST_PER_PAGE + 1])
def test_pages_are_bounded(world: World, limit: int) -> None:
    with pytest.raises(InvalidParameter):
        now(AdminAudit(world.database, world.clock).page(Wanted(), before=None, limit=limit))
