"""The zoo: the pairs in a folder, and which of them, or which derived one, answers for a model on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.derive.engine import PLAIN, WIDE, Engine
from advisor.derive.gpus.gpu import meant
from advisor.derive.llm.checkpoint import of_file
from advisor.derive.llm.model_name import bare
from advisor.errors import InputError
from advisor.nearest import nearest
from advisor.zoo.derived import derived_pair, is_of
from advisor.zoo.models import MANIFEST
from advisor.zoo.pair import PROFILE, Pair, load_pair, shipped


@dataclass(frozen=True, slots=True)
class Zoo:
    """The pairs in a folder."""

    pairs: tuple[Pair, ...]
    """Those that can be read, by name."""
    broken: tuple[str, ...]
    """Of the others, which and why not."""


def load_zoo(folder: Path | None = None) -> Zoo:
    """The pairs of a zoo (default: the shipped one).

    Raises:
        InputError: no such folder, or not one pair in it that can be read.
    """
    folder = folder or shipped()
    try:
        directories = sorted({path.parent for file in (PROFILE, MANIFEST) for path in folder.glob(f"*/{file}")})
    except OSError as error:
        raise InputError(f"{folder}: cannot read the zoo: {error.strerror}") from error
    if not directories:
        raise InputError(f"{folder}: no pairs here; a zoo holds one directory with a {PROFILE} per pair")
    pairs, broken = [], []
    for directory in directories:
        try:
            pairs.append(load_pair(directory))
        except InputError as error:
            broken.append(str(error))
    if not pairs:
        raise InputError(broken[0])
    return Zoo(tuple(pairs), tuple(broken))


def find_pair(model: str, gpu: str, folder: Path | None = None, engine: Engine = PLAIN) -> Pair:
    """The pair that answers for a model (Hugging Face id or short name) on a GPU type, run so.

    Where the zoo has it, that is it; where nobody measured it, it is derived.

    Raises:
        InputError: there is no such pair, and none can be derived; the message names the nearest there are.
    """
    zoo = load_zoo(folder)
    ours = [pair for pair in zoo.pairs if pair.serves(model)]
    checkpoint = None if engine.config is None or not ours else of_file(engine.config, model)
    for pair in sorted(ours, key=lambda pair: (pair.gpus, pair.weights != "bf16", pair.engine.kv_bytes != WIDE)):
        if not _is(gpu, pair.gpu) or not _runs_so(pair, engine):
            continue
        if checkpoint is None or is_of(pair, checkpoint):
            found = pair.run(engine)
            notes = (*found.notes, *_unasked(pair, engine))
            return replace(found, notes=notes, derived_from=checkpoint.shape if checkpoint else None)
    try:
        return derived_pair(model, gpu, engine)
    except InputError as error:
        raise InputError("; ".join([*_known(model, gpu, ours, zoo, folder), str(error)])) from error


def named(name: str, folder: Path | None = None) -> Pair:
    """The pair of this short name, whatever the case of the letters; a derived one where the zoo has none.

    Raises:
        InputError: there is no such pair; the message names those there are.
    """
    zoo = load_zoo(folder)
    for pair in zoo.pairs:
        if pair.name.lower() == name.lower():
            return pair
    model, _, on = name.partition("--")
    gpu, several, count = on.rpartition("-x")
    engine = Engine(tensor_parallel=int(count)) if several and count.isdecimal() else Engine()
    known = [pair.name for pair in zoo.pairs]
    near = nearest(name, known)
    hint = f"no pair {name!r}{_meaning(near)}; known pairs: {', '.join(known)}"
    try:
        return derived_pair(model, gpu if engine.tensor_parallel else on, engine)
    except InputError as error:
        raise InputError(f"{hint}{_broken(zoo)}; and none is derived: {error}") from error


def _is(gpu: str, known: str) -> bool:
    """Whether a GPU, as people call it, is the one of this short name."""
    return gpu.lower() == known.lower() or meant(gpu)[:1] == [known]


def _runs_so(pair: Pair, engine: Engine) -> bool:
    """Whether a pair of the zoo is of a server that is run so."""
    return (
        engine.runs(pair.vllm)
        and engine.tensor_parallel in (None, pair.gpus)
        and engine.quantization_is(pair.weights)
        and (engine.kv_cache_dtype is None or engine.kv_bytes == pair.engine.kv_bytes)
    )


def _unasked(pair: Pair, engine: Engine) -> Iterator[str]:
    """What a pair's server is run with that nobody asked for, and the version that somebody did."""
    own, names = pair.engine, ("quantization", "kv_cache_dtype")
    silent = [name for name in names if getattr(engine, name) is None and getattr(own, name) not in (None, "auto")]
    if silent:
        told = " and ".join(f"{name} {getattr(own, name)}" for name in silent)
        yield f"{pair.name} is run with {told}, as its profile says; the inventory does not say so"
    if engine.vllm is not None and engine.vllm not in (pair.vllm, pair.vllm.rpartition(".")[0]):
        yield f"vLLM {engine.vllm} is answered by the profile for {pair.vllm}, of the same generation"


def _known(model: str, gpu: str, ours: Sequence[Pair], zoo: Zoo, folder: Path | None) -> Iterator[str]:
    """What a user's own zoo has in the place of what was sought; everyone knows the shipped one."""
    if folder is None:
        yield from filter(None, [_broken(zoo).removeprefix("; ")])
    elif ours:
        gpus = sorted(pair.gpu for pair in ours)
        near = _meaning(nearest(gpu, gpus))
        yield f"no pair for GPU {gpu!r} with model {model!r}{near}; known GPUs: {', '.join(gpus)}{_broken(zoo)}"
    else:
        known = {bare(pair.model): pair.model for pair in zoo.pairs}
        near = _meaning(known.get(nearest(bare(model), known) or ""))
        yield f"no pair for model {model!r}{near}; known models: {', '.join(sorted(known.values()))}{_broken(zoo)}"


def _meaning(near: str | None) -> str:
    return f"; did you mean {near!r}?" if near else ""


def _broken(zoo: Zoo) -> str:
    return f"; not readable: {'; '.join(zoo.broken)}" if zoo.broken else ""
