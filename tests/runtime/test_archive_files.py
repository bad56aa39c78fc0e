"""Files that are whole or not there, and archives that tell whether they are as they were written."""

import gzip
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.runtime.archive_files import ArchiveWriter, BadArchive, CompressedFile, give_name, read_archive

# Any: whatever MessagePack has.
VALUES: Any = st.lists(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary() | st.floats(allow_nan=False))
)
SOME: list[Any] = [{"a": 1}, ["text", b"bytes", None, 2**63 - 1], "x" * 300_000]


def written(path: Path, values: list[Any]) -> Path:
    file = CompressedFile(path)
    writer = ArchiveWriter(file)
    for value in values:
        writer.write(value)
    writer.end()
    file.finish()
    file.keep()
    return path


@given(values=VALUES)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    path = written(tmp_path_factory.mktemp("archive") / "file", values)

    assert list(read_archive(path)) == values


def test_the_form_is_that_of_the_documentation(tmp_path: Path) -> None:
    plain = gzip.decompress(written(tmp_path / "file", ["one"]).read_bytes())

    encoded = msgspec.msgpack.encode("one")
    assert plain.startswith(len(encoded).to_bytes(4, "big") + encoded)
    assert msgspec.msgpack.decode(plain[4 + len(encoded) + 4 :])["end"]["values"] == 1


def test_a_file_has_its_name_only_once_it_is_whole_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = CompressedFile(path)
    file.write(b"one")
    file.finish()
    before = path.exists()

    file.keep()

    assert not before
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert gzip.decompress(path.read_bytes()) == b"one"


def test_of_a_file_that_is_given_up_nothing_stays(tmp_path: Path) -> None:
    file = CompressedFile(tmp_path / "file")
    file.write(b"one")

    file.abandon()

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_but_what_a_killed_process_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / "file.part").write_text("left behind")
    first = CompressedFile(path)
    first.finish()
    path.write_text("of somebody else")

    with pytest.raises(FileExistsError):
        first.keep()
    with pytest.raises(FileExistsError):
        CompressedFile(path)

    assert path.read_text() == "of somebody else"


def test_where_a_file_can_have_but_one_name_it_is_renamed_and_replaces_nothing(tmp_path: Path) -> None:
    def link(*_: Path) -> None:
        raise PermissionError("Operation not permitted")

    for name in ("one", "two"):
        (tmp_path / name).write_text(name)

    give_name(tmp_path / "one", tmp_path / "three", link)
    with pytest.raises(FileExistsError):
        give_name(tmp_path / "two", tmp_path / "three", link)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"two": "two", "three": "one"}


@pytest.mark.parametrize("left", [0, 1, 10, 100, -9, -1])
def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path, left: int) -> None:
    path = written(tmp_path / "file", SOME)
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(BadArchive):
        list(read_archive(path))


def test_an_archive_of_which_a_byte_was_changed_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "file", SOME)
    plain = bytearray(gzip.decompress(path.read_bytes()))
    place = plain.index(b"xxxx")
    plain[place] = ord("y")
    path.write_bytes(gzip.compress(plain))

    with pytest.raises(BadArchive, match="checksum"):
        list(read_archive(path))


def test_an_archive_that_lacks_a_value_or_goes_on_behind_its_end_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "file", ["one", "two"])
    plain = gzip.decompress(path.read_bytes())
    size = 4 + len(msgspec.msgpack.encode("one"))

    for changed in (plain[size:], plain + b"more", plain + plain):
        path.write_bytes(gzip.compress(changed))
        with pytest.raises(BadArchive):
            list(read_archive(path))
    path.write_bytes(gzip.compress(plain) + b"more")
    with pytest.raises(BadArchive):
        list(read_archive(path))


@pytest.mark.parametrize(
    "content",
    [b"SQLite format 3\0", gzip.compress(b"\xff\xff\xff\xff"), gzip.compress(b"\0\0\0\x01\xc1")],
    ids=["a database", "a value without end", "no message"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(BadArchive):
        list(read_archive(path))
