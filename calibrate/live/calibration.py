"""From a model on this machine to the Profile of a pair: measure, tabulate, fit, compare with what was kept aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.table import Table

from calibrate.errors import CalibrationError
from calibrate.fit import Subject, fit_profile
from calibrate.live import tabulate
from calibrate.live.adapters import read_decoder
from calibrate.live.campaign import START, Campaign
from calibrate.replay import replay
from calibrate.runs import read_runs
from calibrate.scores import MEASURES
from calibrate.served import mean_context
from calibrate.tables import read
from twin.profile import Profile, Serving


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
    source: str


def profile_of(campaign: Campaign, target: Target, folder: Path, command: str) -> Profile:
    """Write the tables of a finished campaign to `folder` and fit them.

    Raises:
        CalibrationError: measurements are missing.
    """
    missing = [f"{start.key}/{one.key}" for start in campaign.starts for one in campaign.left(start)]
    if missing:
        raise CalibrationError(f"{campaign.folder}: {len(missing)} measurements are missing, the first {missing[0]}")
    name = target.hub_id.rsplit("/", 1)[-1].lower()
    tabulate.write(campaign, name, folder)
    scale, first = campaign.scale, campaign.starts[-1]
    told = campaign.row(first, START)
    settings = first.settings
    subject = Subject(
        hub_id=target.hub_id,
        gpu=target.gpu,
        vllm=str(told["vllm"]),
        gpu_memory_gib=target.gpu_memory_gib,
        kv_bytes_per_token=read_decoder(campaign.model).kv_bytes_per_token(settings.dtype),
        max_model_len=_set(settings.max_model_len, "max_model_len"),
        gpu_memory_utilization=target.gpu_memory_utilization,
        serving=Serving(
            max_num_seqs=_set(settings.max_num_seqs, "max_num_seqs"),
            max_num_batched_tokens=_set(settings.max_num_batched_tokens, "max_num_batched_tokens"),
        ),
        input_tokens=scale.input_mean,
        source=target.source,
        block_size=target.block_size,
        graph_tokens=target.graph_tokens,
        context_tokens=mean_context(scale.input_mean, scale.output_mean, scale.output_std),
        scheduling_in_step=True,
    )
    served = read_runs(folder / tabulate.SERVED)
    return fit_profile(read(folder, name), subject, command, None, served)


def comparison(profile: Profile, folder: Path, seeds: int, jobs: int) -> Table:
    """The twin with this profile beside the traffic that was kept out of the fit: means over the seeds."""
    runs = read_runs(folder / tabulate.VALIDATION)
    outcomes = [replay(runs, {run.model: profile for run in runs}, seed, jobs) for seed in range(seeds)]
    found = Table(title="kept out of the fit: measured > twin", title_justify="left")
    found.add_column("offered tok/s", justify="right")
    for words in MEASURES.values():
        found.add_column(words, justify="right")
    found.add_column("starved", justify="right")
    for at, run in enumerate(runs):
        said = [each[at] for each in outcomes]
        means = {name: fmean(getattr(one, name) for one in said) for name in MEASURES}
        figures = (f"{getattr(run.measured, name):,.4g} > {mean:,.4g}" for name, mean in means.items())
        starved = "/".join(sorted({"yes" if one.starved else "no" for one in said}))
        measured = "yes" if run.measured.starved else "no"
        found.add_row(f"{run.measured.offered_tok_s:,.0f}", *figures, f"{measured} > {starved}")
    return found


def _set(value: int | None, name: str) -> int:
    if value is None:
        raise CalibrationError(f"settings: {name} wanted, for the Profile holds it")
    return value
