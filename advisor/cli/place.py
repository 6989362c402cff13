"""`advisor place`."""

from __future__ import annotations

import json
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli import streams
from advisor.cli.duration import seconds
from advisor.cli.options import (
    TTFT_LIMIT,
    InventoryFile,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    list_described,
    objective_of,
)
from advisor.cli.render import undo_when_killed
from advisor.errors import InputError
from advisor.names import counted, listed
from advisor.recommend.objective import ObjectiveName

if TYPE_CHECKING:
    from advisor.deploy.write.render import LaunchFile
    from advisor.inventory.inventory import Inventory
    from advisor.place.cluster import Mapped
    from advisor.place.placement import Placement
    from advisor.place.problem import Problem


class Format(StrEnum):
    """The formats of a placement."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def _list(asked: bool) -> None:
    if asked:
        from advisor.deploy.write.router import descriptions

        list_described(descriptions())


def place(
    inventory: InventoryFile,
    *,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=1, max=100_000, metavar="N", help="GPUs that there are [default: the fewest]"),
    ] = None,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]  # typer parses defaults, too
    itl_limit: ItlLimit = None,
    headroom: Annotated[
        float, typer.Option("--headroom", min=0, max=10, metavar="SHARE", help="Room for more traffic: 0.2 is a fifth")
    ] = 0.0,
    n_plus_one: Annotated[
        bool, typer.Option("--n-plus-one", help="Any one GPU may fail, and the others serve what it served")
    ] = False,
    algorithm: Annotated[str | None, typer.Option("--algorithm", metavar="NAME", help="How groups are made")] = None,
    time: Annotated[
        float, typer.Option("--time", parser=seconds, metavar="TIME", help="For improving a placement, at most")
    ] = "1s",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is left to chance")] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Let the digital twin check every GPU")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Change the placement until the digital twin finds nothing missed")
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask", metavar="ADDRESS", help="Simulate on the workers of this Dask scheduler: tcp://host:8786"
        ),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option("--previous", metavar="FILE", help="JSON of an earlier placement: move few adapters, say how"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 also where GPUs are too few for all adapters")
    ] = False,
    template: Annotated[
        list[str] | None,
        typer.Option(
            "--template", "-t", metavar="NAME", help="A launch file for each GPU, as `advisor render` knows it"
        ),
    ] = None,
    router: Annotated[
        list[str] | None, typer.Option("--router", metavar="NAME", help="A router map, one that --routers names")
    ] = None,
    _: Annotated[
        bool, typer.Option("--routers", callback=_list, is_eager=True, help="Name the router maps and exit")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where servers answer [default: http://gpu-{gpu}:8000]"),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write files here")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already")] = False,
    vllm: Annotated[
        str | None, typer.Option("--vllm", metavar="VERSION", help="Write for this vLLM [default: the measured one]")
    ] = None,
    at_run_time: Annotated[
        bool, typer.Option("--at-run-time", help="Load adapters while vLLM runs, not when it starts")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written")] = Format.TEXT,
    zoo: Zoo = None,
) -> None:
    """Place adapters on the fewest GPUs that serve them all."""
    wanted = objective_of(objective, ttft_limit, itl_limit)
    if (template or router) and output is None:
        raise typer.BadParameter("launch files and router maps need a directory to write to: add -o DIR")
    if output is not None and not (template or router):
        raise typer.BadParameter("nothing to write into a directory: add --template NAME or --router NAME")
    from advisor.deploy.write import router as routers
    from advisor.deploy.write.fleet import launch_files
    from advisor.deploy.write.render_context import Options
    from advisor.inventory.inventory import load
    from advisor.place.changes import previous as earlier
    from advisor.place.place import DEFAULT
    from advisor.place.place import place as placed

    undo_when_killed()
    at = routers.checked_url(url or routers.URL)
    for each in router or []:
        routers.template_of(each)  # that a name is none is told before there is work to be lost
    loaded = load(inventory)
    problem = replace(
        _problem(loaded, zoo),
        objective=wanted,
        gpus=gpus,
        headroom=headroom,
        failures=int(n_plus_one),
        seed=seed,
        time_s=time,
    )
    before = earlier.read(previous) if previous is not None else None
    if dask is not None and not (verify or exact):
        raise typer.BadParameter("--dask says where the twin simulates: add --verify or --exact")
    with _spread(dask) as mapped, _watched(verify or exact) as progress:
        answer = placed(
            problem, algorithm or DEFAULT, before, verify=verify, exact=exact, progress=progress, mapped=mapped
        )
    strangers = earlier.strangers(before or {}, set(loaded.names))
    if strangers:
        answer = replace(answer, warnings=(*answer.warnings, earlier.told(strangers)))
    if output is not None:
        if not answer.assignments:
            streams.note("nothing to write: no adapter is on a GPU")
        else:
            files = launch_files(answer, loaded, template or [], Options(vllm, at_run_time))
            files += [routers.render(each, answer, loaded, at) for each in router or []]
            _write(files, output, replace=force)
            if template and not at_run_time:
                _tell_unsourced(answer, loaded)
    _tell(answer, loaded, form)
    if answer.interrupted:
        streams.note("interrupted: this is the best placement found by then")
        raise typer.Exit(128 + signal.SIGINT)
    if strangers or _is_no(answer, strict=strict):
        raise typer.Exit(1)


def _is_no(answer: Placement, *, strict: bool) -> bool:
    """Whether somebody is on no GPU for another reason than that GPUs are too few, or a GPU does not hold."""
    from advisor.place.fleet import NO_ROOM

    refused = [reason for reason in answer.unplaced.values() if strict or not reason.startswith(NO_ROOM)]
    return bool(refused) or any(not each.holds for each in answer.assignments)


def _spread(scheduler: str | None) -> AbstractContextManager[Mapped]:
    from advisor.place.cluster import spread_over

    return nullcontext(map) if scheduler is None else spread_over(scheduler)


@contextmanager
def _watched(twin: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr while GPUs are simulated, if that is a terminal; a note before the twin is compiled."""
    if not twin:
        yield None
        return
    from advisor.cli.compiling import compiling_noted
    from twin.progress import bar

    with compiling_noted(), bar("simulating GPUs", 1.0) as shown:
        yield lambda done, total: shown.show(done / total, what=f"simulating GPUs: {done} of {total}")


def _problem(inventory: Inventory, zoo: Path | None) -> Problem:
    """What the inventory says of GPUs, and of who may be where.

    Raises:
        InputError: a GPU type that there is no pair for.
    """
    from advisor.inventory.inventory import GpuChoice
    from advisor.place.problem import GpuType, Problem
    from advisor.zoo.pairs import find_pair

    choices = inventory.gpus or (GpuChoice(inventory.gpu),)
    pairs = [find_pair(inventory.model, each.name, zoo, inventory.engine) for each in choices]
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


def _tell_unsourced(answer: Placement, inventory: Inventory) -> None:
    placed = {adapter for each in answer.assignments for adapter in each.adapters}
    unsourced = [inventory.names[adapter] for adapter in sorted(placed) if inventory.sources[adapter] is None]
    if unsourced:
        streams.note(
            f"{len(unsourced):,} of {len(placed):,} adapters have no source in the inventory: vLLM does not load them "
            f"at start; add their sources, or load them while it runs: {listed(unsourced)}"
        )


def _write(files: list[LaunchFile], directory: Path, *, replace: bool) -> None:
    from advisor.deploy.write.render import FileThereError, write

    if not files:
        return
    try:
        paths = write(files, directory, replace=replace)
    except FileThereError as error:
        raise InputError(f"{error}; --force replaces it") from error
    streams.note(f"wrote {counted(len(paths), 'file')} to {directory}")


def _tell(answer: Placement, inventory: Inventory, form: Format) -> None:
    if form is Format.TEXT:
        from advisor.report.placement import write

        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        streams.write(write(answer, inventory) if utf8 else write(answer, inventory, full="#", empty="-"))
    elif form is Format.JSON:
        streams.write(json.dumps(answer.document(inventory), indent=2))
    else:
        from advisor.report.yaml import dump

        streams.write(dump(answer.document(inventory)))
