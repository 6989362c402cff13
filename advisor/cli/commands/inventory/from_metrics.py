"""`advisor inventory from-metrics`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from advisor.cli.commands.inventory.output import Force, Form, Gpu, Into, InventoryFormat, Model, Output, Writer
from advisor.cli.usage.duration import seconds


def from_metrics(
    sources: Annotated[
        list[str], typer.Argument(metavar="URL|FILE", help="Pages of metrics: of a gateway, of vLLM, or of several")
    ],
    *,
    earlier: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="A scrape of the same before; --over is the time between")
    ] = None,
    over: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="The time that the counters span, such as 24h"),
    ] = None,
    wait: Annotated[
        float | None, typer.Option(parser=seconds, metavar="TIME", help="Scrape each URL twice, so long apart")
    ] = None,
    range_: Annotated[
        float | None,
        typer.Option("--range", parser=seconds, metavar="TIME", help="Ask a Prometheus server for its last 24h, say"),
    ] = None,
    spread: Annotated[
        bool, typer.Option("--spread", help="Share vLLM's total evenly among the adapters it saw")
    ] = False,
    model: Model = None,
    gpu: Gpu = None,
    output: Output = None,
    into: Into = None,
    force: Force = False,
    form: Form = InventoryFormat.TOML,
) -> None:
    """Read traffic by adapter from a gateway's page (Gateway API, Dynamo, LiteLLM), totals from vLLM's, or Prometheus.

    vLLM itself tells no traffic by adapter: only totals, and names that it saw.
    """
    if sum(each is not None for each in (earlier, wait, range_)) > 1:
        raise typer.BadParameter("--earlier, --wait and --range are three ways to the same: keep one of them")
    if earlier and over is None:
        raise typer.BadParameter("--earlier needs --over: the time between the two scrapes")
    if earlier and len(earlier) != len(sources):
        raise typer.BadParameter("--earlier is needed once for each page, in the same order")
    writer = Writer(model=model, gpu=gpu, output=output, into=into, force=force, form=form)
    from advisor.discovery.pages import metrics, scrape
    from advisor.errors import InputError

    notes = list[str]()
    if range_ is not None:
        if len(sources) > 1 or not scrape.is_url(sources[0]):
            raise InputError("--range asks one Prometheus server: a URL such as http://prometheus:9090 is needed")
        page, over = scrape.over(sources[0], range_), range_
    else:
        before = [scrape.read(each) for each in (earlier or (sources if wait is not None else []))]
        if wait is not None:
            if not all(map(scrape.is_url, sources)):
                raise InputError("--wait scrapes twice: URLs are needed; of files, --earlier names the first scrapes")
            time.sleep(wait)
            over = wait
        pages = [scrape.read(each) for each in sources]
        if over is None and len(pages) == 1 and (age := scrape.age_s(sources[0], pages[0])) is not None:
            over = age
            notes.append(
                f"rates are means since the server began, {age / 3600:.3g} h ago; --wait 60s takes those of now"
            )
        if before:
            if any(later.began_anew(first) for later, first in zip(pages, before, strict=True)):
                notes.append(
                    "a server began anew between the scrapes: only what came since was counted, so rates are too low"
                )
            pages = [later.since(first) for later, first in zip(pages, before, strict=True)]
        page = pages[0]
        for other in pages[1:]:
            page += other
    writer.write(metrics.discover(page, span_s=over, base_names=writer.base_names(), spread=spread).noting(*notes))
