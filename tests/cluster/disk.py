"""A small disk of a machine's own, an ext4 file system on a loop image: it can be full, and its power can be cut. As root."""
from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from pathlib import Path

from tests.e2e.daemon import until

BYTES = 160 << 20
# Nothing is written that nobody synced, as far as ext4 can be told: its journal waits for five minutes, not for five seconds, and it does not
# guess that who truncates or renames a file would have it written.
OPTIONS = "loop,commit=300,noauto_da_alloc"
SHUTDOWN, NO_FLUSH = 0x8004587d, 2  # FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, as xfstests cuts the power


def run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Disk:
    def __init__(self, folder: Path):
        self.folder, self.image = folder, folder.with_suffix(".img")
        with self.image.open("wb") as file:
            file.truncate(BYTES)
        run("mkfs.ext4", "-q", "-m", "0", self.image)
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", OPTIONS, self.image, self.folder)

    def is_let_go(self) -> bool:
        return subprocess.run(["umount", self.folder], capture_output=True).returncode == 0

    def sync(self) -> None:
        run("sync", "-f", self.folder)

    # ---- what befalls it ----

    def cut_power(self) -> None:
        """It takes and gives nothing any more, from now on; who still runs on it is told of errors."""
        place = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(place)

    def restore_power(self) -> None:
        """Who ran on it is dead: what is read now was synced, or had been written for another reason."""
        until(self.is_let_go, f"nobody is on {self.folder} any more")
        self.mount()
        self.make_room()  # which nobody may have synced

    def fill(self) -> None:
        """Piece by piece, since others take of it meanwhile."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def make_room(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        run("umount", "-l", self.folder)
        self.image.unlink()
