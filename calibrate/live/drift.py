"""Whether a Profile still describes a running server: another vLLM, another clock, other flags show in a minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from calibrate.errors import CalibrationError
from calibrate.fit.serving import distinct
from calibrate.live.measurements.measure import Site, measure
from calibrate.live.measurements.plan import FullBatch
from calibrate.live.server.metrics import GENERATION_TOKENS, ITL, PROMPT_TOKENS, STEP_TOKENS, Scrape
from calibrate.live.server.running import RunningServer
from twin.behaviour import behaviour_of
from twin.engine.latency import StepWork, step_cost, step_ms
from twin.profile import Profile

ANSWER_TOKENS = 100
TOLERANCE = 0.10
"""A Profile's own error is a few per cent."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the Profile says and the server shows."""

    what: str
    profile: float
    server: float

    @property
    def off(self) -> float:
        """How far the server is from the Profile, as a share of it."""
        return self.server / self.profile - 1


@dataclass(frozen=True, slots=True)
class Drift:
    """What the comparison came to."""

    vllm: str | None
    """Of the server; its metrics do not tell."""
    same_behaviour: bool
    """Whether its scheduler behaves as the Profile's vLLM does, as far as versions tell."""
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether the Profile describes the server."""
        return self.same_behaviour and all(abs(check.off) <= TOLERANCE for check in self.checks)


def by_metrics(profile: Profile, scrape: Scrape, *, max_loras: int, max_lora_rank: int) -> Drift:
    """What a server says of the traffic that it has had, of even load at best: its average step.

    Args:
        profile: what is to be checked.
        scrape: since the server started, or the difference of two (`Scrape.since`).
        max_loras: the server's; as many adapters are taken to be in use.
        max_lora_rank: the server's.

    Raises:
        CalibrationError: a metric is missing, or no token was generated.
    """
    steps, _ = scrape.histogram(*STEP_TOKENS)
    gaps, seconds = scrape.histogram(*ITL)
    if not steps or not gaps:
        raise CalibrationError("/metrics: no answer was written in the time it tells of")
    batch = max(round(scrape.counter(*GENERATION_TOKENS) / steps), 1)
    prompts = round(scrape.counter(*PROMPT_TOKENS) / steps)
    in_batch = round(float(distinct(float(batch), float(max_loras))))
    predicted = step_ms(step_cost(profile, max_loras, max_lora_rank), StepWork(batch, prompts, 0, in_batch, 0))
    checks = (
        _kv_cache(profile, scrape.kv_capacity_tokens, max_loras, max_lora_rank),
        Check(f"step of {batch} requests, ms", predicted, 1e3 * seconds / gaps),
    )
    return Drift(None, True, checks)


def by_traffic(
    profile: Profile,
    server: RunningServer,
    adapters: Sequence[str],
    *,
    max_loras: int,
    max_lora_rank: int,
    batches: Sequence[int],
    allow_remote: bool = False,
) -> Drift:
    """Keep the server full with each of `batches` for a moment, and look at what it says of itself.

    Args:
        profile: what is to be checked.
        server: nothing else should use it meanwhile.
        adapters: names of adapters that it serves.
        max_loras: the server's, which it does not tell; as the next.
        max_lora_rank: likewise.
        batches: requests in flight, one measurement each.
        allow_remote: let the traffic leave this machine.

    Raises:
        CalibrationError: the server fails.
    """
    checks = [_kv_cache(profile, server.kv_capacity_tokens, max_loras, max_lora_rank)]
    site = Site(server, max_loras, max_lora_rank, adapters, allow_remote=allow_remote)
    cost = step_cost(profile, max_loras, max_lora_rank)
    for batch in batches:
        used = min(len(adapters), max_loras)
        row = measure(FullBatch(batch, 1, ANSWER_TOKENS, used), site, capacity_tok_s=0.0, folders={}).row
        in_batch = round(float(distinct(float(batch), float(used))))
        predicted = cost.per_arrival_ms * batch / ANSWER_TOKENS + step_ms(
            cost, StepWork(batch, round(batch / ANSWER_TOKENS), 0, in_batch, 0)
        )
        checks.append(Check(f"step of {batch} requests, ms", predicted, float(row["tpot_mean_ms"])))
    try:
        same = behaviour_of(server.version) == behaviour_of(profile.pair.vllm)
    except ValueError:
        same = False
    return Drift(server.version, same, tuple(checks))


def _kv_cache(profile: Profile, tokens: int, max_loras: int, max_lora_rank: int) -> Check:
    memory = profile.memory
    capacity = memory.kv_capacity_tokens(max_loras, max_lora_rank, memory.gpu_memory_utilization)
    return Check("KV cache, tokens", capacity, tokens)


def table(profile: Profile, drift: Drift) -> Table:
    """What the Profile says beside what the server shows."""
    version = f" (vLLM {drift.vllm})" if drift.vllm else ""
    title = f"{profile.pair.name} (vLLM {profile.pair.vllm}) and this server{version}"
    found = Table(title=title, title_justify="left")
    found.add_column("")
    for name in ("profile", "server", "off by"):
        found.add_column(name, justify="right")
    for check in drift.checks:
        found.add_row(check.what, f"{check.profile:,.4g}", f"{check.server:,.4g}", f"{100 * check.off:+.1f} %")
    if not drift.same_behaviour:
        found.add_row("scheduler", profile.pair.vllm, drift.vllm, "behaves otherwise")
    return found
