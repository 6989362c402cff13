"""Folders of the machine that a container needs to load adapters that lie there by their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable

SYSTEM = frozenset(
    ["bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr"]
)
"""Folders at the top of an image that hold what runs in it: nothing but an adapter itself may be laid over them."""
SHARED = SYSTEM | frozenset(
    ["home", "media", "mnt", "models", "model-cache", "opt", "root", "srv", "tmp", "var", "workspace"]
)
"""And those that hold other things beside adapters: folders in them may be, but not they themselves."""


def mounts(sources: Iterable[str | None]) -> list[str]:
    """The fewest folders to mount so that adapters are found at their absolute paths: those that adapters lie in.

    An adapter that lies in a folder which the image has as well, as /opt, is mounted alone. Hub ids, addresses and
    relative paths need no mount.
    """
    folders = {_folder(source) for source in sources if source and source.startswith("/")}
    kept: list[str] = []
    for folder in sorted(folders, key=lambda each: each.split("/")):
        if not kept or not f"{folder}/".startswith(f"{kept[-1]}/"):
            kept.append(folder)
    return kept


def _folder(source: str) -> str:
    path = re.sub(r"/(?:\.?/)*", "/", source).removesuffix("/.").rstrip("/") or "/"
    folder = path.rpartition("/")[0]
    _, top, *below = f"{folder}/".split("/")
    whole = top in SYSTEM or (top in SHARED and not any(below)) or not top
    return path if whole else folder
