"""The weights beside an adapter's configuration: whether vLLM could read them, and whether they are a LoRA's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.names import listed

NAMES = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
"""Those that vLLM looks for, in its order."""
_MAX_HEADER = 32 * 1024**2
"""Bytes; that of an adapter has some ten or hundred thousand."""
_LFS = b"version https://git-lfs"
_MATRICES = (".lora_A.weight", ".lora_B.weight", ".lora_embedding_A", ".lora_embedding_B")
_HEADS = {"score", "classifier"}
_UNUSED = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
"""Copies of the base model's own, which PEFT saves beside an adapter of the embeddings, and vLLM passes over."""


class _BrokenError(Exception):
    """No such file as its name says; the message says why."""


def lacking(folder: Path) -> str | None:
    """Why vLLM could read no weights in an adapter's folder; None where it could, as far as can be told."""
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    try:
        if found is None:
            return _missing(folder)
        if found.suffix == ".safetensors":
            _tensors(found)
        else:
            _beginning(found, 1)
    except _BrokenError as error:
        return str(error)
    except OSError as error:
        return f"weights that cannot be read ({error.strerror})"
    return None


def foreign(folder: Path) -> Sequence[str]:
    """Tensors among the weights that are no LoRA's, for which vLLM refuses an adapter; safetensors alone tell them."""
    try:
        names = _tensors(folder / NAMES[0])
    except (_BrokenError, OSError):
        return ()
    return [name for name in names if not _is_loras(name)]


def refusal(folder: Path) -> str | None:
    """Why vLLM refuses an adapter for its weights."""
    names = foreign(folder)
    return f"weights that are no LoRA's ({listed(names, 2)[:160]}), which vLLM does not load" if names else None


def _is_loras(name: str) -> bool:
    module, _, what = name.rpartition(".")
    of_head = what in ("weight", "bias") and module.rpartition(".")[2] in _HEADS
    return of_head or name.endswith((*_MATRICES, *_UNUSED))


def _missing(folder: Path) -> str:
    if any((folder / name).is_symlink() for name in NAMES):
        return "weights that are a link to nothing"
    if any(each.name.startswith("adapter_model-") for each in folder.iterdir()):
        return "weights in several files, of which vLLM reads none"
    return "no weights beside the configuration"


def _tensors(path: Path) -> list[str]:
    """The names in a safetensors file, whose data is all there."""
    size = path.stat().st_size
    length = int.from_bytes(_beginning(path, 8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER):
        raise _BrokenError("weights that are no safetensors file")
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
        tables = {name: table for name, table in header.items() if name != "__metadata__"}
        end = max((_end(table) for table in tables.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise _BrokenError("weights that are no safetensors file") from None
    if end > size - 8 - length:
        raise _BrokenError("weights cut short")
    return list(tables)


def _end(table: Any) -> int:
    return int(table["data_offsets"][1])


def _beginning(path: Path, least: int) -> bytes:
    """The first bytes of a file, `least` at least."""
    with path.open("rb") as file:
        begin = file.read(max(least, len(_LFS)))
    if begin.startswith(_LFS):
        raise _BrokenError("pointers of Git LFS in place of weights")
    if len(begin) < least:
        raise _BrokenError("empty files in place of weights")
    return begin[:least]
