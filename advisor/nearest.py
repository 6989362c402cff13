"""The name that was meant: for messages about one that is not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_PIECE = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_LETTERS = re.compile(r"[^\W_]+|\.")
LEAST_BEGINNING = 2
"""Letters by which a family of names is told: fewer begin names of all kinds."""
LONGEST = 200
"""Letters that are looked at."""
ALIKE = 0.7
"""How much of a word must agree (difflib's ratio): one letter in three or four may be wrong, missing or swapped."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` misspells, whatever the case and what stands between the words; None if there is none.

    Numbers must agree: another size of a model or another card is no misspelling.
    """
    alike = [each for each in known if _misspells(name, each)]
    return max(alike, key=lambda each: _ratio(name, each), default=None)


def longer(name: str, known: Iterable[str]) -> list[str]:
    """The known names that have all words of `name` in that order and more, the shortest first: for "llama3-8b"."""
    return sorted((each for each in known if _in_order(_pieces(name), _pieces(each))), key=len)


def is_one_off(name: str, known: str) -> bool:
    """Whether one is the other but for one letter at most: wrong, missing, too many, or swapped with the next."""
    if len(name) > len(known):
        name, known = known, name
    if len(known) - len(name) > 1:
        return False
    at = next((i for i, (ours, theirs) in enumerate(zip(name, known, strict=False)) if ours != theirs), len(name))
    ours, theirs = name[at:], known[at:]
    if len(name) < len(known):
        return ours == theirs[1:]
    return ours[1:] == theirs[1:] or (ours[:2] == theirs[1::-1] and ours[2:] == theirs[2:])


def squashed(name: str) -> str:
    """Letters, digits and points alone, in lower case: the name whatever else stands between its words."""
    return "".join(_LETTERS.findall(name[:LONGEST].lower()))


def _in_order(some: list[str], of: list[str]) -> bool:
    rest = iter(of)
    return bool(some) and all(piece in rest for piece in some)


def _misspells(name: str, known: str) -> bool:
    ours, theirs = _pieces(name), _pieces(known)
    if "".join(ours) == "".join(theirs):
        return True
    return len(ours) == len(theirs) and all(map(_alike, ours, theirs))


def _pieces(name: str) -> list[str]:
    return _PIECE.findall(name[:LONGEST].lower())


def _alike(ours: str, theirs: str) -> bool:
    return ours == theirs or (not ours[0].isdigit() and _ratio(ours, theirs) >= ALIKE)


def _ratio(ours: str, theirs: str) -> float:
    return difflib.SequenceMatcher(None, ours.lower(), theirs.lower()).ratio()
