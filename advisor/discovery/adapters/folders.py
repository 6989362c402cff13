"""Folders with PEFT adapters in them, and caches of the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from advisor import input_file
from advisor.discovery.adapters import weights
from advisor.discovery.adapters.peft import NotServedError, modules_of, rank_of
from advisor.discovery.base_model import fits
from advisor.discovery.discovery import Adapter, Discovery, LeftOut
from advisor.errors import InputError
from advisor.names import listed
from twin.progress import watched

CONFIG = "adapter_config.json"
MAX_BYTES = 4 * 1024**2
"""Of a configuration, which has some hundred bytes and, with a rank for every module, some ten thousand."""
MAX_FOLDERS = 1_000_000
_LONGEST_LINK = 200
"""Bytes; a path to a blob has 50 to 90."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_CACHED = re.compile(r"models--(?:(?P<owner>.+?)--)?(?P<name>.+)")
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages", "blobs", "refs"}


class _Found(NamedTuple):
    """A folder that holds an adapter's configuration."""

    folder: Path
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class _Passed:
    """What was passed over."""

    stages: list[str] = field(default_factory=list)
    """Checkpoints of an adapter's training."""
    closed: list[str] = field(default_factory=list)
    """Folders that may not be read."""


def scan(roots: Sequence[Path], model: str | None) -> Discovery:
    """The adapters in these folders and below, with the ranks that vLLM gives them.

    Args:
        roots: folders; each may be an adapter, hold many, or be a cache of the hub.
        model: the base model that they shall fit; None takes the one that most of them name.

    Raises:
        InputError: no such folder, or no adapter in any.
    """
    passed = _Passed()
    found = [each for root in roots for each in _below(root, passed)]
    if not found:
        raise InputError(f"{', '.join(map(str, roots))}: no adapter here: no folder below has a file {CONFIG}")
    adapters, left_out, bases = list[tuple[_Found, int]](), list[LeftOut](), dict[Path, str]()
    modules = dict[Path, tuple[str, ...]]()
    for each in watched(found, "reading adapters"):
        try:
            config = _read(_linked(each.folder / CONFIG))
            rank = rank_of(config)
            if reason := weights.refusal(each.folder):
                raise NotServedError(reason)
            adapters.append((each, rank))
            modules[each.folder] = modules_of(config)
            bases[each.folder] = _base(str(config.get("base_model_name_or_path") or ""))
        except NotServedError as error:
            left_out.append(LeftOut(str(each.folder / CONFIG), str(error)))
    model = model or _named_most(bases.values())
    notes = list[str]()
    kept = [each for each in adapters if _fits(each[0], bases[each[0].folder], model, left_out)]
    unnamed = [str(each.folder) for each, _ in kept if not bases[each.folder]]
    local = [f"{each.folder} ({bases[each.folder]})" for each, _ in kept if _is_path(bases[each.folder])]
    if unnamed:
        notes.append(f"no base model is named, so none could be compared: {listed(unnamed)}")
    if local:
        other = f"with {model}" if model else "with any"
        notes.append(f"the base model is a local path, so it could not be compared {other}: {listed(local)}")
    named = _names([each for each, _ in kept])
    if passed.stages:
        notes.append(f"checkpoints are stages of the adapter above them, not adapters: {listed(passed.stages)}")
    if passed.closed:
        notes.append(f"folders that could not be looked into, for want of permission: {listed(passed.closed)}")
    lacking = defaultdict[str, list[str]](list)
    for each, _ in kept:
        if reason := weights.lacking(each.folder):
            lacking[reason].append(str(each.folder))
    notes += [f"{reason}, so vLLM could not load: {listed(folders)}" for reason, folders in lacking.items()]
    return Discovery(
        tuple(
            Adapter(name, rank, each.source, target_modules=modules[each.folder])
            for name, (each, rank) in zip(named, kept, strict=True)
        ),
        model=model,
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _below(root: Path, passed: _Passed) -> Iterator[_Found]:
    """The adapters in a folder and below it; a folder that several names lead to goes by its own."""
    if not root.is_dir():
        raise InputError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; adapters are in folders")
    if not os.access(root, os.R_OK | os.X_OK):
        raise InputError(f"{root}: cannot read the folder: permission denied")
    seen, waiting, links, count = set[str](), [root], list[Path](), 0
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        if folder.is_symlink() and waiting and folder != root:
            links.append(folder)
            continue
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        count += 1
        if count > MAX_FOLDERS:
            raise InputError(f"{root}: more than {MAX_FOLDERS:,} folders below; name those with adapters")
        if not os.access(folder, os.R_OK | os.X_OK):
            passed.closed.append(str(folder))
            continue
        if cached := _CACHED.fullmatch(folder.name):
            if (snapshot := _snapshot(folder)) and _configured(snapshot):
                identity = "/".join(filter(None, cached.groups()))
                yield _Found(snapshot, identity, identity)
            elif snapshot:  # a repository with adapters in folders of their own, which vLLM loads by path alone
                waiting.extend(reversed(_folders(snapshot)))
            continue
        below = _folders(folder)
        checkpoints = [each for each in below if _CHECKPOINT.fullmatch(each.name)]
        if _configured(folder):
            yield _Found(folder, (folder if folder.name else folder.resolve()).name or str(folder), str(folder))
            passed.stages.extend(map(str, checkpoints))
            below = [each for each in below if each not in checkpoints]
        elif trained := [each for each in checkpoints if _configured(each)]:
            last = max(trained, key=lambda each: int(each.name.split("-")[1]))
            yield _Found(last, folder.resolve().name, str(last))
            passed.stages.extend(str(each) for each in trained if each != last)
            below = [each for each in below if each not in checkpoints]
        waiting.extend(reversed(below))


def _configured(folder: Path) -> bool:
    """Whether a folder has an adapter's configuration, if only a link to one that is missing."""
    return os.path.lexists(folder / CONFIG)


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder that may hold adapters, by name."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".") and name not in _PASSED_OVER]


def _snapshot(cached: Path) -> Path | None:
    """The snapshot of a model in the hub's cache that `main` stands for, or the newest one with an adapter in it."""
    snapshots = _folders(cached / "snapshots")
    try:
        main = cached / "snapshots" / (cached / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError, ValueError):
        main = None
    configured = [each for each in snapshots if _configured(each)]
    if main in snapshots and (main in configured or not configured):
        return main
    return max(configured or snapshots, key=lambda each: (each.stat().st_mtime, each.name), default=None)


def _linked(path: Path) -> Path:
    """The file that a snapshot's file stands for in a hub's cache: a blob, also where the link became a text."""
    cache = next((each for each in path.parents if _CACHED.fullmatch(each.name)), None)
    if cache is None or path.is_symlink() or path.stat().st_size > _LONGEST_LINK:
        return path
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if "blobs/" not in text.replace("\\", "/") or "\n" in text:
        return path
    blob = (path.parent / text).resolve()
    return blob if blob.is_relative_to(cache.resolve()) and blob.is_file() else path


def _read(path: Path) -> Mapping[str, Any]:
    if path.is_symlink() and not path.exists():
        raise NotServedError("a link to nothing: what it stands for was not downloaded, or was deleted")
    try:
        data = input_file.read(path, "it must be an adapter's configuration", MAX_BYTES)
        config = json.loads(data.decode())
    except InputError as error:
        raise NotServedError(str(error).removeprefix(f"{path}: ")) from None
    except UnicodeDecodeError as error:
        raise NotServedError(f"not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise NotServedError(f"not JSON: {error}") from None
    if not isinstance(config, dict):
        raise NotServedError("not a JSON object")
    return config


def _fits(found: _Found, base: str, model: str | None, left_out: list[LeftOut]) -> bool:
    """Whether an adapter was trained for `model`, as far as its configuration tells."""
    if not base or _is_path(base) or not model or fits(base, model):
        return True
    left_out.append(LeftOut(str(found.folder / CONFIG), f"for another base model, {base}, not {model}"))
    return False


def _base(named: str) -> str:
    """The base model that a configuration names: the hub's name, where it is a path into a hub's cache."""
    cached = filter(None, (_CACHED.fullmatch(part) for part in re.split(r"[/\\]", named)))
    return next(("/".join(filter(None, each.groups())) for each in cached), named)


def _is_path(base: str) -> bool:
    return base.startswith((".", "/", "~", "\\")) or base.count("/") > 1 or ":" in base


def _named_most(bases: Iterable[str]) -> str | None:
    """The base model that most adapters name, in its most frequent spelling."""
    spelled = Counter(base for base in bases if base and not _is_path(base))
    if not spelled:
        return None
    return max(spelled, key=lambda base: (sum(n for other, n in spelled.items() if fits(base, other)), spelled[base]))


def _names(found: Sequence[_Found]) -> list[str]:
    """A name for each, all different: the folder's, with as much of the path before it as that takes."""
    parts = [list(Path(each.name).parts) for each in found]
    times = Counter(map(tuple, parts))
    names = [
        each.name if times[tuple(own)] == 1 else "/".join((*each.folder.parts[-2:-1], each.name))
        for each, own in zip(found, parts, strict=True)
    ]
    again = Counter(names)
    return [name if again[name] == 1 else str(each.folder) for name, each in zip(names, found, strict=True)]
