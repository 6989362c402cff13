"""Launch files from a recommendation, by templates: shipped ones by name, or a user's own by path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.deploy import confined, template
from advisor.deploy.template import MistakeError
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.recommend.recommendation import Recommendation
from advisor.zoo.pairs import Pair
from twin.files import File, write_all


class FileThereError(InputError):
    """A launch file is there already."""


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """A rendered file."""

    name: str
    text: str


def render(name: str, recommendation: Recommendation, inventory: Inventory, pair: Pair) -> LaunchFile:
    """Render one template: the name of a shipped one (with or without its endings) or a path.

    Raises:
        InputError: no such template, a mistake in it, or nothing feasible to render.
    """
    if not recommendation.feasible:
        raise InputError(f"nothing to render: {recommendation.reason}")
    ours = {known: text for known, text in template.shipped().items() if name in _names(known)}
    file, text = next(iter(ours.items())) if ours else (Path(name).name, template.read(Path(name)))
    fill = template.fill if ours else confined.fill
    try:
        rendered = fill(text, _context(recommendation, inventory, pair))
    except MistakeError as error:
        line = f":{error.line}" if error.line else ""
        raise InputError(f"{name}{line}: mistake in the template: {error}") from error
    return LaunchFile(file.removesuffix(template.SUFFIX) or file, rendered)


def unsourced(recommendation: Recommendation, inventory: Inventory) -> tuple[str, ...]:
    """The admitted adapters of which the inventory does not say where to load them from."""
    admitted = set(recommendation.admission.admitted)
    rows = zip(inventory.names, inventory.sources, strict=True)
    return tuple(name for name, source in rows if name in admitted and source is None)


def write(launch_files: Sequence[LaunchFile], directory: Path, *, replace: bool = False) -> list[Path]:
    """Write files into a directory, made where it is missing: all of them, each whole, or none.

    Raises:
        FileThereError: there is a file of that name, and `replace` is false.
        InputError: two files of one name, a symbolic link in the place of one, or they cannot be written.
    """
    paths = [directory / file.name for file in launch_files]
    if len(set(paths)) < len(paths):
        raise InputError(f"two templates make the same file in {directory}: {', '.join(path.name for path in paths)}")
    if links := [str(path) for path in paths if path.is_symlink()]:
        raise InputError(f"{', '.join(links)}: a symbolic link, neither followed nor replaced; remove it first")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_all(
            [
                File(path, file.text.encode(), 0o777 if file.text.startswith("#!") else 0o666)
                for path, file in zip(paths, launch_files, strict=True)
            ],
            overwrite=replace,
        )
    except FileExistsError as error:
        if directory.is_dir():
            there = [str(path) for path in paths if path.exists()]
            raise FileThereError(f"{', '.join(there)}: already there") from error
        raise InputError(f"{directory}: cannot write: not a directory") from error
    except OSError as error:
        raise InputError(f"{error.filename or directory}: cannot write: {error.strerror}") from error
    return paths


def _names(file: str) -> tuple[str, ...]:
    """What a shipped template may be called."""
    return file, file.removesuffix(template.SUFFIX), file.partition(".")[0]


def _context(recommendation: Recommendation, inventory: Inventory, pair: Pair) -> Mapping[str, Any]:
    """What templates can use; `templates/__init__.py` documents it."""
    admitted = set(recommendation.admission.admitted)
    rows = zip(
        inventory.names, inventory.mix.rank.tolist(), inventory.mix.rate.tolist(), inventory.sources, strict=True
    )
    adapters = [
        {"name": name, "rank": int(rank), "rate": rate, "source": source}
        for name, rank, rate, source in rows
        if name in admitted
    ]
    modules = [json.dumps({"name": row["name"], "path": row["source"]}) for row in adapters if row["source"]]
    without_source = unsourced(recommendation, inventory)
    return {
        **pair.basis.document(),
        "flags": recommendation.document()["flags"],
        "args": recommendation.args,
        "modules": modules,
        "adapters": adapters,
        "unsourced": list(without_source),
        "notes": [f"{pair.name}: {pair.basis}", *_notes(len(modules), len(without_source))],
    }


def _notes(loaded: int, unloaded: int) -> list[str]:
    """How many adapters are loaded at start, and what to do about the others."""
    if not unloaded:
        return [f"All {loaded:,} are loaded at start." if loaded > 1 else "It is loaded at start."]
    return [
        f"{loaded:,} of {loaded + unloaded:,} are loaded at start. The inventory has no source for {unloaded:,}, named "
        "at the end.",
        "Add their sources and render again, or set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True for vLLM and load",
        'each: POST /v1/load_lora_adapter {"lora_name": NAME, "lora_path": PATH}. So can whoever reaches the port.',
    ]
