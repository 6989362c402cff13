"""Pages that commands write."""

from __future__ import annotations

from pathlib import Path

from advisor.errors import InputError


def write_page(path: Path, page: str) -> None:
    """Write a page whole, or not at all.

    Raises:
        InputError: it cannot be written.
    """
    from twin.files import write_whole

    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot write the page: {error.strerror}") from error
