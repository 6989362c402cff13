"""The flags that vLLM knows, in all the ways in which its parser lets them be written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from advisor.nearest import nearest

VERSION = "0.32"
"""Whose parser this is."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A flag that vLLM knows."""

    name: str
    """Of the setting: max_loras."""
    options: tuple[str, ...]
    """--max-loras; of a switch --enable-lora and --no-enable-lora."""
    type: str
    """switch, int, float, tokens (128k), tokens-or-auto, text, json."""
    or_none: bool = False
    """Whether "None" and an empty text mean that it is not set."""
    many: bool = False
    may_have: bool = False
    """Whether it may stand alone, although it is no switch."""
    former: bool = False
    """Whether only earlier releases know it."""
    absent: str = ""
    """The last release before it came; empty where the oldest that counts has it."""


@cache
def spellings() -> tuple[dict[str, Spelling], tuple[str, ...]]:
    """Every option string to its flag; and those of this version, whose beginnings count too."""
    options: dict[str, Spelling] = {}
    for line in files(__package__).joinpath("vllm_flags.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        names, _, reading = line.partition(" : ")
        type_, *marks = reading.split()
        strings = tuple(names.split())
        spelling = Spelling(
            strings[0][2:].replace("-", "_"),
            strings,
            type_,
            or_none="or-none" in marks,
            many="many" in marks,
            may_have="may-have" in marks,
            former="former" in marks,
            absent=next((mark.removeprefix("absent=") for mark in marks if mark.startswith("absent=")), ""),
        )
        options.update(dict.fromkeys(strings, spelling))
    return options, tuple(name for name, spelling in options.items() if not spelling.former)


def setting(name: str) -> Spelling | None:
    """The flag of a name in any of its spellings: max-loras, --max_loras, maxLoras is for the readers of charts."""
    options, _ = spellings()
    return options.get("--" + name.removeprefix("--").replace("_", "-"))


@lru_cache(maxsize=4096)
def candidates(option: str) -> tuple[Spelling, ...]:
    """The flags that a spelling may be: the one that is it, or those that begin with it."""
    options, names = spellings()
    base = option.partition(".")[0] if option.startswith("--") else option
    if base in options:
        return (options[base],)
    if not option.startswith("-") or len(option) < 2:
        return ()
    found: dict[str, Spelling] = {}
    for name in names:
        if name.startswith(base) or (name == base[:2] and not base.startswith("--")):
            # --no-enable-lora and --enable-lora are one flag, but argparse tells their beginnings apart.
            found[name] = options[name]
    return tuple(found.values())


def with_dashes(option: str) -> str:
    """With dashes for underscores, as far as the first dot."""
    if not option.startswith("--"):
        return option
    head, dot, tail = option.partition(".")
    return head.replace("_", "-") + dot + tail


def turns_off(spelling: Spelling, option: str) -> bool:
    """Whether a switch's spelling, or the beginning of one, is that with no- in front."""
    return option.startswith("--no-") and not spelling.options[0].startswith(option)


@lru_cache(maxsize=1024)
def nearest_flag(option: str) -> str | None:
    """The flag of this version that a spelling is nearest to."""
    return nearest(option, spellings()[1])
