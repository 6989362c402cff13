"""`advisor recommend`."""

from __future__ import annotations

import signal
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.commands.inventory.logged import BusiestHour, LogGpu, LogModel, Ranks, logged
from advisor.cli.terminal import streams
from advisor.cli.terminal.page import write_page
from advisor.cli.usage.options import (
    TTFT_LIMIT,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    objective_of,
    recommendation_of,
)
from advisor.recommend.objective import ObjectiveName
from advisor.report import Format, write

if TYPE_CHECKING:
    from advisor.inventory.inventory import Inventory
    from advisor.recommend.answer.recommendation import Recommendation
    from advisor.recommend.objective import Objective
    from advisor.zoo.pair import Pair


SEARCHED = "--exact has the digital twin search the answer by that percentile"
SETTLED = f"{SEARCHED}; --verify has it measure this answer's in a simulated hour"
"""Where a percentile is limited; the first where there is nothing to verify."""


class Trace(StrEnum):
    """How an answer is explained."""

    WORDS = "words"
    FULL = "full"


def recommend(
    inventory: Annotated[Path, typer.Argument(metavar="INVENTORY", help="inventory.toml, or a log of requests")],
    *,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]  # typer parses defaults, too
    itl_limit: ItlLimit = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the digital twin check the answer and its neighbours")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Let the digital twin search the answer: seconds, not a fraction of one")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="Write a page: curves, memory, the trace"),
    ] = None,
    chart: Annotated[bool, typer.Option("--chart", help="Show what becomes of it as adapters are added")] = False,
    trace: Annotated[Trace, typer.Option("--trace", help="Why, in words or as the rules have it")] = Trace.WORDS,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless every adapter is admitted")] = False,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written")] = Format.TEXT,
    model: LogModel = None,
    gpu: LogGpu = None,
    ranks: Ranks = None,
    busiest_hour: BusiestHour = False,
    zoo: Zoo = None,
) -> None:
    """Recommend launch flags and an admission limit."""
    if chart and form is not Format.TEXT:
        raise typer.BadParameter("--chart belongs to --format text; --report draws a page beside any format")
    if trace is Trace.FULL and form is not Format.TEXT:
        raise typer.BadParameter("--trace full belongs to --format text; the other formats hold all of the trace")
    wanted = objective_of(objective, ttft_limit, itl_limit)
    log = logged(inventory, model=model, gpu=gpu, ranks=ranks, busiest_hour=busiest_hour)
    loaded, pair, answer = recommendation_of(inventory, wanted, zoo, log, _exactly if exact else None)
    if wanted.of_percentiles and answer.exact is None and not (verify and answer.feasible):
        answer = replace(answer, warnings=(*answer.warnings, SETTLED if answer.feasible else SEARCHED))
    if answer.exact is None and (form is not Format.ARGS or report is not None):  # what the models say of theirs
        from advisor.recommend.what_if.explore import explored

        answer = explored(loaded, pair, wanted, answer)
    if verify and answer.feasible:
        from advisor.cli.terminal.compiling import compiling_noted
        from advisor.neighbours import compared
        from advisor.recommend.uncertainty import admitting
        from advisor.simulation import verified

        with compiling_noted():
            answer = verified(answer, loaded, pair.profile, wanted)
            answer = compared(answer, loaded, admitting(pair, loaded).profile, wanted)
    text = {"width": streams.width() or streams.WIDTH, "full_trace": trace is Trace.FULL} if form is Format.TEXT else {}
    streams.write(write(answer, form, **text))
    if report is not None or chart:
        _draw(loaded, pair, wanted, answer, report=report, chart=chart)
    if form is Format.ARGS and not answer.feasible:
        streams.note(f"not feasible: {answer.reason}")
    if answer.exact is not None and answer.exact.interrupted:
        streams.note("interrupted: this is the best found by then")
        raise typer.Exit(128 + signal.SIGINT)
    refused = strict and (not answer.feasible or answer.admission.rejected)
    if refused or answer.disproved:
        raise typer.Exit(1)


def _exactly(inventory: Inventory, pair: Pair, objective: Objective) -> Recommendation:
    """What the digital twin recommends; a bar on stderr shows what it is doing, if that is a terminal."""
    from advisor.cli.terminal.compiling import compiling_noted
    from advisor.exact.exact import exactly
    from twin.progress import bar

    with compiling_noted(), bar("simulating", None) as shown:
        return exactly(inventory, pair, objective, shown.say)


def _draw(
    inventory: Inventory, pair: Pair, objective: Objective, answer: Recommendation, *, report: Path | None, chart: bool
) -> None:
    """Show, or write into a page, what becomes of the server as adapters are added."""
    from advisor.recommend.what_if.growth import grow

    growth = grow(inventory, pair, objective, answer)
    if chart and growth is not None and answer.settings is not None:
        from advisor.report import bars
        from advisor.report.lines import wrapped
        from advisor.report.prose.outlook import end, takes

        slots, plain = answer.settings.max_loras, not streams.draws_blocks()
        curve = min(growth.curves, key=lambda each: abs(each.max_loras - slots))
        drawn = bars.write(curve, answer.admission.asked, ttft=growth.ttft, end=end(answer), plain=plain)
        streams.write(f"\n{drawn}")
        streams.write(wrapped(takes(growth, answer), streams.width() or streams.WIDTH))
    if report is not None:
        from advisor.report.page import answer as page

        write_page(report, page.write(answer, growth, pair.profile, objective))
