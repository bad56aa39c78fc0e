"""One server and one process with matrix-js-sdk for all stories of js/stories/ that a process of the tests plays."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.people import People, the_sdk
from tests.server import running

TURN = {"uris": ["turn:turn.example.org:3478?transport=udp"], "shared_secret": "not a secret", "lifetime_s": 3600}
LIVEKIT = "https://calls.example.org/livekit/jwt"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[People, str]]:
    """The process that plays stories, and the address of the server on which they take place."""
    the_sdk()
    with running(settings={"calls": {"turn": TURN, "livekit_urls": [LIVEKIT]}}) as server:
        players = People(tmp_path_factory.mktemp("stories") / "log", "js/play.mjs")
        yield players, server.url
        players.close()


@pytest.fixture
def play(stage: tuple[People, str]) -> Callable[..., None]:
    """Play a story: it fails when a client shows something else, or the server refuses what it should not."""
    players, url = stage

    # Any: JSON that the story takes.
    def play_story(file: str, story: str, **details: Any) -> None:
        players.do(file, story, url=url, **details)

    return play_story
