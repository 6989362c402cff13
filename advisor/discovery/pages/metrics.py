"""What pages of metrics tell of adapters: gateways tell their traffic, a vLLM server totals and names only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from advisor.discovery.base_model import asked_name, is_base
from advisor.discovery.discovery import Adapter, Discovery, Tokens, Traffic
from advisor.discovery.pages.histogram import shares, with_spread
from advisor.discovery.pages.page import Page, Sample
from advisor.errors import InputError
from advisor.names import counted, listed


class Gateway(NamedTuple):
    """Where a gateway in front of vLLM tells requests and tokens by adapter."""

    name: str
    requests: str
    """A counter."""
    input: str
    """A histogram, or a counter of tokens."""
    output: str
    labels: tuple[str, ...]
    """Those that name the adapter; the first that is there counts."""
    errors: str = ""
    """A counter of the requests among those that failed, where they are not told apart by a label."""


_TARGETS = ("target_model_name", "model_name")
GATEWAYS = (
    *(
        Gateway(f"the Gateway API inference extension ({word})", f"{word}_request_total",
                f"{word}_{tokens}input_tokens", f"{word}_{tokens}output_tokens", _TARGETS,
                f"{word}_request_error_total")
        for word, tokens in (
            ("llm_d_epp", "request_"), ("llm_d_router_epp", "request_"), ("inference_objective", ""),
            ("inference_model", ""), ("inference_extension", ""), ("llm_d_router", ""),
        )
    ),
    Gateway("Dynamo's frontend", "dynamo_frontend_requests_total", "dynamo_frontend_input_sequence_tokens",
            "dynamo_frontend_output_sequence_tokens", ("model",)),
    *(
        Gateway("LiteLLM", requests, "litellm_input_tokens_metric_total", "litellm_output_tokens_metric_total", labels)
        for requests, labels in (
            ("litellm_requests_metric_total", ("model", "requested_model")),
            ("litellm_proxy_total_requests_metric_total", ("requested_model", "model")),
            ("litellm_deployment_total_requests_total", ("litellm_model_name", "requested_model")),
        )
    ),
)  # fmt: skip
_FINISHED = "vllm:request_success_total"
_BROKEN = ("abort", "error")
"""How requests ended that vLLM counts among its successes."""
_FOLDED = "other"
"""What llm-d calls all names beyond the first thousand."""


def discover(page: Page, *, span_s: float | None, base_names: Collection[str], spread: bool = False) -> Discovery:
    """What a page, or several added, tells.

    Args:
        page: counters since the servers began, or over a stretch of time.
        span_s: how long the counters counted, s; None where it is not known: then there are no rates.
        base_names: names under which the base model is asked.
        spread: share the requests that name no adapter evenly among those whose names were seen.

    Raises:
        InputError: the page tells nothing of adapters or requests.
    """
    gateway = next((each for each in GATEWAYS if page.of(each.requests)), None)
    server = _of_server(page)
    # vLLM counts under the name that it serves the base model by.
    served = {each.labels.get("model_name", "") for each in page.of(_FINISHED)} - {""}
    base_names = {*base_names, *served}
    if gateway is None and server is None and not _loaded(page):
        raise InputError(
            "no metric here tells of requests or adapters; vLLM's begin with vllm:, a gateway's with inference_, "
            "dynamo_frontend_ or litellm_"
        )
    found = Discovery(server=_settings(page))
    if gateway is not None:
        found = _of_gateway(page, gateway, span_s, base_names, found)
    if server is not None:
        found = _with_server(found, page, server, span_s, spread)
    adapters = {each.name: each for each in found.adapters}
    for name, rank in _loaded(page).items():
        adapters[name] = replace(adapters.get(name, Adapter(name)), rank=rank)
    found = replace(found, adapters=tuple(adapters[name] for name in sorted(adapters)))
    if gateway is None and server is None:
        found = found.noting("the page tells no requests, so no rates")
    elif span_s is None:
        found = found.noting("no rates: the page does not tell how long it counted; --over or a second scrape does")
    return found


def _of_gateway(
    page: Page, gateway: Gateway, span_s: float | None, base: Collection[str], found: Discovery
) -> Discovery:
    requests = _by_name(page, gateway.requests, gateway.labels)
    inputs, outputs = (_lengths(page, each, gateway.labels, requests) for each in (gateway.input, gateway.output))
    traffic = {
        name: Traffic(round(count), None if span_s is None else count / span_s, inputs.get(name), outputs.get(name))
        for name, count in requests.items()
    }
    of_base = [each for name, each in traffic.items() if is_base(name, base)]
    adapters = {name: each for name, each in traffic.items() if not is_base(name, base)}
    total = round(sum(requests.values()))
    notes = [f"{gateway.name} counted {counted(total, 'request')}, by the names of adapters"]
    if of_base:
        own = sum(each.requests or 0 for each in of_base)
        notes.append(f"{own:,} of the {total:,} requests name the base model: traffic without an adapter")
    else:
        notes.append("whether one of these names is the base model's is not known; --model tells")
    if failed := round(page.total(gateway.errors) or 0):
        notes.append(f"{counted(failed, 'request')} among them failed; the page does not tell which did work before")
    if _FOLDED in adapters:
        notes.append(f"{_FOLDED!r} may be no adapter: llm-d counts all names beyond its first thousand together so")
    if bare := [name for name, each in adapters.items() if not each.input or not each.output]:
        notes.append(f"lengths of {listed(bare)} are not known; the mean of the others stands for them")
    return replace(
        found,
        adapters=tuple(Adapter(name, traffic=each) for name, each in adapters.items()),
        base=_added(of_base) if of_base else None,
        lengths=_added([each for each in traffic.values() if each.input and each.output]),
        requests=None if span_s is None else total,
        complete=True,
        notes=(*found.notes, *notes),
    )


def _with_server(found: Discovery, page: Page, totals: Traffic, span_s: float | None, spread: bool) -> Discovery:
    """What vLLM itself tells: totals under the base model's name, and names that were seen."""
    running, waiting = _seen(page, "running_lora_adapters"), _seen(page, "waiting_lora_adapters")
    seen = sorted(running | waiting)
    rate = None if span_s is None or totals.requests is None else totals.requests / span_s
    notes = [
        f"vLLM counted {counted(totals.requests or 0, 'request')}{_mean_lengths(totals)}, all under the base model's "
        "name: it does not tell them by adapter"
    ]
    if broken := round(sum(each.value for each in page.of(_FINISHED) if each.labels.get("finished_reason") in _BROKEN)):
        notes.append(f"{counted(broken, 'request')} among them were broken off: aborted, or ended by an error")
    if seen:
        which = f"{listed(seen)}"
        if running != waiting:
            parts = ((running, "running"), (waiting - running, "waiting"))
            which = "; ".join(f"{word}: {listed(sorted(names))}" for names, word in parts if names)
        else:
            which += " (whether they ran or waited is not told: both labels hold the same names)"
        notes.append(f"adapters seen by vLLM: {which}")
    if found.adapters:
        return replace(found, lengths=found.lengths or totals, notes=(*found.notes, *notes))
    adapters = [Adapter(name) for name in seen]
    if spread and seen and rate is not None:
        adapters = [replace(each, traffic=Traffic(rate=rate / len(seen))) for each in adapters]
        notes.append(f"its requests are shared evenly among the {len(seen)} names seen, as asked")
        found = replace(found, requests=totals.requests)
    else:
        notes.append(
            "rates by adapter and the share that names none are not known: a gateway's page or a log tells; --spread "
            "shares the total among the names seen"
        )
    return replace(found, adapters=tuple(adapters), lengths=totals, notes=(*found.notes, *notes))


def _mean_lengths(totals: Traffic) -> str:
    if not totals.input or not totals.output:
        return ""
    return f" of {totals.input['mean']:.0f} input and {totals.output['mean']:.0f} output tokens on average"


def _of_server(page: Page) -> Traffic | None:
    requests = page.total(_FINISHED)
    if (
        requests is None
        and page.total("vllm:prompt_tokens_total") is None
        and not any(page.of("vllm:lora_requests_info"))
    ):
        return None
    count = requests or 0.0
    return Traffic(
        round(count),
        input=_total_lengths(page, "vllm:request_prompt_tokens", "vllm:prompt_tokens_total", count),
        output=_total_lengths(page, "vllm:request_generation_tokens", "vllm:generation_tokens_total", count),
    )


def _total_lengths(page: Page, histogram: str, counter: str, requests: float) -> Tokens | None:
    total, count = page.total(f"{histogram}_sum"), page.total(f"{histogram}_count")
    if total and count:
        return with_spread(total / count, shares(page.of(f"{histogram}_bucket")))
    tokens = page.total(counter)
    return with_spread(tokens / requests, {}) if tokens and requests else None


def _settings(page: Page) -> Mapping[str, int | float]:
    """Settings in force that the page tells."""
    settings = dict[str, int | float]()
    for each in page.of("vllm:lora_requests_info"):
        if (slots := each.labels.get("max_lora", "")).isdecimal() and slots.isascii() and int(slots[:9]) > 0:
            settings["max_loras"] = int(slots[:9])
    if slots_told := page.total("vllm:max_gpu_lora_adapters"):
        settings["max_loras"] = round(slots_told)
    for each in page.of("vllm:cache_config_info"):
        try:
            share = float(each.labels.get("gpu_memory_utilization", ""))
        except ValueError:
            continue
        if 0 < share <= 1:
            settings["gpu_memory_utilization"] = share
    return settings


def _loaded(page: Page) -> Mapping[str, int]:
    """Adapters with their ranks, from servers that tell both (proposed for vLLM, in no release yet)."""
    ranks = dict[str, int]()
    for each in page.of("vllm:lora_adapter_loaded"):
        name, rank = each.labels.get("adapter_name"), each.labels.get("rank", "")
        if name and rank.isascii() and rank.isdecimal() and int(rank[:9]) > 0:
            ranks[name] = int(rank[:9])
    return ranks


def _seen(page: Page, label: str) -> set[str]:
    """Names of adapters in a label of `vllm:lora_requests_info`, whose value is a time and tells nothing else."""
    texts = (each.labels.get(label, "") for each in page.of("vllm:lora_requests_info"))
    return {name.strip() for text in texts for name in text.split(",") if name.strip()}


def _named(sample: Sample, labels: tuple[str, ...]) -> str | None:
    told = (sample.labels.get(label) for label in labels)
    return next((asked_name(each) for each in told if each not in (None, "", "None")), None)


def _by_name(page: Page, metric: str, labels: tuple[str, ...]) -> Mapping[str, float]:
    """Requests that were served, by the name that was asked for."""
    totals = defaultdict[str, float](float)
    for each in page.of(metric):
        served = each.labels.get("status", "success") == "success" and each.labels.get("status_code", "200")[:1] == "2"
        if (name := _named(each, labels)) and served:
            totals[name] += each.value
    return totals


def _lengths(page: Page, metric: str, labels: tuple[str, ...], requests: Mapping[str, float]) -> Mapping[str, Tokens]:
    """Lengths of those that were asked for, by name, where a page tells them."""

    def own(suffix: str) -> Mapping[str, list[Sample]]:
        by_name = defaultdict[str, list[Sample]](list)
        for each in page.of(metric + suffix):
            by_name[_named(each, labels) or ""].append(each)
        return by_name

    sums, counts, buckets, totals = own("_sum"), own("_count"), own("_bucket"), own("")
    lengths = dict[str, Tokens]()
    for name, asked in requests.items():
        total, count = sum(each.value for each in sums[name]), sum(each.value for each in counts[name])
        if not sums[name]:
            total, count = sum(each.value for each in totals[name]), asked
        if total and count:
            lengths[name] = with_spread(total / count, shares(buckets[name]))
    return lengths


def _added(traffic: Collection[Traffic]) -> Traffic | None:
    """Several together."""
    if not traffic:
        return None
    count = sum(each.requests or 0 for each in traffic)
    rates = [each.rate for each in traffic if each.rate is not None]
    return Traffic(count, sum(rates) if rates else None, _pooled(traffic, "input"), _pooled(traffic, "output"))


def _pooled(traffic: Iterable[Traffic], kind: str) -> Tokens | None:
    """Mean and spread over the requests of all."""
    told = [(each.requests or 0, getattr(each, kind)) for each in traffic if getattr(each, kind)]
    weights = np.array([max(count, 1e-9) for count, _ in told])
    if not told:
        return None
    means, stds = (np.array([tokens[key] for _, tokens in told]) for key in ("mean", "std"))
    mean = float(np.average(means, weights=weights))
    return {"mean": mean, "std": float(np.sqrt(np.average(stds**2 + (means - mean) ** 2, weights=weights)))}
