"""HTML: one page that needs nothing else, for people who would rather look than read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from advisor.names import listed
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.what_if.growth import Growth
from advisor.report import chart as charts
from advisor.report.prose.outlook import effect, end, end_expected, rests_on, takes, what_binds
from advisor.report.prose.trace import decisions
from advisor.report.text import headline
from twin.profile import Profile
from twin.service_level import words

Points = tuple[str, list[tuple[float, float]]]
"""A named line."""
SHOWN = 40
"""Names of adapters that are not admitted, before the rest is only counted."""


def write(recommendation: Recommendation, growth: Growth | None, profile: Profile, objective: Objective) -> str:
    """The page. Whatever an inventory holds is text in it: the template escapes all that it is given."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("advisor.report") / "page.html.j2").read_text(encoding="utf-8"))
    admission, settings = recommendation.admission, recommendation.settings
    return template.render(
        basis=recommendation.basis,
        headline=headline(recommendation).partition("\n")[0],
        rests_on=rests_on(recommendation),
        reason=recommendation.reason,
        command=_command(recommendation),
        figures=_figures(recommendation),
        curves=[] if growth is None else [curve.max_loras for curve in growth.curves],
        chosen=None if settings is None else settings.max_loras,
        growth="" if growth is None else takes(growth, recommendation),
        charts=[] if growth is None else _charts(growth, recommendation, objective),
        memory=_memory(recommendation, profile),
        changes=recommendation.changes,
        rejected=listed(admission.rejected, SHOWN) if admission.rejected and settings is not None else "",
        principle=admission.principle,
        warnings=recommendation.warnings,
        binding=what_binds(recommendation),
        end=end(recommendation),
        end_expected=end_expected(recommendation),
        levers=[(lever.change, effect(lever, recommendation)) for lever in recommendation.levers],
        decisions=list(decisions(recommendation)),
        trace=[{"output": s.output, "rule": s.rule, "result": _number(s.result)} for s in recommendation.trace],
        **{name.lower(): getattr(charts, name) for name in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM")},
    )


def _command(recommendation: Recommendation) -> str:
    if not recommendation.args:
        return ""
    parts = [f"vllm serve {shlex.quote(recommendation.basis.model)}", *map(shlex.quote, recommendation.args)]
    return " \\\n    ".join(parts)


def _figures(recommendation: Recommendation) -> list[tuple[str, str]]:
    expected, admission = recommendation.expected, recommendation.admission
    if expected is None:
        return []
    return [
        ("admitted", f"{admission.adapters:,} of {admission.of:,} adapters"),
        ("traffic", f"{admission.request_rate:,.4g} requests/s, {admission.token_rate:,.0f} tokens/s"),
        ("state", "steady" if recommendation.steady else "not steady"),
        ("throughput", f"{expected.throughput_tok_s:,.0f} tokens/s"),
        *_itl(expected),
        ("TTFT", f"{expected.ttft_ms:,.0f} ms on average to the first token"),
        *((words(name), f"{expected.time_ms(name):,.0f} ms") for name in _limited_percentiles(recommendation)),
        ("KV cache", f"{expected.kv_capacity_tokens:,} tokens"),
    ]


def _itl(expected: Expectation) -> list[tuple[str, str]]:
    if expected.one_token:
        return []
    return [("ITL", f"{expected.itl_ms:,.1f} ms on average from one token of an answer to the next")]


def _limited_percentiles(recommendation: Recommendation) -> list[str]:
    objective = recommendation.objective
    return [] if objective is None else [name for name, limit in objective.limits.items() if not limit.is_mean]


def _charts(growth: Growth, recommendation: Recommendation, objective: Objective) -> list[charts.Chart]:
    served = float(recommendation.admission.asked)
    limits_ms = {name: 1e3 * limit.seconds for name, limit in objective.limits.items()}

    def lines(name: str) -> list[Points]:
        return [
            (str(curve.max_loras), [(float(point.adapters), float(getattr(point, name))) for point in curve.points])
            for curve in growth.curves
        ]

    def note(limit_ms: float | None) -> str:
        return "green: what is served" if limit_ms is None else "dashed: the limit; green: what is served"

    longest = max(growth.curves, key=lambda curve: len(curve.points)).points if growth.curves else ()
    offered = [(float(point.adapters), point.offered_tok_s) for point in longest]
    throughput: list[Points] = [("offered", offered), *lines("throughput_tok_s")]
    ttft_ms, itl_ms = limits_ms.get(growth.ttft), limits_ms.get(growth.itl)
    one_token = recommendation.expected is not None and recommendation.expected.one_token
    itl = charts.chart(words(growth.itl), "ms", lines("itl_ms"), note(itl_ms), mark=served, limit=itl_ms)
    return [
        charts.chart(
            "Throughput", "tokens/s", throughput, "dashed: what is offered; green: what is served", mark=served
        ),
        charts.chart(
            words(growth.ttft), "ms", lines("ttft_ms"), note(ttft_ms), mark=served, limit=ttft_ms, logarithmic=True
        ),
        *([] if one_token else [itl]),
    ]


def _memory(recommendation: Recommendation, profile: Profile) -> list[Mapping[str, Any]]:
    """What the GPU's memory holds, in percent of it; tokens of KV cache are what a Profile counts it in."""
    settings = recommendation.settings
    if settings is None:
        return []
    memory, whole = profile.memory, profile.memory.kv_tokens_per_utilization
    if not whole:
        return []
    kv = memory.kv_capacity_tokens(settings.max_loras, settings.max_lora_rank, settings.gpu_memory_utilization)
    without = memory.kv_capacity_tokens(0, settings.max_lora_rank, settings.gpu_memory_utilization)
    parts = [
        ("weights", "weights and activations", settings.gpu_memory_utilization - without / whole, ""),
        ("slots", f"{settings.max_loras:,} adapter slots", (without - kv) / whole, f"rank {settings.max_lora_rank}"),
        ("kv", "KV cache", kv / whole, f"{kv:,} tokens"),
        ("free", "left free", 1 - settings.gpu_memory_utilization, ""),
    ]
    return [
        {"kind": kind, "name": name, "percent": round(100 * share, 1), "note": note}
        for kind, name, share, note in parts
    ]


def _number(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
