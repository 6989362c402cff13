"""The formats that findings are written in: one module each, with one function `write`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from advisor.check.finding import Checked


class Format(StrEnum):
    """The formats of `advisor check`."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
    JUNIT = "junit"


def write(files: Sequence[Checked], form: Format) -> str:
    """The findings of files in a format; only that format's module is imported."""
    return cast(str, import_module(f"{__name__}.{form}").write(files))
