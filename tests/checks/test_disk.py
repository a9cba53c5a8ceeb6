"""The disk whose power tests/cluster/ cuts: what was not synced is gone, and what was is there."""
import os

import pytest

from tests.cluster.disk import Disk


@pytest.fixture
def disk(tmp_path):
    if os.getuid() != 0:
        pytest.skip("a file system is mounted by root alone")
    (folder := tmp_path / "disk").mkdir()
    try:
        disk = Disk(folder)
    except OSError as error:
        pytest.skip(f"no file system can be made or mounted here: {error}")
    yield disk
    disk.close()


def write(path, data: bytes, synced: bool) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def test_after_a_power_cut_all_that_was_synced_is_there_and_nothing_else(disk):
    place = disk.folder
    write(place / "kept", b"synced", True)
    write(place / "over", b"synced", True)
    write(place / "over", b"written over", False)
    write(place / "renamed", b"not synced", False)
    (place / "renamed").rename(place / "kept")
    write(place / "gone", b"not synced", False)
    disk.cut_power()
    with pytest.raises(OSError):
        write(place / "late", b"synced", True)
    disk.restore_power()
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == {"kept": b"synced", "over": b"synced"}


def test_a_full_disk_has_room_again(disk):
    disk.fill()
    with pytest.raises(OSError):
        write(disk.folder / "more", bytes(1 << 20), True)
    disk.make_room()
    write(disk.folder / "more", bytes(1 << 20), True)
