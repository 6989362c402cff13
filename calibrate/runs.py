"""Measured serving runs, as the twin can repeat them.

A CSV table, one row per run of a real server under Poisson traffic; columns not named here are ignored:
    model, group; adapter_slots (max_loras), served_adapters, max_lora_rank; rates (requests/s, separated by spaces) and
    rate_counts (adapters of each rate), ranks (dealt out evenly in turn), all three empty where nothing is known of a
    run with oom = 1; drawn_mean_input, drawn_mean_output (tokens);
    oom (1: the server did not start); duration_s, completed, arrivals (expected ones where the column is missing or
    empty); input_tok_s, output_tok_s, itl_mean_ms, ttft_mean_ms (over completed requests), num_running_mean;
    num_waiting_mean, num_preempted_mean (0 where missing); tpot_mean_ms (itl_mean_ms where missing);
    itl_p50_ms, itl_p99_ms, ttft_p50_ms, ttft_p99_ms (optional);
    num_waiting_2nd_half_mean (num_waiting_mean where missing, and without that, what neither completed nor ran);
    drawn_std_input, drawn_std_output (tokens), drawn_correlation (of their logarithms): `twin.lengths.SHAREGPT` where
    missing;
    idle_samples (share of the samples of num_running_mean that were taken outside the run; see `calibrate.replay`);
    requests (CSV file beside the table: sent_s, adapter, input_tokens, output_tokens of every request, for runs whose
    requests are known one by one);
    published_twin_tok_s, published_twin_itl_ms, published_twin_ttft_ms (another simulator's prediction; optional)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.csv_table import read_csv
from calibrate.errors import CalibrationError
from twin import service_level
from twin.lengths import SHAREGPT
from twin.profile import Profile
from twin.settings import LORA_RANKS, Settings
from twin.workload import Requests, Workload

COLUMNS = [
    *["model", "group", "adapter_slots", "served_adapters", "max_lora_rank", "rates", "rate_counts", "ranks"],
    *["drawn_mean_input", "drawn_mean_output", "oom", "duration_s", "completed"],
    *["input_tok_s", "output_tok_s", "itl_mean_ms", "ttft_mean_ms", "num_running_mean"],
]
FIGURES = ["completed", "input_tok_s", "output_tok_s", "num_running_mean"]
"""Of every run that started; times are there only where something completed."""
TEXT = ("model", "group", "rates", "rate_counts", "ranks", "requests")
REQUEST_COLUMNS = ["sent_s", "adapter", "input_tokens", "output_tokens"]
MOST_TOKENS, MOST_ADAPTERS, MOST_REQUESTS = 10_000_000, 100_000, 100_000_000
"""In a request, on a server, in a run: far more than anyone measures, and still no harm to the twin."""
PERCENTILES = ("itl_p50_ms", "itl_p99_ms", "ttft_p50_ms", "ttft_p99_ms")
PUBLISHED = ["published_twin_tok_s", "published_twin_itl_ms", "published_twin_ttft_ms"]

Row = Mapping[Hashable, Any]

ANSWERED = {"llama-3.1-8b-instruct": 0.990, "qwen-2.5-7b-instruct": 0.957}
"""Model -> share of the drawn output tokens that it generated before it ended its answer, 1 where a model is not named;
means of the hours of optimum_search.csv that did not starve."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to, measured or simulated; NaN where there is nothing to measure."""

    oom: bool
    offered_tok_s: float
    throughput_tok_s: float = np.nan
    """Input + output tokens."""
    itl_ms: float = np.nan
    tpot_ms: float = np.nan
    """Time per output token after the first, mean over requests."""
    ttft_ms: float = np.nan
    """Over completed requests."""
    ttft_penalised_ms: float = np.nan
    """Mean, with the whole duration for every arrival that did not complete (Agulló et al. 2025)."""
    itl_p50_ms: float = np.nan
    itl_p99_ms: float = np.nan
    ttft_p50_ms: float = np.nan
    ttft_p99_ms: float = np.nan
    running: float = np.nan
    """Running requests, mean."""
    waiting: float = np.nan
    """Waiting requests, mean."""
    input_tok_s: float = np.nan
    output_tok_s: float = np.nan
    preemptions: float = np.nan
    """Measured: of the counter, which grows, the mean; simulated: at the end."""
    arrived: int = 0
    """Requests that arrived and were accepted; the next two count requests, too."""
    completed: int = 0
    waiting_end: int = 0
    """Measured: the mean of the second half, or what else the table tells, for the samples of the published runs go on
    until nothing waits any more.
    """
    wall_s: float = np.nan
    """What the simulation took."""

    @property
    def starved(self) -> bool:
        """Does not start, or serves less than 90 % of what arrived while others wait."""
        return self.oom or service_level.starved(self.completed, self.arrived, self.waiting_end)

    @property
    def published_starvation(self) -> bool:
        """The papers' rule, which is all that can be said of their simulator's figures."""
        return service_level.published_starvation(self.throughput_tok_s, self.offered_tok_s)

    def steady(self, ttft_limit_s: float = service_level.TTFT_LIMIT_S) -> bool:
        """Starts, does not starve, and the mean TTFT is within the limit."""
        limit = service_level.Limit(ttft_limit_s)
        return not self.oom and service_level.steady(starved=self.starved, ttft_ms=self.ttft_ms, ttft_limit=limit)


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One measured run."""

    model: str
    group: str
    max_loras: int
    adapters: int
    max_lora_rank: int
    duration_s: float
    workload: Workload
    measured: Outcome
    published: Outcome | None
    """Another simulator's prediction."""
    idle_samples: float | None = None
    """Share of the samples of running requests that were taken outside the run; None where the table does not tell."""
    requests: Requests | None = None
    """What was sent, where that is known request by request; else others like them are drawn."""

    @property
    def name(self) -> str:
        return f"{self.model} {self.group} slots={self.max_loras} adapters={self.adapters}"

    def server(self, profile: Profile) -> Settings:
        """The server of the run."""
        return profile.settings(
            max_loras=self.max_loras,
            max_cpu_loras=max(self.adapters, self.max_loras),
            max_lora_rank=self.max_lora_rank,
        )


def read_runs(path: Path) -> list[MeasuredRun]:
    """The runs of a table.

    Raises:
        CalibrationError: no such file, no CSV, a column is missing, or a row cannot be read.
    """
    table = read_csv(path, COLUMNS, text=TEXT)
    runs = []
    for line, row in enumerate(table.to_dict("records"), start=2):
        try:
            if row["oom"] or not np.isnan(row["completed"]):  # else a run that left no figures
                file = row.get("requests")
                requests = _requests(path.parent / file, int(row["served_adapters"])) if isinstance(file, str) else None
                runs.append(_run(row, requests))
        except CalibrationError as error:
            raise CalibrationError(f"{path}:{line}: {error}") from error
        except (ValueError, TypeError, ArithmeticError) as error:
            raise CalibrationError(f"{path}:{line}: cannot read the run: {error}") from error
    return runs


def _requests(path: Path, adapters: int) -> Requests:
    table = read_csv(path, REQUEST_COLUMNS, text=("adapter", "error"))
    tokens = table[["input_tokens", "output_tokens"]].to_numpy(np.float64)
    if table.empty or not table["sent_s"].is_monotonic_increasing or not table["adapter"].nunique() <= adapters:
        raise CalibrationError(f"{path}: requests of at most {adapters} adapters wanted, in the order of sent_s")
    if not ((tokens >= 1) & (tokens <= MOST_TOKENS)).all():
        raise CalibrationError(f"{path}: input_tokens, output_tokens: 1 to {MOST_TOKENS:,} wanted")
    return Requests(
        table["sent_s"].to_numpy(np.float64),
        np.unique(table["adapter"].to_numpy(str), return_inverse=True)[1].astype(np.int32),
        table["input_tokens"].to_numpy(np.int32),
        table["output_tokens"].to_numpy(np.int32),
    )


def _run(row: Row, requests: Requests | None) -> MeasuredRun:
    _check(row)
    workload = _workload(row)
    measured = _measured(row, workload)
    if requests is not None:
        offered = float(requests.input.sum() + requests.output.sum()) / float(row["duration_s"])
        measured = replace(measured, offered_tok_s=offered)
    return MeasuredRun(
        model=str(row["model"]),
        group=str(row["group"]),
        max_loras=int(row["adapter_slots"]),
        adapters=int(row["served_adapters"]),
        max_lora_rank=int(row["max_lora_rank"]),
        duration_s=_number(row, "duration_s", 3600.0),
        workload=workload,
        measured=measured,
        published=_published(row, workload),
        idle_samples=float(row["idle_samples"]) if "idle_samples" in row else None,
        requests=requests,
    )


def _check(row: Row) -> None:
    """Refuse what no server can be: the twin takes the figures as they are."""
    for name, least, most in (
        ("adapter_slots", 1, MOST_ADAPTERS),
        ("served_adapters", 1, MOST_ADAPTERS),
        ("duration_s", 1e-3, 1e9),
        ("drawn_mean_input", 1, MOST_TOKENS),
        ("drawn_mean_output", 1, MOST_TOKENS),
        ("drawn_correlation", -1, 1),
        ("idle_samples", 0, 0.99),
        ("oom", 0, 1),
    ):
        if not least <= _number(row, name, least) <= most:
            raise ValueError(f"{name}: {least:g} to {most:g} wanted, not {row[name]:g}")
    if int(row["max_lora_rank"]) not in LORA_RANKS:
        raise ValueError(
            f"max_lora_rank: one of {', '.join(map(str, LORA_RANKS))} wanted, not {row['max_lora_rank']:g}"
        )
    if not row["oom"] and np.isnan([float(row[name]) for name in ("duration_s", *FIGURES)]).any():
        raise ValueError(f"duration_s, {', '.join(FIGURES)}: figures wanted, for the server started")


def _workload(row: Row) -> Workload:
    if int(row["oom"]) and not isinstance(row["rates"], str):
        row = {**row, "rates": "0.01", "rate_counts": str(row["served_adapters"]), "ranks": str(row["max_lora_rank"])}
    rates = [float(rate) for rate in str(row["rates"]).split()]
    counts = [int(count) for count in str(row["rate_counts"]).split()]
    ranks = [float(rank) for rank in str(row["ranks"]).split()]
    if len(rates) != len(counts) or min(counts, default=0) < 1 or sum(counts) != int(row["served_adapters"]):
        raise ValueError(f"rate_counts '{row['rate_counts']}' do not match rates and served_adapters")
    asked = sum(rate * count for rate, count in zip(rates, counts, strict=True)) * _number(row, "duration_s", 3600.0)
    if not min(rates) >= 0 or not asked <= MOST_REQUESTS:
        raise ValueError(f"rates '{row['rates']}': no more than {MOST_REQUESTS:,} requests in the run wanted")
    if not ranks or not (min(ranks) >= 1 and max(ranks) <= LORA_RANKS[-1]):
        raise ValueError(f"ranks '{row['ranks']}': 1 to {LORA_RANKS[-1]} wanted")
    answered = ANSWERED.get(str(row["model"]), 1.0)
    return Workload.alike(
        np.repeat(rates, counts),
        rank=np.resize(np.array(ranks), sum(counts)),
        input_mean=_number(row, "drawn_mean_input", SHAREGPT.input_mean),
        input_std=_number(row, "drawn_std_input", SHAREGPT.input_std),
        output_mean=answered * _number(row, "drawn_mean_output", SHAREGPT.output_mean),
        output_std=answered * _number(row, "drawn_std_output", SHAREGPT.output_std),
        correlation=_number(row, "drawn_correlation", SHAREGPT.correlation),
    )


def _measured(row: Row, workload: Workload) -> Outcome:
    if int(row["oom"]):
        return Outcome(oom=True, offered_tok_s=workload.offered_tok_s)
    duration_s, completed, ttft_ms = (float(row[name]) for name in ("duration_s", "completed", "ttft_mean_ms"))
    arrivals = _number(row, "arrivals", float(workload.rate.sum()) * duration_s)
    lost = max(arrivals - completed, 0.0)
    unserved = max(lost - float(row["num_running_mean"]), 0.0)
    waiting_end = _number(row, "num_waiting_2nd_half_mean", _number(row, "num_waiting_mean", unserved))
    return Outcome(
        oom=False,
        offered_tok_s=workload.offered_tok_s,
        throughput_tok_s=float(row["input_tok_s"]) + float(row["output_tok_s"]),
        itl_ms=float(row["itl_mean_ms"]),
        tpot_ms=_number(row, "tpot_mean_ms", float(row["itl_mean_ms"])),
        ttft_ms=ttft_ms,
        ttft_penalised_ms=(ttft_ms * completed + 1e3 * duration_s * lost) / max(arrivals, completed),
        **{name: _number(row, name, np.nan) for name in PERCENTILES},
        running=float(row["num_running_mean"]),
        waiting=_number(row, "num_waiting_mean", 0.0),
        input_tok_s=float(row["input_tok_s"]),
        output_tok_s=float(row["output_tok_s"]),
        preemptions=_number(row, "num_preempted_mean", 0.0),
        arrived=round(arrivals),
        completed=round(completed),
        waiting_end=round(waiting_end),
    )


def _published(row: Row, workload: Workload) -> Outcome | None:
    throughput, itl, ttft = (_number(row, name, np.nan) for name in PUBLISHED)
    if np.isnan(throughput):
        return None
    return Outcome(False, workload.offered_tok_s, throughput_tok_s=throughput, itl_ms=itl, ttft_penalised_ms=ttft)


def _number(row: Row, name: str, default: float) -> float:
    value = float(row.get(name, np.nan))
    return default if np.isnan(value) else value
