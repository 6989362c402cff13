"""What templates see of a recommendation; `templates/__init__.py` documents it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.deploy import vllm_version
from advisor.deploy.write.limits import rate_limit, requests_in_flight, total_limit
from advisor.deploy.write.mounts import mounts
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.recommend.answer.recommendation import RUNTIME, Recommendation
from advisor.zoo.pair import Pair
from twin.settings import arguments
from twin.workload import Workload

SERVER = "vllm"
"""What the server is called, where there is one alone."""
SHARES = 2_000
"""Names that a benchmark draws from at most: a share of 1/2,000 is one request in five minutes of the busiest mix."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked of launch files beyond the recommendation."""

    vllm: str | None = None
    """The version they are for; None for the one that was measured."""
    at_run_time: bool = False
    """Adapters are loaded while vLLM runs, not when it starts."""
    enforce: bool = False
    """vLLM itself refuses requests beyond those in flight."""
    server: str | None = None
    """What this server is called, where there are several: its files and whatever has a name begin with that."""


AS_MEASURED = Options()
"""Nothing beyond."""


def context(recommendation: Recommendation, inventory: Inventory, pair: Pair, options: Options) -> Mapping[str, Any]:
    """Plain data for templates.

    Raises:
        InputError: no such version, or it cannot do what is asked.
    """
    basis = pair.basis
    vllm = vllm_version.release(options.vllm) if options.vllm else basis.vllm.partition("+")[0]
    served = inventory.only(recommendation.admission.admitted)
    mix = served.mix
    # Who names the model itself is served by no adapter, but by the same server and within the same limits.
    traffic, models = mix.traffic, (*served.names, *([basis.model] if mix.base else []))
    limits = _limits(models, traffic, recommendation)
    flags: dict[str, int | float | str] = dict(recommendation.flags)
    if options.enforce:
        flags["max_num_queued_reqs"] = limits["requests_in_flight"]
    for flag in flags:
        if not vllm_version.knows(vllm, flag):
            raise InputError(
                f"vLLM {vllm} cannot bound the requests in flight itself; {vllm_version.SINCE[flag]} and later can, "
                "if asked for, and so can a gateway: templates envoy, nginx and litellm"
            )
    adapters = [
        {"name": name, "rank": int(rank), "rate": rate, "source": source}
        for name, rank, rate, source in zip(
            served.names, mix.rank.tolist(), mix.rate.tolist(), served.sources, strict=True
        )
    ]
    modules = [json.dumps({"name": row["name"], "path": row["source"]}) for row in adapters if row["source"]]
    unsourced = [row["name"] for row in adapters if not row["source"]]
    loaded = [] if options.at_run_time else modules
    args = arguments(flags)
    return {
        **basis.document(),
        "vllm": vllm,
        "server": options.server or SERVER,
        "summary": f"vLLM {vllm} for {counted(len(adapters), 'adapter')} on {_gpus(pair)}",
        "basis": (origin := _basis(pair, vllm)),
        "notes": [*origin, *_loading(len(modules), len(unsourced), options)],
        "flags": flags,
        "gpus": pair.gpus,
        "args": args,
        "command": [*args, "--lora-modules", *loaded] if loaded else args,
        "environment": RUNTIME if options.at_run_time or inventory.dynamic else {},
        "adapters": adapters,
        "modules": loaded,
        "unsourced": unsourced,
        "rejected": _rejected(inventory, recommendation.admission.rejected),
        "folder": _folder(adapters),
        "mounts": mounts(served.sources),
        "limits": limits,
        "expected": _expected(recommendation),
        "benchmark": {
            "input_tokens": _mean(traffic, traffic.input_mean),
            "output_tokens": _mean(traffic, traffic.output_mean),
            "spread": _spread(traffic),
            "request_rate": round(max(float(traffic.rate.sum()), 1 / 3600), 6),
            "names": by_share(models, traffic.rate),
        },
    }


def _rejected(inventory: Inventory, names: Sequence[str]) -> dict[str, int]:
    """How many adapters are not admitted, and the largest rank among them; 0 where there are none."""
    ranks = inventory.only(names).workload.rank
    return {"count": len(names), "rank": int(ranks.max(initial=0))}


def _gpus(pair: Pair) -> str:
    return f"one {pair.gpu}" if pair.gpus == 1 else f"{pair.gpus} {pair.gpu}"


def _basis(pair: Pair, vllm: str) -> list[str]:
    """What the figures rest on."""
    other = [f"Written for vLLM {vllm}, which was not measured: it may be faster or slower."]
    return [f"{pair.name}: {pair.basis}", *(other if vllm != pair.basis.vllm.partition("+")[0] else [])]


def _loading(loaded: int, unloaded: int, options: Options) -> list[str]:
    """How many adapters are loaded at start, and what to do about the others."""
    known = loaded + unloaded
    if not known:
        return ["It has no adapters and answers requests that name none."]
    if options.at_run_time:
        return [
            f"None of {known:,} is loaded at start: load them while vLLM runs (template load-adapters).",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True allows that, to whoever reaches the port.",
        ]
    if not unloaded:
        return [f"All {loaded:,} are loaded at start." if loaded > 1 else "It is loaded at start."]
    return [
        f"{loaded:,} of {known:,} are loaded at start. The inventory has no source for {unloaded:,}, named at the end.",
        "Add their sources and render again, or set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True for vLLM and load",
        'each: POST /v1/load_lora_adapter {"lora_name": NAME, "lora_path": PATH}. So can whoever reaches the port.',
    ]


def _limits(names: Sequence[str], mix: Workload, recommendation: Recommendation) -> dict[str, Any]:
    """The admission limit as plain data, of what requests call their model; `zones` are those whose limits are alike.

    `mix` has an entry for each of the names.
    """
    expected = recommendation.expected
    ttft_s, itl_s = (expected.ttft_ms / 1000, expected.itl_ms / 1000) if expected else (0.0, 0.0)
    adapters, zones = list[dict[str, Any]](), defaultdict[tuple[int, int], list[str]](list)
    for name, rate, cv in zip(names, mix.rate.tolist(), mix.cv.tolist(), strict=True):
        limit = rate_limit(rate, cv)
        adapters.append({"name": name, **asdict(limit)})
        zones[limit.per_minute, limit.burst].append(name)
    return {
        "requests_in_flight": requests_in_flight(mix, ttft_s, itl_s),
        "total": asdict(total_limit(mix)),
        "adapters": adapters,
        "zones": [
            {"per_minute": per_minute, "burst": burst, "names": names}
            for (per_minute, burst), names in sorted(zones.items())
        ],
    }


def _folder(adapters: Sequence[Mapping[str, Any]]) -> str | None:
    """The one folder that all adapters lie in under their names, if there is one."""
    ends = [(str(row["source"] or ""), f"/{row['name']}") for row in adapters]
    folders = {source.removesuffix(end) for source, end in ends if source.endswith(end)}
    return folders.pop() if len(folders) == 1 and all(source.endswith(end) for source, end in ends) else None


def _expected(recommendation: Recommendation) -> dict[str, Any]:
    """The figures as a script tells them: times with one decimal, rounded once."""
    figures = recommendation.figures()
    return {name: round(told, 1) if name.endswith(("_ms", "_tok_s")) else told for name, told in figures.items()}


def _mean(mix: Workload, lengths: NDArray[np.float64]) -> int:
    """Of the requests, rounded to whole tokens."""
    weights = mix.rate if mix.rate.any() else None
    return max(1, round(float(np.average(lengths, weights=weights))))


def _spread(mix: Workload) -> float:
    """By what part lengths vary to either side, where they vary evenly (as a benchmark draws them), to vary as much."""
    relative = np.average(mix.output_std / mix.output_mean, weights=mix.rate if mix.rate.any() else None)
    return round(min(0.99, float(relative) * 3**0.5), 2)


def by_share(names: Sequence[str], rate: NDArray[np.float64]) -> list[str]:
    """Names, each as often as its share of the requests wants it: drawing one of them evenly gives the mix."""
    asked = [(name, each) for name, each in zip(names, rate.tolist(), strict=True) if each > 0] or [(names[0], 1.0)]
    least, total = min(each for _, each in asked), sum(each for _, each in asked)
    for times in range(1, 11):
        wanted = [each * times / least for _, each in asked]
        if sum(wanted) <= SHARES and all(abs(round(each) - each) <= 0.02 * each for each in wanted):
            break
    else:
        wanted = [each * SHARES / total for _, each in asked]
    return [name for (name, _), each in zip(asked, wanted, strict=True) for _ in range(max(1, round(each)))]
