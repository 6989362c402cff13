"""What a borrowed machine lacks, in parcels that are small enough to be carried there (`calibrate/borrowed.sh`)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from calibrate.errors import CalibrationError

MIB = 2**20
PART = ".part-{:03}"


def pack(first: Sequence[Path], rest: Sequence[Path], folder: Path, most_mib: float) -> list[Path]:
    """Write folder/1, folder/2 …: the first files and folders whole, the rest in parts that fill parcels to the brim.

    Returns:
        The parcels, in the order in which they are to be carried.

    Raises:
        CalibrationError: the folder holds something already, the first alone are too large, or a file cannot be read.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CalibrationError(f"{folder}: not empty; parcels are packed into a folder of their own")
    most = int(most_mib * MIB)
    whole = sum(file.stat().st_size for each in first for file in (each.rglob("*") if each.is_dir() else [each]))
    if whole > most:
        raise CalibrationError(f"{whole / MIB:.0f} MiB have to be in the first parcel, more than {most_mib:g}")
    (folder / "1").mkdir(parents=True)
    for each in first:
        if each.is_dir():
            shutil.copytree(each, folder / "1" / each.name)
        else:
            shutil.copy(each, folder / "1")
    parcels, room = [folder / "1"], 0  # the first comes back with figures soonest if it is small
    for path in rest:
        with path.open("rb") as file:
            size, number = path.stat().st_size, 0
            while file.tell() < size:
                if not room:
                    parcels.append(folder / str(len(parcels) + 1))
                    parcels[-1].mkdir()
                    room = most
                part = file.read(room)
                (parcels[-1] / (path.name + PART.format(number))).write_bytes(part)
                room, number = room - len(part), number + 1
    return parcels
