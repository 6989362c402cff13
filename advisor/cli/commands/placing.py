"""What `advisor place` reads and writes: inventories as problems; answers as text, launch files and router maps."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cli.terminal import streams
from advisor.errors import InputError
from advisor.names import counted, listed

if TYPE_CHECKING:
    from advisor.deploy.write.render import LaunchFile
    from advisor.deploy.write.render_context import Options
    from advisor.inventory.inventory import Inventory
    from advisor.place.judge.servers import Progress
    from advisor.place.placement import Placement
    from advisor.place.problem import Problem
    from advisor.place.verification.cluster import Mapped


class Format(StrEnum):
    """The formats of a placement."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Fleet:
    """An inventory that is to be placed, and where it was read from."""

    path: Path
    problem: Problem

    @property
    def inventory(self) -> Inventory:
        """The adapters."""
        return self.problem.inventory


def problem_of(path: Path, zoo: Path | None) -> Problem:
    """What an inventory says of GPUs, and of who may be where.

    Raises:
        InputError: bad input, or a GPU type that there is no pair for.
    """
    from advisor.inventory.inventory import GpuChoice, load
    from advisor.place.problem import GpuType, Problem
    from advisor.recommend.uncertainty import careful
    from advisor.zoo.pairs import find_pair

    inventory = load(path)
    choices = inventory.gpus or (GpuChoice(inventory.gpu),)
    found = [find_pair(inventory.model, each.name, zoo, inventory.engine) for each in choices]
    pairs = [careful(pair, inventory) for pair in found]
    types = tuple(GpuType(pair, each.price, each.at_most) for pair, each in zip(pairs, choices, strict=True))
    position = {name: i for i, name in enumerate(inventory.names)} if inventory.placing else {}
    together = defaultdict[str, set[int]](set)
    for name, group in inventory.apart.items():
        together[group].add(position[name])
    return Problem(
        inventory,
        types,
        pins={position[name]: gpu for name, gpu in inventory.pins.items()},
        apart=tuple(frozenset(adapters) for adapters in together.values() if len(adapters) > 1),
        copies={position[name]: count for name, count in inventory.replicas.items()},
        replicas=True,
    )


def placed_all(
    fleets: Sequence[Fleet],
    mapped: Mapped,
    progress: Progress,
    **how: Any,
) -> list[Placement]:
    """A placement for each fleet; of several, those that are placed by the time of an interrupt.

    Several are placed by whom `mapped` has for that; of a single one, the twin serves its GPUs there.

    Raises:
        InputError: as `place`.
    """
    from advisor.place.place import place

    if len(fleets) == 1:
        return [place(fleets[0].problem, progress=progress, mapped=mapped, **how)]
    found: list[Placement] = []
    try:
        for each in mapped(partial(place, **how), [fleet.problem for fleet in fleets]):
            found.append(each)
            if each.interrupted:
                break
    except KeyboardInterrupt:
        if not found:
            raise
    return found


@dataclass(frozen=True, slots=True)
class Files:
    """Launch files and router maps that are asked for."""

    directory: Path | None
    """None: no files."""
    templates: tuple[str, ...]
    routers: tuple[str, ...]
    url: str
    """Where servers answer."""
    replace: bool
    """Files that are there already."""

    def of(self, fleet: Fleet, *, several: bool) -> Path:
        """The directory of a fleet's files: of several, one that is called like the inventory."""
        directory = self.directory or Path()
        return directory / fleet.path.name.removesuffix(".toml") if several else directory

    def check(self, fleets: Sequence[Fleet]) -> None:
        """See to it that no two fleets write into one directory.

        Raises:
            InputError: two would.
        """
        where = [self.of(each, several=len(fleets) > 1) for each in fleets]
        if self.directory is not None and len(set(where)) < len(where):
            twice = next(each for i, each in enumerate(where) if each in where[:i])
            raise InputError(f"two inventories of one name would write into {twice}; rename one of them")

    def check_formats(self, vllm: str | None) -> None:
        """See to it that there is what is asked for, before there is work to be lost.

        Raises:
            InputError: no such template, router or version of vLLM.
        """
        from advisor.deploy import vllm_version
        from advisor.deploy.write import render, router

        for each in self.routers:
            router.template_of(each)
        for each in self.templates:
            render.template_of(each)
        if vllm is not None:
            vllm_version.release(vllm)

    def write(self, fleets: Sequence[Fleet], answers: Sequence[Placement], options: Options) -> bool:
        """Write all files that can be, and tell why others cannot; whether there are none of these."""
        told = zip(fleets, answers, strict=False)  # those that were placed by the time of an interrupt
        failed = [why for each in told for why in self._write(*each, options, several=len(fleets) > 1)]
        for why in failed:
            streams.note(why)
        return not failed

    def _write(self, fleet: Fleet, answer: Placement, options: Options, *, several: bool) -> list[str]:
        """Write a fleet's files, and tell of adapters that they cannot load; what could not be written, and why.

        What a format cannot say keeps that format's files out, not the others'.
        """
        if self.directory is None:
            return []
        if not answer.assignments:
            streams.note("nothing to write: no adapter is on a GPU")
            return []
        from advisor.deploy.write.render import FileThereError, write

        files, failed = self._rendered(fleet, answer, options)
        directory = self.of(fleet, several=several)
        try:
            paths = write(files, directory, replace=self.replace) if files else []
        except FileThereError as error:
            return [*failed, f"{error}; --force replaces it"]
        except InputError as error:
            return [*failed, str(error)]
        streams.note(f"wrote {counted(len(paths), 'file')} to {directory}")
        if self.templates and not options.at_run_time:
            _tell_unsourced(answer, fleet.inventory)
        return failed

    def _rendered(self, fleet: Fleet, answer: Placement, options: Options) -> tuple[list[LaunchFile], list[str]]:
        """The files of all templates and routers that can be, and why others cannot."""
        from advisor.deploy.write import router
        from advisor.deploy.write.fleet import launch_files

        def of_template(name: str) -> list[LaunchFile]:
            return launch_files(answer, fleet.inventory, (name,), options)

        def of_router(name: str) -> list[LaunchFile]:
            return [router.render(name, answer, fleet.inventory, self.url)]

        files: list[LaunchFile] = []
        failed: list[str] = []
        makers = [*((each, of_template) for each in self.templates), *((each, of_router) for each in self.routers)]
        for name, make in makers:
            try:
                files += make(name)
            except InputError as error:
                failed.append(f"{error}; nothing is written for {name}")
        return files, failed


def _tell_unsourced(answer: Placement, inventory: Inventory) -> None:
    placed = {adapter for each in answer.assignments for adapter in each.adapters}
    unsourced = [inventory.names[adapter] for adapter in sorted(placed) if inventory.sources[adapter] is None]
    if unsourced:
        streams.note(
            f"{len(unsourced):,} of {len(placed):,} adapters have no source in the inventory: vLLM does not load them "
            f"at start; add their sources, or load them while it runs: {listed(unsourced)}"
        )


def tell(fleets: Sequence[Fleet], answers: Sequence[Placement], form: Format) -> None:
    """Write the answers, of several inventories each with its file."""
    told = list(zip(fleets, answers, strict=False))  # those that were placed by the time of an interrupt
    if form is Format.TEXT:
        from advisor.report.placement import write

        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        bars = {} if utf8 else {"full": "#", "empty": "-"}
        width = streams.width() or streams.WIDTH
        blocks = [write(answer, fleet.inventory, width=width, **bars) for fleet, answer in told]
        if len(fleets) > 1:
            blocks = [f"{fleet.path}\n{block}" for (fleet, _), block in zip(told, blocks, strict=True)]
        streams.write("\n\n\n".join(blocks))
        return
    documents = [answer.document(fleet.inventory) for fleet, answer in told]
    document = documents[0]
    if len(fleets) > 1:
        document = {
            "gpus": sum(each["gpus"] for each in documents),
            "price": round(sum(each["price"] for each in documents), 6),
            "placements": [
                {"inventory": str(fleet.path), **each} for (fleet, _), each in zip(told, documents, strict=True)
            ],
        }
    if form is Format.JSON:
        streams.write(json.dumps(document, indent=2))
    else:
        from advisor.report.yaml import dump

        streams.write(dump(document))
