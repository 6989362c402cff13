"""Inventories through the digital twin: what a server under given settings would do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from advisor import replay, together
from advisor.derive.llm.windows import COUNTED, are_left_out
from advisor.errors import InputError
from advisor.inventory import inventory as inventories
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.server.context import covering, covering_len
from advisor.zoo.basis import Basis
from advisor.zoo.pairs import find_pair
from twin.arrivals import mean_scale
from twin.profile import Profile
from twin.settings import Settings, slot_rank
from twin.workload import Requests

DURATION_S = 3600.0
"""Simulated time where nothing else is said, s."""
MAX_REQUESTS = 50_000_000
"""Arrivals simulated at most: beyond it memory runs out before the simulation ends."""

MEASURES = (
    "oom", "kv_capacity_tokens", "offered_tok_s", "throughput_tok_s", "starved", "steady",
    "itl_ms", "itl_p50_ms", "itl_p95_ms", "itl_p99_ms", "tpot_ms", "tpot_p50_ms", "tpot_p95_ms", "tpot_p99_ms",
    "ttft_ms", "ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms", "ttft_penalised_ms",
    "e2el_ms", "e2el_p50_ms", "e2el_p95_ms", "e2el_p99_ms", "arrivals", "refused", "completed", "running_mean",
    "waiting_mean", "adapter_loads", "preemptions", "prefix_cache_hit_rate", "wall_s",
)  # fmt: skip
"""What is reported of a simulation, in order."""

COLUMNS = (
    "inventory", "max_loras", "offered_tok_s", "throughput_tok_s", "itl_ms", "itl_p99_ms", "ttft_ms", "ttft_p99_ms",
    "running_mean", "waiting_mean", "oom", "starved", "steady",
)  # fmt: skip
"""What the table shows of them."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """One inventory under one server, ready to be simulated."""

    name: str
    basis: Basis
    """The pair of the profile."""
    inventory: Inventory
    profile: Profile
    server: Settings
    requests: Requests | None = None
    """What is to be served; None: requests drawn from the inventory's workload, those of a group of adapters that are
    asked `together` at the same moment."""
    cold: bool = False
    """Adapters are read from disk when they are first asked for."""

    def measure(self, *, duration_s: float | None = None, seed: int, objective: Objective) -> dict[str, Any]:
        """What the twin measures, under the keys of `MEASURES`, None where nothing was measured; and what of the
        objective that misses.

        The duration is an hour unless given, or as long as the given requests last.

        Raises:
            InputError: the twin is not installed, the workload is too large to simulate, or given requests all come at
                once and no duration is given.
        """
        twin = engine()
        workload, server = self.inventory.workload, self.server
        if workload.shared_prefix is not None:  # else as the pair was measured; the file may say otherwise
            on = bool(self.inventory.server.get("enable_prefix_caching", True))
            server = replace(server, enable_prefix_caching=on)
        if self.requests is None:
            duration_s = duration_s or DURATION_S
            self._check_size(duration_s)
            if together.groups(self.inventory):
                requests = together.drawn(self.inventory, duration_s, seed)
                measures = twin.serve(self.profile, server, workload, requests, duration_s=duration_s, cold=self.cold)
                measures = replace(measures, offered_tok_s=workload.offered_within(duration_s))
            else:
                measures = twin.simulate(
                    self.profile, server, workload, duration_s=duration_s, seed=seed, cold=self.cold
                )
        else:
            duration_s = duration_s or replay.span_s(self.requests)
            requests = self.requests.until(duration_s)
            measures = twin.serve(self.profile, server, workload, requests, duration_s=duration_s, cold=self.cold)
        found = {**asdict(measures), "starved": measures.starved, "steady": measures.steady(objective.ttft_limit)}
        settings = {"max_loras": self.server.max_loras, "max_lora_rank": self.server.max_lora_rank}
        return {
            "inventory": self.name,
            **self.basis.document(),
            **settings,
            **(told := {key: _plain(found[key]) for key in MEASURES}),
            "missed": objective.missed_by(told),
        }

    def refusal(self, kv_capacity_tokens: int) -> str:
        """Why a server does not start whose KV cache holds so many tokens, and what would let it."""
        server, mix = self.server, self.inventory.mix
        as_counted = COUNTED if are_left_out(self.profile) else ""
        why = (
            f"{self.name}: the server does not start{as_counted}: {counted(server.max_loras, 'slot')} of rank "
            f"{server.max_lora_rank} leave {kv_capacity_tokens:,} tokens of KV cache, less than max_model_len "
            f"{server.max_model_len:,}"
        )
        needed = covering_len(mix) if self.requests is None else covering(self.requests)
        if needed <= kv_capacity_tokens:
            return f"{why}; the requests need no more than max_model_len = {needed} in [server]"
        return f"{why}; it takes fewer slots, or more memory"

    def _check_size(self, duration_s: float) -> None:
        load = self.inventory.workload
        expected = float(load.traffic.rate.sum()) * mean_scale(load.phases, duration_s) * duration_s
        if expected > MAX_REQUESTS:
            raise InputError(
                f"{self.name}: {expected:,.0f} requests in {duration_s:g} s are too many to simulate; "
                f"at most {MAX_REQUESTS:,}: simulate a shorter time"
            )


def engine() -> ModuleType:
    """The digital twin, `twin.engine.simulation`.

    Raises:
        InputError: it is not installed.
    """
    try:
        from twin.engine import simulation
    except ModuleNotFoundError as error:
        raise InputError(
            f"the digital twin needs {error.name}, which is not installed: pip install 'adapter-advisor[twin]'"
        ) from error
    return simulation


def prepare(
    path: Path,
    zoo: Path | None,
    *,
    max_loras: int | None = None,
    max_lora_rank: int | None = None,
    lora: bool = True,
    log: Path | None = None,
    cold: bool = False,
) -> Simulation:
    """Read an inventory and settle what to simulate: settings given here, else those of its [server], else defaults.

    Without `lora` the server has it off, and the base model answers all requests: what is left shows what LoRA costs.
    With `log`, its requests are replayed instead of drawn, and the inventory need not say rates and lengths.

    Defaults: one slot per adapter, room in host memory for all of them, the smallest rank that takes every adapter,
    and what the pair was measured under for the rest.

    Raises:
        InputError: bad input, settings that vLLM would refuse, or an adapter whose rank has no room.
    """
    inventory = inventories.load(path, traffic=log is None)
    pair = find_pair(inventory.model, inventory.one_gpu(), zoo, inventory.engine)
    profile = pair.profile
    today, largest = inventory.server, int(inventory.workload.rank.max())
    slots = int(max_loras or today.get("max_loras", len(inventory)))
    rank = int(max_lora_rank or today.get("max_lora_rank", slot_rank(largest)))
    others = {name: value for name, value in today.items() if "lora" not in name}
    if largest > rank:
        raise InputError(f"{path}: an adapter has rank {largest}; vLLM refuses to load it with max_lora_rank {rank}")
    try:
        in_host = int(today.get("max_cpu_loras", max(len(inventory), slots)))
        server = profile.settings(max_loras=slots, max_cpu_loras=in_host, max_lora_rank=rank, others=others)
    except ValueError as error:
        raise InputError(f"{path}: vLLM refuses these settings: {error}") from error
    if not lora:
        server = server.without_lora()
    base_names = {inventory.model, profile.pair.model, profile.pair.model.rsplit("/", maxsplit=1)[-1]}
    requests = None if log is None else replay.load(log, inventory.names, sorted(base_names))
    return Simulation(str(path), pair.basis, inventory, profile, server, requests, cold)


def verified(
    recommendation: Recommendation, inventory: Inventory, profile: Profile, objective: Objective
) -> Recommendation:
    """The recommendation with what the twin measures of it in the busiest hour, and what of the objective that misses.

    Raises:
        InputError: the twin is not installed, or nothing is feasible.
    """
    if recommendation.settings is None:
        raise InputError("nothing to verify: not feasible")
    admitted = in_busiest_hour(inventory.only(recommendation.admission.admitted))
    server = recommendation.settings
    simulation = Simulation(recommendation.basis.pair, recommendation.basis, admitted, profile, server)
    measures = simulation.measure(seed=0, objective=objective)
    return replace(recommendation, verified={key: measures[key] for key in (*MEASURES, "missed")})


def in_busiest_hour(inventory: Inventory) -> Inventory:
    """The inventory with phases of which the busiest hour is the first: the one that an answer has to hold in."""
    return replace(inventory, workload=inventory.workload.from_busiest(DURATION_S))


def _plain(value: Any) -> Any:
    """A number that JSON can hold, without digits that mean nothing."""
    if not isinstance(value, float):
        return value
    return round(value, 3) if math.isfinite(value) else None
