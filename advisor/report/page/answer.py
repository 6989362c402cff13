"""The page of a recommendation."""

from __future__ import annotations

from advisor.names import SHOWN as TOLD
from advisor.names import listed
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.what_if.growth import Growth
from advisor.report.page import chart as charts
from advisor.report.page.memory import memory_parts
from advisor.report.page.page import render
from advisor.report.prose import answer
from advisor.report.prose.outlook import end, takes, what_binds
from advisor.report.prose.trace import decisions
from twin.profile import Profile
from twin.service_level import words

Points = tuple[str, list[tuple[float, float]]]
"""A named line."""
SHOWN = 40
"""Names of adapters that are not admitted, before the rest is only counted."""


def write(recommendation: Recommendation, growth: Growth | None, profile: Profile, objective: Objective) -> str:
    """The page, whole by itself."""
    rejected, settings = recommendation.admission.rejected, recommendation.settings
    headline, *resting_on = answer.headline(recommendation).split("\n")
    return render(
        "answer.html.j2",
        gpus=recommendation.basis.gpus,
        headline=headline,
        resting_on=resting_on,
        command=answer.command(recommendation),
        sections=[
            ("Admission", list(answer.admission(recommendation))),
            ("Nobody measured this pair", list(answer.derived(recommendation))),
            what_binds(recommendation),
        ],
        levers=list(answer.levers(recommendation)),
        expected=[
            (answer.expectation(recommendation), list(answer.expected(recommendation))),
            answer.verified(recommendation),
        ],
        curves=[] if growth is None else [curve.max_loras for curve in growth.curves],
        chosen=None if settings is None else settings.max_loras,
        growth="" if growth is None else takes(growth, recommendation),
        charts=[] if growth is None else _charts(growth, recommendation, objective),
        memory=[] if settings is None else memory_parts(settings, profile),
        changes=list(answer.changes(recommendation)),
        further=list(answer.further(recommendation)),
        rejected=listed(rejected, SHOWN) if len(rejected) > TOLD and settings is not None else "",
        warnings=recommendation.warnings,
        end=end(recommendation),
        decisions=list(decisions(recommendation)),
        trace=[{"output": s.output, "rule": s.rule, "result": _number(s.result)} for s in recommendation.trace],
        **{name.lower(): getattr(charts, name) for name in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM")},
    )


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


def _number(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
