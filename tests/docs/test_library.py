"""What the pages show in Python works."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from homeserver.core.canonical_json import encode_for
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.room_versions import V2, V12
from homeserver.services.events.intake import Outcome
from homeserver.services.events.pouring import PouringReport
from homeserver.storage.rooms import find_head
from tests.docs.pages import PAGES, blocks_of
from tests.forked_rooms import ALICE, BOB, KEYS
from tests.poured_rooms import fresh_server
from tests.scenes import Scene
from tests.services.world import call_now, now

POURING = "docs/contributing.md"
SPAM_CHECKS = "docs/spam-checks.md"  # tried in test_spam_checks.py


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (POURING, SPAM_CHECKS)])
def test_python_is_shown_where_it_is_tried(page: str) -> None:
    assert not list(blocks_of(page, "python"))


def test_events_in_a_file_are_taken_in_as_the_page_says(tmp_path: Path) -> None:
    shown: dict[str, Any] = {}  # Any: names of all kinds
    (block,) = blocks_of(POURING, "python")
    exec(compile(block.text, block.page, "exec"), shown)
    scenes = [Scene(version) for version in (V2, V12)]
    for scene in scenes:
        scene.join_in_turn(BOB)
        scene.last = scene.say(ALICE, after=[scene.last])
    events = [event for scene in scenes for event in scene.history.events.values()]
    lines = [encode_for(event.version, event.pdu) + b"\n" for event in events]
    Random(1).shuffle(lines)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join([*lines, b"\n", b"no event\n"]))
    world = fresh_server(tmp_path, "homeserver")
    keys = {server: [PublishedKey(key.verify_key, FOR_EVER_MS)] for server, key in KEYS.items()}

    report = now(shown["take_in"](path, keys, world.intake, world.database, call_now))

    assert report == PouringReport(1, 0, {}, {Outcome.ACCEPTED: len(events)})
    for scene in scenes:
        head = world.sync_database.read(find_head, scene.history.room_id)
        assert head is not None
        assert head.heads == (scene.last.event_id,)
    world.close()
