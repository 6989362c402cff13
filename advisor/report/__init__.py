"""The formats a recommendation is written in: one module each, with one function `write`."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from advisor.recommend.answer.recommendation import Recommendation


class Format(StrEnum):
    """The formats of `advisor recommend`."""

    TEXT = "text"
    JSON = "json"
    ARGS = "args"
    TOML = "toml"
    YAML = "yaml"


def write(recommendation: Recommendation, form: Format, **options: int) -> str:
    """The recommendation in a format, with options of the format; only that format's module is imported."""
    return cast(str, import_module(f"{__name__}.{form}").write(recommendation, **options))
