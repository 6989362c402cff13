"""From the tables of a finished campaign to the Profile of a pair: fit, and say what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.errors import CalibrationError
from calibrate.fit.profile import Subject, fit_profile
from calibrate.fit.served import in_tempo, mean_context
from calibrate.fit.tables import read
from calibrate.live.measurements import tabulate
from calibrate.live.measurements.campaign import START, Campaign
from calibrate.live.server.adapters import read_decoder
from calibrate.live.server.machine import Machine
from calibrate.runs import read_runs
from twin.profile import Profile, Provenance, Serving

SYNCHRONOUS = "--no-async-scheduling"


@dataclass(frozen=True, slots=True)
class Target:
    """What the Profile is to be of, as far as neither the server nor the model's files tell."""

    hub_id: str
    gpu: str
    """Short name."""
    gpu_memory_gib: float
    gpu_memory_utilization: float
    block_size: int
    graph_tokens: int


def profile_of(campaign: Campaign, target: Target, machine: Machine, folder: Path, command: str) -> Profile:
    """Fit the tables of a finished campaign, which `tabulate.write` wrote to `folder`.

    Raises:
        CalibrationError: measurements are missing.
    """
    missing = [f"{start.key}/{one.key}" for start in campaign.starts for one in campaign.left(start)]
    if missing:
        raise CalibrationError(f"{campaign.folder}: {len(missing)} measurements are missing, the first {missing[0]}")
    name = tabulate.model_name(target.hub_id)
    scale = campaign.scale
    started = next(start for start in campaign.starts if not campaign.row(start, START).get("oom"))
    settings = started.settings
    provenance = _provenance(campaign, machine, target)
    subject = Subject(
        hub_id=target.hub_id,
        gpu=target.gpu,
        vllm=str(campaign.row(started, START)["vllm"]),
        gpu_memory_gib=target.gpu_memory_gib,
        kv_bytes_per_token=read_decoder(campaign.model).kv_bytes_per_token(settings.dtype),
        max_model_len=_set(settings.max_model_len, "max_model_len"),
        gpu_memory_utilization=target.gpu_memory_utilization,
        serving=Serving(
            max_num_seqs=_set(settings.max_num_seqs, "max_num_seqs"),
            max_num_batched_tokens=_set(settings.max_num_batched_tokens, "max_num_batched_tokens"),
        ),
        input_tokens=scale.lengths.input_mean,
        source=f"measured on {provenance.machine}, {provenance.date[:10]}",
        block_size=target.block_size,
        graph_tokens=target.graph_tokens,
        context_tokens=mean_context(scale.lengths.input_mean, scale.lengths.output_mean, scale.lengths.output_std),
        scheduling_in_step=True,
        async_scheduling=bool(machine.gpus) and SYNCHRONOUS not in settings.extra,
    )
    served = read_runs(folder / tabulate.SERVED)
    profile = in_tempo(fit_profile(read(folder, name), subject, command, None, served), served)
    return profile.model_copy(update={"provenance": provenance})


def _provenance(campaign: Campaign, machine: Machine, target: Target) -> Provenance:
    gpu = machine.gpus[0] if machine.gpus else None
    shared = replace(campaign.starts[0].settings, max_loras=0)
    return Provenance(
        machine=gpu.name if gpu else machine.cpu,
        memory_gib=round(target.gpu_memory_gib, 1),
        driver=gpu.driver if gpu else "",
        date=machine.date,
        starts=len(campaign.starts),
        minutes=round(campaign.took_s / 60, 1),
        flags=shared.arguments(),
        itl_spread_percent=round(100 * max(spreads.values()), 1) if (spreads := tabulate.spreads(campaign)) else None,
    )


def _set(value: int | None, name: str) -> int:
    if value is None:
        raise CalibrationError(f"settings: {name} wanted, for the Profile holds it")
    return value
