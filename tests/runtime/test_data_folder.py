"""The data folder and its lock."""

from pathlib import Path

import pytest

from homeserver.runtime.data_folder import (
    DataFolder,
    DataFolderLocked,
    DataFolderProblem,
    find_exposure,
    find_holder,
)


def test_a_new_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path / "a" / "data", "a test")

    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert find_exposure(folder.path) is None
    folder.release()


def test_a_folder_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    exposed = find_exposure(data)

    DataFolder.hold(data, "a test").release()

    assert exposed is not None
    assert "0755" in exposed
    assert find_exposure(data) is None


def test_a_held_folder_is_refused_to_a_second_one_with_the_name_of_the_holder(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path, "homeserver run")

    with pytest.raises(DataFolderLocked) as refused:
        DataFolder.hold(tmp_path, "homeserver admin")

    assert refused.value.holder.startswith("homeserver run (process ")
    assert find_holder(tmp_path) == refused.value.holder
    folder.release()


def test_a_released_folder_is_free(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path, "homeserver run")

    folder.release()
    folder.release()

    assert find_holder(tmp_path) is None
    DataFolder.hold(tmp_path, "homeserver admin").release()


def test_a_folder_that_cannot_be_made_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataFolderProblem, match="cannot be used"):
        DataFolder.hold(tmp_path / "file" / "data", "a test")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DataFolderProblem):
        DataFolder.hold(tmp_path, "a test")

    assert not (tmp_path / "elsewhere").exists()
