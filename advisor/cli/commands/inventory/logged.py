"""A log of requests in place of an inventory: what it lacks is looked up, or assumed and said."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.commands.inventory.output import base_names
from advisor.cli.terminal import streams
from advisor.errors import InputError
from advisor.names import counted, few, listed

if TYPE_CHECKING:
    from advisor.discovery.discovery import Adapter, Discovery
    from advisor.inventory.inventory import Inventory

RANK = 16
"""vLLM's own default of max_lora_rank, which adapters are mostly made for."""
SUFFIXES = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".log", ".gz"}
"""Of logs, as people name them; an inventory's is .toml."""

LogModel = Annotated[str | None, typer.Option("--model", metavar="ID", help="Of a log: the base model")]
LogGpu = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="Of a log: the GPU's short name")]
Ranks = Annotated[
    str | None,
    typer.Option("--ranks", metavar="RANK|FILE|DIR", help="Of a log: one rank, a CSV of adapter,rank, or PEFT folders"),
]
BusiestHour = Annotated[bool, typer.Option("--busiest-hour", help="Of a log: rates of its hour with the most requests")]


def logged(
    path: Path, *, model: str | None, gpu: str | None, ranks: str | None, busiest_hour: bool
) -> tuple[Inventory, tuple[str, ...]] | None:
    """The inventory that a log of requests makes, and what in it was assumed; None where the file is an inventory.

    Raises:
        typer.BadParameter: a log without --model or --gpu, or an inventory with what belongs to logs.
        InputError: it is no log, or does not tell enough.
    """
    asked = any((model, gpu, ranks, busiest_hour))
    if path.suffix.lower() not in SUFFIXES and not (asked and path.suffix.lower() != ".toml"):
        if asked:
            raise typer.BadParameter(
                f"{path}: an inventory says model, GPU and ranks itself; --model, --gpu, --ranks and --busiest-hour "
                "belong to logs"
            )
        return None
    if model is None or gpu is None:
        raise typer.BadParameter(f"{path}: a log of requests needs --model ID and --gpu NAME, for it names neither")
    from advisor.discovery import toml_file
    from advisor.discovery.logs import request_log, traffic
    from advisor.inventory.inventory import parse

    found = traffic.discover(request_log.read(path), base_names=base_names(model), busiest_hour=busiest_hour)
    _check(found, path)
    for note in found.notes:
        streams.note(note)
    known = _known(ranks, model)
    adapters, assumed = _with_ranks(found, known)
    command = shlex.join(["advisor", *sys.argv[1:]])
    text = toml_file.new(replace(found, adapters=adapters), model=model, gpu=gpu, command=command)
    return parse(text, f"{path}, as an inventory", path.parent), (*_surpassed(found), *assumed)


def _surpassed(found: Discovery) -> Iterator[str]:
    """That an hour of the log brought more than the answer is for."""
    if found.busiest_hour is not None:
        rates = "the hours of an average day" if found.phases else "the whole log"
        yield (
            f"rates are those of {rates}, and the busiest hour brought {few(found.busiest_hour)} times as much as they "
            "say at most: --busiest-hour answers for that one"
        )


def _check(found: Discovery, path: Path) -> None:
    if not found.adapters:
        raise InputError(f"{path}: no request here names an adapter, so there are none to serve")
    if found.lengths is None or not found.lengths.input or not found.lengths.output:
        raise InputError(
            f"{path}: does not tell how long requests are, without which nothing can be recommended: "
            f"`advisor inventory from-log {path} -o inventory.toml` writes what it tells; add [lengths] to that"
        )


def _known(ranks: str | None, model: str) -> Mapping[str, Adapter]:
    """Adapters whose ranks are told, by name; under the empty name what holds for all."""
    from advisor.discovery.discovery import Adapter

    if ranks is None:
        return {}
    if ranks.strip().isdecimal() and ranks.isascii():
        return {"": Adapter("", _rank(ranks, "--ranks"))}
    path = Path(ranks)
    if path.is_dir():
        from advisor.discovery.adapters.folders import scan

        found = scan([path], model)
        for each in found.left_out:
            streams.note(f"left out: {each.where}: {each.reason}")
        return {each.name: each for each in found.adapters}
    from advisor.inventory.records import Column, read
    from advisor.inventory.schema import MAX_ADAPTERS
    from advisor.inventory.schema import Adapter as Entry

    columns = (Column("adapter", str, "a name"), Column("rank", int, str(Entry.model_fields["rank"].description)))
    return {name: Adapter(name, _rank(str(rank), str(path))) for name, rank in read(path, columns, MAX_ADAPTERS)}


def _rank(text: str, where: str) -> int:
    from advisor.inventory.schema import MAX_RANK

    rank = int(text[:9])
    if not 1 <= rank <= MAX_RANK:
        raise InputError(f"{where}: rank {text} is not from 1 to {MAX_RANK}, the largest that vLLM takes")
    return rank


def _with_ranks(found: Discovery, known: Mapping[str, Adapter]) -> tuple[tuple[Adapter, ...], tuple[str, ...]]:
    """The adapters of a log with ranks, those behind them that it does not name at rate 0; and what was assumed."""
    from advisor.discovery.discovery import Traffic
    from advisor.discovery.naming import Names

    names = Names(filter(None, known))
    adapters, unknown, seen = list["Adapter"](), list[str](), set[str]()
    for each in found.adapters:
        other = known.get(names.like(each.name) or "")
        if other is None:
            unknown.append(each.name)
        else:
            seen.add(other.name)
        adapters.append(replace(each, rank=other.rank if other else RANK, source=other.source if other else None))
    silent = [each for name, each in known.items() if name and name not in seen]
    adapters += [replace(each, traffic=Traffic(rate=0.0)) for each in silent]
    assumed = list[str]()
    if unknown:
        assumed.append(
            f"the log does not tell ranks: {RANK} is taken for {counted(len(unknown), 'adapter')} ({listed(unknown)}); "
            "--ranks says them, or names the folders that the adapters are in"
        )
    if silent:
        assumed.append(f"not in the log, so taken as never asked: {listed([each.name for each in silent])}")
    return tuple(adapters), tuple(assumed)
