"""Files by which a data folder, or a database, is found to be a copy of what it was."""

import shutil
from pathlib import Path

import pytest

from homeserver.runtime.continuity_files import MARK_FILE, REACHED_FILE, ContinuityFiles


def test_a_fresh_folder_has_no_mark_and_has_reached_nothing(tmp_path: Path) -> None:
    files = ContinuityFiles(tmp_path)

    assert files.mark() is None
    assert files.reached() == 0


def test_a_mark_stays_the_same_however_far_the_log_comes(tmp_path: Path) -> None:
    made = ContinuityFiles(tmp_path).make_mark("one")

    for position in (5, 70, 6):
        ContinuityFiles(tmp_path).note_reached(position)

    assert ContinuityFiles(tmp_path).mark() == made
    assert ContinuityFiles(tmp_path).reached() == 6


def test_another_mark_differs_though_the_text_is_the_same(tmp_path: Path) -> None:
    files = ContinuityFiles(tmp_path)

    assert files.make_mark("one") != files.make_mark("one")


def test_a_copy_of_the_folder_has_another_mark_also_where_the_original_was(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    made = ContinuityFiles(folder).make_mark("one")
    shutil.copytree(folder, tmp_path / "backup")

    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)  # with the times of the original, as far as they can be set

    assert ContinuityFiles(tmp_path / "backup").mark() != made
    assert ContinuityFiles(folder).mark() not in (None, made)


@pytest.mark.parametrize("content", [b"", b"-3\n", b"ten", b"\xff\xff", b"9" * 30, "٣".encode()])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / REACHED_FILE).write_bytes(content)
    (tmp_path / MARK_FILE).write_bytes(b"\xff")

    assert ContinuityFiles(tmp_path).reached() == 0
    assert ContinuityFiles(tmp_path).mark() is None
