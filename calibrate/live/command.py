"""`python -m calibrate run` and `drift`: measure a model on this machine; see whether its Profile still holds."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibrate import output as out
from calibrate.errors import CalibrationError
from calibrate.live.server.machine import Gpu, Machine, this_machine

if TYPE_CHECKING:
    from calibrate.live.measurements.calibration import Target
    from calibrate.live.measurements.campaign import Campaign
    from calibrate.live.measurements.plan import Start

LOG = "calibrate.log"
DEFAULT_RATES = [1_000, 5_000, 10_000, 20_000, 40_000]
"""Tokens/s that the client is verified at unless told otherwise."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Scales(StrEnum):
    """How far a plan goes."""

    GPU = "gpu"
    BRIEF = "brief"
    QUARTER = "quarter"
    CPU = "cpu"


START_S = {Scales.GPU: 120.0, Scales.BRIEF: 90.0, Scales.QUARTER: 90.0, Scales.CPU: 30.0}
"""What a server takes to start, s; a guess, for the estimate of how long a calibration takes."""
STEP_MS = 30.0
"""A step, ms; likewise."""
UNSTEADY_PERCENT = 20.0
"""How far the ITL of the same requests may lie apart before it is told."""


def run(
    *,
    model: Annotated[Path, typer.Option(help="folder of the model; its config.json is enough with dummy weights")],
    gpu: Annotated[str, typer.Option(help="short name of the GPU type, such as h100-80gb")],
    work: Annotated[Path, typer.Option(help="folder for figures, tables and logs; a stopped run goes on there")],
    output: Annotated[Path, typer.Option("--output", "-o", help="profile to write")],
    hub_id: Annotated[
        str | None, typer.Option(help="Hugging Face id of the model [default: the folder's name]")
    ] = None,
    scale: Annotated[
        Scales, typer.Option(help="how far the plan goes; brief: half an hour, quarter: of an hour")
    ] = Scales.GPU,
    hour_seconds: Annotated[
        float | None,
        typer.Option(
            callback=out.finite, min=1, help="of each run of traffic [default: 600, brief and quarter 60, cpu 20]"
        ),
    ] = None,
    vllm: Annotated[str, typer.Option(help="the vllm command, of this environment or another")] = "vllm",
    env: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="variables of the server")] = None,
    flag: Annotated[list[str] | None, typer.Option(metavar="--NAME=VALUE", help="more flags of vllm serve")] = None,
    url: Annotated[str | None, typer.Option(help="a running server to measure instead of starting any")] = None,
    max_loras: Annotated[
        int | None, typer.Option(min=0, help="with --url: its slots, one of the numbers of the plan")
    ] = None,
    max_lora_rank: Annotated[int | None, typer.Option(min=1, help="with --url: its largest rank")] = None,
    out_of_memory: Annotated[
        bool, typer.Option("--out-of-memory", help="instead of --url: with these slots none starts")
    ] = False,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="the server may be another machine")] = False,
    dummy_weights: Annotated[bool, typer.Option(help="serve random weights of the model's shape")] = True,
    max_model_len: Annotated[int, typer.Option(min=16, help="tokens")] = 32_768,
    max_num_seqs: Annotated[int, typer.Option(min=1)] = 1024,
    max_num_batched_tokens: Annotated[int, typer.Option(min=1)] = 8192,
    gpu_memory_gib: Annotated[
        float | None,
        typer.Option(callback=out.finite, min=0.1, help="default: what the machine reports"),
    ] = None,
    gpu_memory_utilization: Annotated[float, typer.Option(min=0.01, max=1)] = 0.9,
    block_size: Annotated[int, typer.Option(min=1, help="tokens per KV block")] = 16,
    graph_tokens: Annotated[int, typer.Option(min=0, help="of the largest CUDA graph; 0: none are captured")] = 512,
    slots: Annotated[
        list[int] | None, typer.Option(min=0, help="servers of so many slots alone; 0: without LoRA; repeat")
    ] = None,
    experiments: Annotated[
        bool,
        typer.Option("--experiments", "--questions", help="three more servers: what flags and longer requests change"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan, start nothing")] = False,
) -> None:
    """Measure a model: start vLLM as often as it takes (or use --url), send traffic, fit a profile, validate it."""
    from calibrate.live.measurements import plan, tabulate
    from calibrate.live.measurements.campaign import Campaign
    from calibrate.live.measurements.experiments import results, table, with_experiments
    from calibrate.live.server.running import attached
    from calibrate.live.server.settings import LaunchSettings

    scales = {Scales.GPU: plan.GPU, Scales.BRIEF: plan.BRIEF, Scales.QUARTER: plan.QUARTER, Scales.CPU: plan.CPU}
    chosen = scales[scale]
    chosen = replace(chosen, hour_seconds=hour_seconds or chosen.hour_seconds)
    base = LaunchSettings(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization if scale is not Scales.CPU else None,
        load_format="dummy" if dummy_weights else None,
        enable_prefix_caching=False,
        extra=(f"--block-size={block_size}", *(flag or ())),
    )
    starts = (plan.hurried if scale is Scales.QUARTER else plan.plan)(chosen, base)
    starts = with_experiments(starts, chosen) if experiments else starts
    known = {start.settings.max_loras: None for start in starts}
    if wrong := [each for each in slots or [] if each not in known]:
        raise CalibrationError(f"--slots {wrong[0]}: the plan has servers of {', '.join(map(str, known))} slots")
    campaign = Campaign(model, chosen, starts, work, vllm, environment=_pairs(env or []))
    if dry_run:
        print(f"calibrate: about {_left_s(campaign, scale) / 60:.0f} minutes to go", file=sys.stderr)
        out.show(plan.table(campaign.starts))
        return
    hub_id = hub_id or model.absolute().name
    theirs = _start_of_others(campaign, max_loras, max_lora_rank) if url is not None or out_of_memory else None
    with out.locked(work):
        try:
            if theirs is None:
                _watched(campaign, scale, lambda shown: shown.run(slots or ()))
            elif url is None:
                campaign.note_out_of_memory(theirs)
            else:
                with attached(url, allow_remote=allow_remote) as server:
                    _watched(campaign, scale, lambda shown: shown.attach(server, theirs, allow_remote=allow_remote))
        finally:  # also of a calibration that has to end early
            tabulate.write(campaign, tabulate.model_name(hub_id), work / "tables")
        if experiments:
            out.show(table(results(campaign)))
        waiting = [start for start in campaign.starts if campaign.left(start)]
        if waiting:
            print(f"calibrate: {len(waiting)} of {len(campaign.starts)} servers to be measured, next:", file=sys.stderr)
            print(shlex.join(["vllm", "serve", str(model), *waiting[0].settings.arguments()]))
            return
        if scale is Scales.QUARTER:
            print(f"calibrate: all is measured; hold a derived profile to {work / 'tables'}", file=sys.stderr)
            return

        try:
            from calibrate.live.measurements import calibration
        except ModuleNotFoundError as error:  # a server's environment need not have what only the fit takes
            raise CalibrationError(
                f"all is measured, and in {work}; to fit it {error.name} is needed: the same command does it where the "
                "project is installed with '.[calibrate]'"
            ) from error

        machine = this_machine()
        if allow_remote and gpu_memory_gib:
            machine = replace(machine, gpus=(Gpu(gpu, 1024 * gpu_memory_gib, "", None, None),))
        target = calibration.Target(
            hub_id=hub_id,
            gpu=gpu,
            gpu_memory_gib=gpu_memory_gib or _gpu_memory_gib(machine),
            gpu_memory_utilization=gpu_memory_utilization,
            block_size=block_size,
            graph_tokens=graph_tokens,
        )
        _conclude(campaign, target, machine, work, output)


def _start_of_others(campaign: Campaign, max_loras: int | None, max_lora_rank: int | None) -> Start:
    """The start of the plan that somebody else made, or tried to make."""
    if max_loras is None or max_lora_rank is None:
        raise CalibrationError(
            "--url, --out-of-memory: --max-loras and --max-lora-rank are needed, too: no server reports them"
        )
    return campaign.start_with(max_loras, max_lora_rank)


def _conclude(campaign: Campaign, target: Target, machine: Machine, work: Path, output: Path) -> None:
    """Fit the profile, and show the twin beside the traffic kept out of the fit."""
    from calibrate.live.measurements import calibration, tabulate
    from calibrate.runs import read_runs
    from calibrate.validation import comparison

    out.write(work / "provenance.json", f"{json.dumps(machine.provenance(), indent=1)}\n".encode())
    profile = calibration.profile_of(campaign, target, machine, work / "tables", out.called())
    out.write(output, profile.to_toml().encode())
    if profile.provenance and (spread := profile.provenance.itl_spread_percent or 0.0) > UNSTEADY_PERCENT:
        print(
            f"calibrate: the ITL of the same requests, sent more than once, lay {spread:.0f} % apart: the machine was "
            "busy otherwise or changed its clock, and no profile can be more exact than that; measure again when it is "
            "quiet",
            file=sys.stderr,
        )
    runs = read_runs(work / "tables" / tabulate.VALIDATION)
    profiles = {run.model: profile for run in runs}
    found = comparison.validate(runs, [], profiles, seeds=1, jobs=1, worst_runs=len(runs))
    out.show(comparison.scoreboard(found))


def _watched(campaign: Campaign, scale: Scales, work: Callable[[Campaign], None]) -> None:
    """Work on the campaign, showing and logging how it goes."""
    from calibrate.live.progress import display

    left = f"about {_left_s(campaign, scale) / 60:.0f} minutes to go"
    print(f"calibrate: {left}; log in {campaign.folder / LOG}", file=sys.stderr)
    try:
        with display(campaign.folder / LOG, lambda: _left_s(campaign, scale)) as shown:
            work(replace(campaign, say=shown.say, watch=shown.watch))
    except KeyboardInterrupt:
        print(f"calibrate: stopped; the same command goes on with what is in {campaign.folder}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _left_s(campaign: Campaign, scale: Scales) -> float:
    from calibrate.live.measurements.campaign import remaining_s

    return remaining_s(campaign, start_s=START_S[scale], step_ms=STEP_MS)


def _gpu_memory_gib(machine: Machine) -> float:
    """Of the first GPU; where vLLM runs on the CPU, of the machine."""
    memory_mib = machine.gpus[0].memory_mib if machine.gpus else None
    return memory_mib / 1024 if memory_mib else machine.memory_gib


def _pairs(settings: list[str]) -> dict[str, str]:
    wrong = [one for one in settings if "=" not in one]
    if wrong:
        raise CalibrationError(f"--env {wrong[0]}: NAME=VALUE wanted")
    return dict(one.split("=", 1) for one in settings)


def drift(
    profile: Annotated[Path, typer.Argument(help="profile.toml to check")],
    *,
    max_loras: Annotated[int, typer.Option(min=1, help="slots of the server, which it does not report")],
    max_lora_rank: Annotated[int, typer.Option(min=1, help="its largest rank, which it does not report either")],
    url: Annotated[str | None, typer.Option(help="a running server that nothing else uses meanwhile")] = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option(help="instead: its saved /metrics; given twice, earlier and later, the time in between"),
    ] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="requests in flight; repeat [default: 8, 64]")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="the server may be another machine")] = False,
) -> None:
    """Does a profile still describe a server? Keeps it full for a moment, or reads its metrics; exit code 1 if not."""
    from calibrate.live import drift as drifting
    from calibrate.live.server.metrics import Scrape
    from calibrate.live.server.running import attached
    from twin.profile import load

    known = load(profile)
    if (url is None) == (not metrics) or len(metrics or []) > 2:
        raise CalibrationError("drift: --url wanted, or --metrics once or twice")
    if url is None:
        read = [Scrape.parse(_text(file)) for file in metrics or []]
        between = read[1].since(read[0]) if len(read) == 2 else read[0]
        found = drifting.by_metrics(known, between, max_loras=max_loras, max_lora_rank=max_lora_rank)
    else:
        with attached(url, allow_remote=allow_remote) as server:
            if not server.adapters:
                raise CalibrationError(f"{url}: serves no adapter; load some, so that the profile can be held to them")
            found = drifting.by_traffic(
                known,
                server,
                server.adapters,
                max_loras=max_loras,
                max_lora_rank=max_lora_rank,
                batches=batch or (8, 64),
                allow_remote=allow_remote,
            )
    out.show(drifting.table(known, found))
    if not found.holds:
        raise typer.Exit(1)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{file}: cannot read the metrics: {error}") from error


def verify_client(
    tokens_per_second: Annotated[list[int], typer.Argument(min=1, help="rates to try")] = DEFAULT_RATES,
    answer_tokens: Annotated[int, typer.Option(min=1, help="of every answer")] = 50,
) -> None:
    """How much traffic the load generator bears on this machine, against a server that costs next to nothing."""
    from calibrate.live.client import capacity

    found = [asyncio.run(capacity.verify(rate, answer_tokens=answer_tokens)) for rate in tokens_per_second]
    out.show(capacity.table(found))
