"""Text: for the operator at a terminal; what to paste first, then what it means, then why."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.names import counted, listed
from advisor.recommend.recommendation import Recommendation, Step
from twin.service_level import PERCENTS


def write(recommendation: Recommendation) -> str:
    """The answer as lines for a terminal, without colours."""
    blocks = [headline(recommendation)]
    if recommendation.feasible:
        blocks += [_command(recommendation), _admission(recommendation), _expected(recommendation)]
        blocks.append(_least_known(recommendation))
    blocks += [_verified(recommendation), _changes(recommendation), _why(recommendation.trace)]
    blocks.append(_titled("Further flags", [f"{each.flag}: {each.why}" for each in recommendation.further]))
    blocks.append(_titled("Warnings", [f"- {warning}" for warning in recommendation.warnings]))
    return "\n\n".join(block for block in blocks if block)


def headline(recommendation: Recommendation) -> str:
    admission = recommendation.admission
    if not recommendation.feasible:
        what = f"not feasible: {recommendation.reason}"
    elif admission.adapters == admission.of:
        what = f"{_server(recommendation)} serves all {_adapters(admission.of)}"
    else:
        what = f"{_server(recommendation)} serves {admission.adapters:,} of {_adapters(admission.of)} of this mix"
    return f"{recommendation.basis.pair}: {what}\n{recommendation.basis}"


def _server(recommendation: Recommendation) -> str:
    gpus = recommendation.flags.get("tensor_parallel_size", 1)
    return "one GPU" if gpus == 1 else f"one server of {gpus} GPUs"


def _adapters(count: int) -> str:
    return f"{count:,} adapter" + ("" if count == 1 else "s")


def _command(recommendation: Recommendation) -> str:
    environment = "".join(f"{name}={shlex.quote(value)} " for name, value in recommendation.environment.items())
    serve = f"{environment}vllm serve {shlex.quote(recommendation.basis.model)}"
    return " \\\n    ".join([serve, *map(shlex.quote, recommendation.args)])


def _admission(recommendation: Recommendation) -> str:
    admission = recommendation.admission
    lines = [
        f"admitted     {admission.adapters:,} of {_adapters(admission.of)}: "
        f"{admission.request_rate:,.4g} requests/s, {admission.token_rate:,.0f} tokens/s"
    ]
    if (known := recommendation.uncertainty) and known.up_to > admission.adapters:
        lines.append(f"             {known.up_to:,} if the estimate is right: nobody measured this pair")
    if host := recommendation.host_memory:
        lines.append(f"host memory  {host.gigabytes:,.1f} GB for the {_adapters(host.adapters)} of max_cpu_loras")
    if admission.base_request_rate:
        lines.append(
            f"base model   beside them {admission.base_request_rate:,.4g} requests/s that name no adapter, "
            f"{admission.base_token_rate:,.0f} tokens/s"
        )
    if rejected := admission.rejected:
        lines.append(f"rejected     {listed(rejected)}")
        lines.append(f"principle    {admission.principle}")
    return _titled("Admission", lines)


def _expected(recommendation: Recommendation) -> str:
    figures = recommendation.figures()
    lines = _figures(figures)
    if plain := recommendation.without_lora:
        lines.append(f"without LoRA ITL {plain.itl_ms:,.1f} ms, and {plain.load_ratio:.3g} times the tokens/s at most")
    simulated = figures.get("simulated_hours")
    means = f", simulated, not predicted: means of {counted(simulated, 'hour')}" if simulated else ""
    return _titled(f"Expected: {_state(figures)}{means}", lines)


def _least_known(recommendation: Recommendation) -> str:
    known = recommendation.uncertainty
    return _titled("Least known", [known.decisive, f"told by {known.measured_by}"]) if known else ""


def _verified(recommendation: Recommendation) -> str:
    measures = recommendation.verified
    if not measures:
        return ""
    missed = [f"missed       {each}" for each in measures["missed"]]
    return _titled(f"Digital twin: {_state(measures)}", [*_figures(measures), *missed])


def _state(figures: Mapping[str, Any]) -> str:
    if figures["starved"]:
        return "starved"
    return "steady" if figures["steady"] else "not steady, the TTFT is above the limit"


def _figures(figures: Mapping[str, Any]) -> list[str]:
    shown = (
        ("throughput", "throughput_tok_s", ",.0f", "tokens/s"),
        ("ITL", "itl_ms", ",.1f", "ms"),
        ("TTFT", "ttft_ms", ",.0f", "ms"),
        ("KV cache", "kv_capacity_tokens", ",", "tokens"),
    )
    lines = [
        f"{label:<13}{figures[key]:{digits}} {unit}{_range(figures, key)}{_percentiles(figures, key, digits)}"
        for label, key, digits, unit in shown
        if figures[key] is not None
    ]
    if refused := figures.get("refused_share"):
        lines.append(f"refused      {refused:.2%} of the requests, longer than max_model_len")
    return lines


def _range(figures: Mapping[str, Any], key: str) -> str:
    """How far an estimate may be off."""
    low, high = figures.get(f"{key}_range", (None, None))
    return "" if low is None else f" ({low:,.0f} to {high:,.0f})"


def _percentiles(figures: Mapping[str, Any], mean: str, digits: str) -> str:
    """Those of a time, behind its mean; those that are estimated, as about so much."""
    estimated = "percentiles" in figures
    about, digits = ("about ", ",.0f") if estimated else ("", digits)
    found = {
        words: figures.get(mean.replace("_ms", f"_{words}_ms")) for words in PERCENTS.values() if mean.endswith("_ms")
    }
    told = [f"{words.upper()} {about}{time_ms:{digits}}" for words, time_ms in found.items() if time_ms is not None]
    return f"; {', '.join(told)}" if told else ""


def _changes(recommendation: Recommendation) -> str:
    lines = [f"{change.name:<25}{change.today} -> {change.recommended}" for change in recommendation.changes]
    return _titled("Changes to the settings in [server]", lines)


def _why(trace: Sequence[Step]) -> str:
    return _titled("Why", [line for step in trace for line in _step(step)])


def _step(step: Step) -> Iterator[str]:
    result = f"{step.result:,.1f}" if isinstance(step.result, float) else f"{step.result:,}"
    yield f"{step.output} = {result}"
    for i, condition in enumerate(step.rule):
        yield f"    {'because' if i == 0 else '    and'} {condition}"


def _titled(title: str, lines: Sequence[str]) -> str:
    return "\n  ".join([title, *lines]) if lines else ""
