"""What a borrowed machine lacks, in parcels that are small enough to be carried there (`calibrate/borrowed.sh`)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from calibrate.errors import CalibrationError

MIB = 2**20
PART = ".part-{:03}"


def pack(first: Path, rest: Sequence[Path], folder: Path, most_mib: float) -> list[Path]:
    """Write folder/1 with all that the first folder holds, and folder/2 …: the rest, in parts that fill each of them.

    Returns:
        The parcels, in the order in which they are to be carried.

    Raises:
        CalibrationError: the folder holds something already, the first parcel is too large, or there is none.
    """
    if not first.is_dir():
        raise CalibrationError(f"{first}: no such folder; the first parcel is one")
    if folder.exists() and any(folder.iterdir()):
        raise CalibrationError(f"{folder}: not empty; parcels are packed into a folder of their own")
    most = int(most_mib * MIB)
    whole = sum(file.stat().st_size for file in first.rglob("*"))
    if whole > most:
        raise CalibrationError(f"{first}: {whole / MIB:.0f} MiB, more than {most_mib:g}: a parcel is to hold it whole")
    shutil.copytree(first, folder / "1")
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
