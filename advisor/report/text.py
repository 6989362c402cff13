"""Text: for the operator at a terminal; what to paste, what binds, what would help, what to expect, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from advisor.recommend.answer.recommendation import Recommendation
from advisor.report.lines import NARROWEST, WIDTH, row, titled, wrapped
from advisor.report.prose import answer
from advisor.report.prose.outlook import end, what_binds
from advisor.report.prose.trace import decisions


def write(recommendation: Recommendation, *, width: int = WIDTH, full_trace: bool = False) -> str:
    """The answer as lines for a terminal, without colours, wrapped at so many columns.

    With the `full_trace` as rules have it, in place of sentences.
    """
    width, which = max(width, NARROWEST), end(recommendation)

    def rows(title: str, said: Iterable[answer.Row]) -> str:
        return titled(title, [row(*each) for each in said], width)

    def items(title: str, said: Iterable[str]) -> str:
        return titled(title, [f"- {each}" for each in said], width, hang=2)

    changes = [f"{name:<25}{today} -> {then}" for name, today, then in answer.changes(recommendation)]
    why = _full(recommendation) if full_trace else _why(recommendation)
    blocks = [
        "\n".join(wrapped(line, width) for line in answer.headline(recommendation).split("\n")),
        answer.command(recommendation),
        rows("Admission", answer.admission(recommendation)),
        rows("Nobody measured this pair", answer.derived(recommendation)),
        rows(*what_binds(recommendation)),
        items(f"What would help{which}", answer.levers(recommendation)),
        rows(answer.expectation(recommendation), answer.expected(recommendation)),
        rows(*answer.verified(recommendation)),
        titled("Changes to the settings in [server]", changes, width),
        items(f"Further flags{which}", answer.further(recommendation)),
        items("Warnings", recommendation.warnings),
        titled(f"Why{which}", why, width, hang=2),
    ]
    return "\n\n".join(block for block in blocks if block)


def _why(recommendation: Recommendation) -> Iterator[str]:
    for decision in decisions(recommendation):
        yield f"{decision.sentence}."
        yield from (f"  - {reason}" for reason in decision.because)


def _full(recommendation: Recommendation) -> Iterator[str]:
    for step in recommendation.trace:
        yield f"{step.output} = " + (f"{step.result:,.1f}" if isinstance(step.result, float) else f"{step.result:,}")
        for i, reason in enumerate(step.rule):
            yield f"    {'because' if i == 0 else '    and'} {reason}"
