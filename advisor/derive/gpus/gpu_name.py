"""What people call a GPU: which of those there are that is, and which it may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from advisor.nearest import LEAST_BEGINNING, is_one_off, nearest, squashed

MEMORY_OFF = 0.08
"""How far what a driver reports may be from the memory in a GPU's name: GiB for GB, and what the driver keeps."""
_MAKERS = {"nvidia", "tesla", "geforce", "amd", "instinct", "rtx", "gpu", "tensor", "core", "mega", "edition"}
_BUILDS = {
    *("sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "oam", "hbm2", "hbm2e", "hbm3", "hbm3e", "gddr6", "gddr7"),
    *("ampere", "ada", "lovelace", "hopper", "blackwell", "server", "workstation", "generation"),
}
"""Words in GPUs' names that no other GPU of the catalogue differs by; the second say which of a family it is."""
_GLUED = re.compile(r"(?<=[0-9])(?=(?:sxm|pcie|nvl|oam))|(?<=rtx)(?=a?[0-9])")
"""Where two words are written as one: "H100SXM", "RTX4090"."""
_WORD = re.compile(r"[a-z]+[0-9]+[a-z]*|[0-9]+ ?gi?b\b|[0-9]+|[a-z]+")
_SIZE = re.compile(r"[0-9]+ ?gi?b")

_CLOUDS = {"nvidia-tesla-a100": "a100-40gb"}
"""What clouds call GPUs otherwise than the rest: Google's has 40 GB, and that with 80 is nvidia-a100-80gb."""

Memories = Mapping[str, float]
"""The GPUs there are, by short name, and their GiB."""


def meant(name: str, gpus: Memories) -> list[str]:
    """The GPUs that people call so, the one with the largest memory first."""
    known = _CLOUDS.get(name.casefold(), name.casefold())
    if known in gpus:
        return [known]
    words, memory_gb = _words(name)
    found = _named(words, memory_gb, gpus)
    if not found and memory_gb is None:  # "A100 80"
        sizes = [word for word in words if word.isdecimal()]
        found = [known for size in sizes for known in _named(words - {size}, float(size), gpus)]
    return sorted(found, key=lambda known: -gpus[known])


def candidates(name: str, gpus: Memories) -> list[str]:
    """Those that are meant, and then the others of the family that the name leaves open: an H100 may be a PCIe card."""
    found = meant(name, gpus)
    words, memory_gb = _words(name)
    if not found or name.casefold() in {*gpus, *_CLOUDS} or _BUILDS & set(_WORD.findall(_spaced(name))):
        return found
    others = (known for known in gpus if words < _words(known)[0] and _has(memory_gb, gpus[known]))
    return list(dict.fromkeys([*found, *others]))


def near(name: str, gpus: Memories) -> list[str]:
    """Of a name that is no GPU's, those that it may be: misspelt, one letter off, or of its family."""
    words = _words(name)[0] & {word for known in gpus for word in _words(known)[0]}
    misspelt = nearest(name, gpus)
    found = [misspelt] if misspelt else []
    found += [known for known in gpus if words and words <= _words(known)[0]]
    ours = set(_spellings(name))
    found += [known for known in gpus if any(is_one_off(one, other) for one in ours for other in _spellings(known))]
    begun = [one for one in ours if len(one) >= LEAST_BEGINNING]
    found += [known for known in gpus if any(squashed(known).startswith(one) for one in begun)]
    return list(dict.fromkeys(found))


def _named(words: frozenset[str], memory_gb: float | None, gpus: Memories) -> list[str]:
    alike = [known for known in gpus if _words(known)[0] == words]
    alike = alike or [known for known in gpus if _words(known)[0] == words - {"pcie"}]
    return [known for known in alike if _has(memory_gb, gpus[known])]


def _has(memory_gb: float | None, gib: float) -> bool:
    """Whether a GPU of so many GiB is one of that memory, where any is stated."""
    return memory_gb is None or abs(gib - memory_gb) <= MEMORY_OFF * memory_gb


def _spaced(name: str) -> str:
    return _GLUED.sub(" ", name.casefold().replace("_", "-"))


def _words(name: str) -> tuple[frozenset[str], float | None]:
    """The words that tell a GPU from others, and its memory in GB where the name has it."""
    found = _WORD.findall(_spaced(name))
    sizes = [float(word.rstrip("gib ")) for word in found if _SIZE.fullmatch(word)]
    words = {word for word in found if word not in _MAKERS | _BUILDS and not _SIZE.fullmatch(word)}
    return frozenset(words), sizes[0] if sizes else None


def _spellings(name: str) -> Iterator[str]:
    """Letters and digits alone, with what the maker adds and without, with the unit of the memory and without."""
    pieces = re.findall(r"[a-z0-9]+", name.casefold())
    for kept in (pieces, [piece for piece in pieces if piece not in _MAKERS]):
        if text := "".join(kept):
            yield text
            yield re.sub(r"(?<=[0-9])gi?b$", "", text)
