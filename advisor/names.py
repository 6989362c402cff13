"""Names of adapters as people read them."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 8
"""Names that are shown before the rest is only counted."""


def printable(name: str) -> str:
    """A name that cannot steer the terminal."""
    return name if name.isprintable() else repr(name)


def counted(number: int, noun: str) -> str:
    """So many of what the noun names: "1 adapter", "1,200 adapters"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def either(names: Sequence[str]) -> str:
    """Names of which one is to be chosen: "1, 2 or 4"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def few(number: float) -> str:
    """A mean number of things, with a decimal where they are few, and as many as it takes where there is hardly one."""
    if 0 < number < 0.095:
        return f"{number:.1g}" if number >= 1e-4 else "hardly any"
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}"  # else it would be 10.0


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more
