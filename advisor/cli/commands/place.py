"""`advisor place`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.commands.placing import Files, Fleet, Format, placed_all, problem_of, tell
from advisor.cli.terminal import streams
from advisor.cli.terminal.page import write_page
from advisor.cli.terminal.signals import undo_when_killed
from advisor.cli.usage.duration import seconds
from advisor.cli.usage.options import (
    TTFT_LIMIT,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    list_described,
    objective_of,
)
from advisor.place.problem import BaseGpus
from advisor.recommend.objective import ObjectiveName

if TYPE_CHECKING:
    from advisor.place.judge.servers import Progress
    from advisor.place.placement import Placement
    from advisor.place.verification.cluster import Mapped


def _list(asked: bool) -> None:
    if asked:
        from advisor.deploy.write.router import descriptions

        list_described(descriptions())


def place(
    inventory: Annotated[
        list[Path], typer.Argument(metavar="INVENTORY...", help="inventory.toml; of several, each is placed by itself")
    ],
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
    base: Annotated[
        BaseGpus | None,
        typer.Option("--base", help="GPUs of requests that name no adapter [default: whichever takes fewer]"),
    ] = None,
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
            "--dask", metavar="ADDRESS", help="Place and simulate on the workers of this scheduler: tcp://host:8786"
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
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page: the fleet, GPU by GPU")
    ] = None,
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
    if len(inventory) > 1 and report is not None:
        raise typer.BadParameter("--report draws the fleet of one inventory: name one")
    if len(inventory) > 1 and previous is not None:
        raise typer.BadParameter("--previous is about one inventory: name one")
    if dask is not None and not (verify or exact or len(inventory) > 1):
        raise typer.BadParameter("--dask is for several inventories, or for the twin: add --verify or --exact")
    from advisor.deploy.write import router as routers
    from advisor.deploy.write.render_context import Options
    from advisor.place.changes import previous as earlier
    from advisor.place.place import DEFAULT

    undo_when_killed()
    files = Files(output, tuple(template or ()), tuple(router or ()), routers.checked_url(url or routers.URL), force)
    files.check_formats(vllm)
    with _told_that_nothing_is_placed():
        fleets = [
            Fleet(
                path,
                replace(
                    problem_of(path, zoo),
                    objective=wanted,
                    gpus=gpus,
                    headroom=headroom,
                    failures=int(n_plus_one),
                    base=base,
                    seed=seed,
                    time_s=time,
                ),
            )
            for path in inventory
        ]
        files.check(fleets)
        before = earlier.read(previous) if previous is not None else None
        with _spread(dask) as mapped, _watched(verify or exact) as progress:
            answers = placed_all(
                fleets, mapped, progress, algorithm=algorithm or DEFAULT, previous=before, verify=verify, exact=exact
            )
    strangers = earlier.strangers(before or {}, set(fleets[0].inventory.names))
    if strangers:
        answers = [replace(each, warnings=(*each.warnings, earlier.told(strangers))) for each in answers]
    written = files.write(fleets, answers, Options(vllm, at_run_time))
    tell(fleets, answers, form)  # also where files cannot be written: the answer may have taken long
    if report is not None and answers:
        from advisor.report.page import fleet as page

        write_page(report, page.write(answers[0], fleets[0].inventory))
    if len(answers) < len(fleets) or any(each.interrupted for each in answers):
        streams.note("interrupted: this is the best placement found by then")
        raise typer.Exit(128 + signal.SIGINT)
    if not written:
        raise typer.Exit(2)
    if strangers or any(_is_no(each, strict=strict or gpus is None) for each in answers):
        raise typer.Exit(1)


@contextmanager
def _told_that_nothing_is_placed() -> Iterator[None]:
    """Interrupted with nothing to show for it, that is said."""
    try:
        yield
    except KeyboardInterrupt:
        streams.note("interrupted: nothing had been placed yet")
        raise typer.Exit(128 + signal.SIGINT) from None


def _is_no(answer: Placement, *, strict: bool) -> bool:
    """Whether somebody is on no GPU, if not strict for another reason than that GPUs are too few, or a GPU does not
    hold, or one may not fail that was to."""
    from advisor.place.fleet.refusal import NO_ROOM

    reasons = [*answer.unplaced.values(), *([answer.base_refused] if answer.base_refused is not None else [])]
    refused = [reason for reason in reasons if strict or not reason.startswith(NO_ROOM)]
    return bool(refused or answer.unprotected) or any(not each.holds for each in answer.assignments)


def _spread(scheduler: str | None) -> AbstractContextManager[Mapped]:
    from advisor.place.verification.cluster import spread_over

    return nullcontext(map) if scheduler is None else spread_over(scheduler)


@contextmanager
def _watched(twin: bool) -> Iterator[Progress]:
    """A bar on stderr while GPUs are sought and simulated, if that is a terminal; a note before the twin compiles."""
    from advisor.cli.terminal.compiling import compiling_noted
    from advisor.names import counted
    from twin.progress import bar

    with compiling_noted() if twin else nullcontext(), bar("placing", None) as shown:
        known: int | None = None

        def show(done: int, total: int | None) -> None:
            nonlocal known
            if total != known or done == 0:
                known = total
                shown.begin(total)
            if total is None:
                shown.say(f"placing: {counted(done, 'set')} of adapters tried")
            else:
                shown.show(done, what=f"simulating GPUs: {done:,} of {total:,}")

        yield show
