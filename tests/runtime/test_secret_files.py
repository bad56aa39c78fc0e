"""Files that are replaced wholly or not at all."""

import stat
from pathlib import Path

import pytest

from homeserver.runtime.secret_files import replace_secret_file


def test_the_text_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old, and longer than the new one")
    path.chmod(0o644)

    replace_secret_file(path, "new\n")

    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    replace_secret_file(tmp_path / "key", "é")

    assert (tmp_path / "key").read_text(encoding="utf-8") == "é"


def test_what_a_crash_has_left_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_text("half of a k")

    replace_secret_file(tmp_path / "key", "whole")

    assert (tmp_path / "key").read_text() == "whole"
    assert not (tmp_path / "key.new").exists()


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real").write_text("old")
    (tmp_path / "key").symlink_to(elsewhere / "real")

    replace_secret_file(tmp_path / "key", "new")

    assert (tmp_path / "key").is_symlink()
    assert (elsewhere / "real").read_text() == "new"


def test_a_link_put_where_the_new_text_is_written_first_leads_nobody_astray(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "key.new").symlink_to(tmp_path / "victim")

    replace_secret_file(tmp_path / "key", "new")

    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "key").read_text() == "new"


@pytest.mark.parametrize("obstacle", ["folder of the file", "the file is a folder"])
def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "missing" / "key" if obstacle == "folder of the file" else tmp_path / "key"
    if obstacle == "the file is a folder":
        (path / "inside").mkdir(parents=True)

    with pytest.raises(OSError):
        replace_secret_file(path, "new")

    assert not path.with_name("key.new").exists()
    assert path.is_dir() == (obstacle == "the file is a folder")
