"""`python -m calibrate run` and `drift`: measure a model on this machine; see whether its Profile still holds."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibrate import output as out
from calibrate.errors import CalibrationError
from calibrate.live.machine import Machine, this_machine


class Scales(StrEnum):
    """How far a plan goes."""

    GPU = "gpu"
    CPU = "cpu"


START_S = {Scales.GPU: 120.0, Scales.CPU: 30.0}
"""What a server takes to start, s; a guess, for the estimate of how long a calibration takes."""
STEP_MS = 30.0
"""A step, ms; likewise."""


def run(
    *,
    model: Annotated[Path, typer.Option(help="folder of the model; its config.json is enough with dummy weights")],
    hub_id: Annotated[str, typer.Option(help="Hugging Face id of the model")],
    gpu: Annotated[str, typer.Option(help="short name of the GPU type, such as h100-80gb")],
    work: Annotated[Path, typer.Option(help="folder for figures, tables and logs; a stopped run goes on there")],
    output: Annotated[Path, typer.Option("--output", "-o", help="profile to write")],
    scale: Annotated[Scales, typer.Option(help="how far the plan goes")] = Scales.GPU,
    vllm: Annotated[str, typer.Option(help="the vllm command, of this environment or another")] = "vllm",
    env: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="variables of the server")] = None,
    flag: Annotated[list[str] | None, typer.Option(metavar="--NAME=VALUE", help="more flags of vllm serve")] = None,
    dummy_weights: Annotated[bool, typer.Option(help="serve random weights of the model's shape")] = True,
    max_model_len: Annotated[int, typer.Option(min=16, help="tokens")] = 32_768,
    max_num_seqs: Annotated[int, typer.Option(min=1)] = 1024,
    max_num_batched_tokens: Annotated[int, typer.Option(min=1)] = 8192,
    gpu_memory_gib: Annotated[float | None, typer.Option(min=0.1, help="default: what the machine says")] = None,
    gpu_memory_utilization: Annotated[float, typer.Option(min=0.01, max=1)] = 0.9,
    block_size: Annotated[int, typer.Option(min=1, help="tokens per KV block")] = 16,
    graph_tokens: Annotated[int, typer.Option(min=0, help="of the largest CUDA graph; 0: none are captured")] = 512,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan, start nothing")] = False,
) -> None:
    """Measure a model on this machine: start vLLM as often as it takes, send traffic, fit a profile, validate it."""
    from calibrate.live import calibration, plan
    from calibrate.live.campaign import Campaign, remaining_s
    from calibrate.live.settings import Settings

    chosen = plan.CPU if scale is Scales.CPU else plan.GPU
    base = Settings(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization if scale is Scales.GPU else None,
        load_format="dummy" if dummy_weights else None,
        enable_prefix_caching=False,
        extra=(f"--block-size={block_size}", *(flag or ())),
    )
    with Console(stderr=True).status("") as status:
        campaign = Campaign(
            model, chosen, plan.plan(chosen, base), work, vllm, environment=_pairs(env or []), say=status.update
        )
        minutes = remaining_s(campaign, start_s=START_S[scale], step_ms=STEP_MS) / 60
        print(f"calibrate: {len(campaign.starts)} servers, about {minutes:.0f} minutes to go", file=sys.stderr)
        if dry_run:
            out.show(plan.table(campaign.starts))
            return
        campaign.run()
    machine = this_machine()
    out.write(work / "provenance.json", f"{json.dumps(machine.provenance(), indent=1)}\n".encode())
    target = calibration.Target(
        hub_id=hub_id,
        gpu=gpu,
        gpu_memory_gib=gpu_memory_gib or _gpu_memory_gib(machine),
        gpu_memory_utilization=gpu_memory_utilization,
        block_size=block_size,
        graph_tokens=graph_tokens,
        source=f"measured on {machine.gpus[0].name if machine.gpus else machine.cpu}, {machine.date[:10]}",
    )
    profile = calibration.profile_of(campaign, target, work / "tables", out.called())
    out.write(output, profile.to_toml().encode())
    out.show(calibration.comparison(profile, work / "tables", seeds=3, jobs=os.cpu_count() or 1))


def _gpu_memory_gib(machine: Machine) -> float:
    """Of the first GPU; where vLLM runs on the CPU, of the machine."""
    told = machine.gpus[0].memory_mib if machine.gpus else None
    return told / 1024 if told else machine.memory_gib


def _pairs(settings: list[str]) -> dict[str, str]:
    wrong = [one for one in settings if "=" not in one]
    if wrong:
        raise CalibrationError(f"--env {wrong[0]}: NAME=VALUE wanted")
    return dict(one.split("=", 1) for one in settings)


def drift(
    profile: Annotated[Path, typer.Argument(help="profile.toml to check")],
    *,
    url: Annotated[str, typer.Option(help="a running server that nothing else uses meanwhile")],
    max_loras: Annotated[int, typer.Option(min=1, help="the server's, which it does not tell")],
    max_lora_rank: Annotated[int, typer.Option(min=1, help="likewise")],
    batch: Annotated[list[int] | None, typer.Option(min=1, help="requests in flight; repeat [default: 8, 64]")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="the server may be another machine")] = False,
) -> None:
    """Keep a running server full for a moment: does the profile still describe it? Exit code 1 if not."""
    from calibrate.live import drift as drifting
    from calibrate.live.server import attached
    from twin.profile import load

    known = load(profile)
    with attached(url, allow_remote=allow_remote) as server:
        if not server.adapters:
            raise CalibrationError(f"{url}: serves no adapter; load some, so that the profile can be held to them")
        found = drifting.compare(
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
