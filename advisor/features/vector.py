"""What the models see of a set of adapters: one definition, used in training and in serving.

Every feature is a plain number with a unit. *Mix* features do not change when the same mix is scaled to more
adapters, so an admission limit can be asked of the mix alone; *load* features also depend on how many adapters are
served and on how many slots. Some are estimates from the pair's Profile (see `estimate`): the models learn by how
much serving differs from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.features.estimate import estimate, estimate_slots, most_adapters, shared_tokens
from advisor.features.queueing import dispersion, utilisation
from twin.profile import Profile
from twin.workload import Workload

Floats = NDArray[np.float64]

UNITS: dict[str, str] = {
    "rate_mean": "requests/s per adapter",
    "rate_std": "requests/s",
    "rate_min": "requests/s",
    "rate_max": "requests/s",
    "rank_mean": "",
    "rank_std": "",
    "rank_min": "",
    "rank_max": "",
    "input_mean": "tokens per request",
    "input_std": "tokens",
    "input_min": "tokens per request of the adapter with the shortest",
    "input_max": "tokens per request of the adapter with the longest",
    "output_mean": "tokens per request",
    "output_std": "tokens",
    "output_min": "tokens per request of the adapter with the shortest",
    "output_max": "tokens per request of the adapter with the longest",
    "cv_mean": "gap variation, weighted by rate",
    "token_rate_mean": "tokens/s per adapter",
    "dispersion": "tokens, variance / mean of those that arrive",
    "estimated_load": "tokens/s, the most in equilibrium",
    "saturated_load": "tokens/s, the most in equilibrium if requests may wait for slots",
    "base_share": "of token_rate, what names no adapter",
    "prefix_share": "of prompt tokens, those in whole KV blocks that an adapter's prompts share",
    "steady_load": "tokens/s, estimated_load less by a standard deviation over ttft_limit and half an answer's time",
    "ttft_limit": "s",
    "adapters": "served adapters N",
    "rate": "requests/s, of all adapters together",
    "rank_sum": "",
    "input_rate": "offered prompt tokens/s",
    "output_rate": "offered answer tokens/s",
    "token_rate": "offered tokens/s",
    "load_share": "token_rate / estimated_load",
    "active_adapters": "adapters with a request in flight, estimated",
    "estimated_slots": "adapter slots that make steps shortest, estimated",
    "max_loras": "adapter slots G",
    "slots_share": "active_adapters / max_loras",
    "slots_load_share": "token_rate / the most tokens/s in equilibrium with that many slots, for which requests wait",
    "step_time": "ms per step with that many slots, estimated",
}
"""Every feature and its unit (empty: a pure number)."""

_NAMES = tuple(UNITS)
MIX_FEATURES: tuple[str, ...] = _NAMES[: _NAMES.index("adapters")]
"""What the admission limit depends on."""
SLOTS_FEATURES: tuple[str, ...] = _NAMES[: _NAMES.index("max_loras")]
"""What the choice of slots depends on."""
SERVING_FEATURES: tuple[str, ...] = tuple(name for name in UNITS if name not in ("ttft_limit", "steady_load"))
"""What throughput, ITL and TTFT of a given configuration depend on."""
ESTIMATES: tuple[str, ...] = (
    *("dispersion", "estimated_load", "saturated_load", "steady_load", "load_share", "active_adapters"),
    *("estimated_slots", "slots_share", "slots_load_share", "step_time"),
)
"""What the Profile makes of a mix; the other features can be read off an inventory and its flags."""


def measure(mix: Workload, profile: Profile, *, ttft_limit_s: float, max_loras: int | None = None) -> dict[str, float]:
    """Every feature of a mix that serves all its adapters; those of the slots only where `max_loras` is given."""
    (values,) = measure_limits(mix, profile, [ttft_limit_s])
    return values if max_loras is None else measure_slots(values, mix, profile, [max_loras])[0]


def measure_limits(mix: Workload, profile: Profile, ttft_limits_s: Sequence[float]) -> list[dict[str, float]]:
    """The features of a mix under each of these limits, those of the slots left out.

    Means, spreads and burstiness of requests weigh busy adapters more; smallest and largest are of adapters. Base
    traffic counts as requests, but as no adapter.
    """
    traffic = mix.traffic
    share = traffic.rate / traffic.rate.sum()
    input_mean, output_mean = float(share @ traffic.input_mean), float(share @ traffic.output_mean)
    rate, token_rate, adapters = float(traffic.rate.sum()), mix.offered_tok_s, len(mix)
    equilibria = estimate(mix, profile)
    state = equilibria.serving(adapters)
    load, tokens = _load(mix, equilibria.max_adapters), dispersion(traffic)
    answer_s = output_mean * equilibria.serving(equilibria.max_adapters).step_ms / 1e3
    values = {
        "rate_mean": float(mix.rate.mean()),
        "rate_std": float(mix.rate.std()),
        "rate_min": float(mix.rate.min()),
        "rate_max": float(mix.rate.max()),
        "rank_mean": float(mix.rank.mean()),
        "rank_std": float(mix.rank.std()),
        "rank_min": float(mix.rank.min()),
        "rank_max": float(mix.rank.max()),
        "input_mean": input_mean,
        "input_std": _pooled_std(share, traffic.input_mean, traffic.input_std, input_mean),
        "input_min": float(mix.input_mean.min()),
        "input_max": float(mix.input_mean.max()),
        "output_mean": output_mean,
        "output_std": _pooled_std(share, traffic.output_mean, traffic.output_std, output_mean),
        "output_min": float(mix.output_mean.min()),
        "output_max": float(mix.output_mean.max()),
        "cv_mean": float(share @ traffic.cv),
        "token_rate_mean": (token_rate - mix.base_tok_s) / adapters,
        "dispersion": tokens,
        "estimated_load": load,
        "saturated_load": _load(mix, most_adapters(mix, profile)),
        "base_share": mix.base_tok_s / token_rate,
        "prefix_share": shared_tokens(traffic, profile.memory.block_size) / input_mean,
        "adapters": float(adapters),
        "rate": rate,
        "rank_sum": float(mix.rank.sum()),
        "input_rate": rate * input_mean,
        "output_rate": rate * output_mean,
        "token_rate": token_rate,
        "load_share": token_rate / load,
        "active_adapters": state.active_adapters,
        "estimated_slots": state.slots,
    }
    return [
        {
            **values,
            "ttft_limit": limit_s,
            "steady_load": load * utilisation(tokens / load, limit_s + answer_s / 2),
        }
        for limit_s in ttft_limits_s
    ]


def measure_slots(
    values: dict[str, float], mix: Workload, profile: Profile, max_loras: Sequence[int]
) -> list[dict[str, float]]:
    """Every feature of a mix for each of these numbers of slots, given those that do not depend on them."""
    return [
        {
            **values,
            "max_loras": float(slots),
            "slots_share": values["active_adapters"] / slots,
            "slots_load_share": mix.offered_tok_s / _load(mix, with_slots.max_adapters),
            "step_time": with_slots.serving(len(mix)).step_ms,
        }
        for slots, with_slots in zip(max_loras, estimate_slots(mix, profile, max_loras), strict=True)
    ]


def _load(mix: Workload, adapters: float) -> float:
    """Tokens/s when so many adapters of the mix are served, beside the base traffic."""
    return mix.base_tok_s + (mix.offered_tok_s - mix.base_tok_s) * adapters / len(mix)


def vector(values: dict[str, float], names: Sequence[str]) -> NDArray[np.float32]:
    """The named features as one row, shape (1, len(names)), in the precision the ONNX models take."""
    return np.array([[values[name] for name in names]], dtype=np.float32)


def _pooled_std(share: Floats, mean: Floats, std: Floats, pooled_mean: float) -> float:
    """Standard deviation over all requests: within adapters plus between them."""
    return float(np.sqrt(share @ (std**2 + (mean - pooled_mean) ** 2)))
