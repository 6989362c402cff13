"""What of the traffic no feature tells the models of, and how an answer takes it."""

from __future__ import annotations

from advisor.names import counted, few
from advisor.zoo.pair import Pair
from twin.arrivals import mean_scale
from twin.workload import Workload

FEW_TOKENS = 4.0
"""Of an answer: fewer than the models were trained on, as where a classifier's single token is all that is wanted."""
EVEN = 1.05
"""Times the mean, what is no more than that when it is told with a decimal."""


def _lognormal(mix: Workload) -> dict[str, str]:
    """What log-normal gaps count as, and whose they are."""
    found, base = {}, None if mix.base is None else mix.base.lognormal_gaps
    if mix.lognormal_gaps is not None and (count := int(mix.lognormal_gaps.sum())):
        found["that leave as many adapters in flight"] = counted(count, "adapter")
    if base is not None and base.any():
        found["of the same spread"] = "requests that name no adapter"
    return found


def unlearned(workload: Workload, pair: Pair) -> list[str]:
    """A warning for each trait of the traffic that no feature tells the models of."""
    warnings, busiest = [], workload.busiest()
    if whose := _lognormal(busiest):
        warnings.append(
            f"gaps are log-normal for {' and '.join(whose.values())}, which the models were not trained on: they count "
            f"as Gamma gaps {' or '.join(whose)}"
        )
    if workload.shared_prefix is not None and "prefix_share" not in pair.models.manifest.range:
        warnings.append(
            "prompts begin alike (shared_prefix), which the models were not trained on: what requests share counts in "
            "the estimates that the models start from; a verification by the digital twin finds what is there"
        )
    if workload.base is not None and "base_share" not in pair.models.manifest.range:
        warnings.append(
            f"the models were not trained on requests that name no adapter, here {workload.base_tok_s:,.0f} of "
            f"{workload.offered_tok_s:,.0f} tokens/s: they count in the estimates that the models start from; let the "
            "digital twin verify"
        )
    output_mean = workload.traffic.output_mean[workload.traffic.rate > 0]
    if len(output_mean) and output_mean.max() < FEW_TOKENS:
        most = f"{output_mean.max():.3g} token{'' if output_mean.max() == 1 else 's'}"
        warnings.append(
            f"answers have {most} at most on average: prompts are nearly all the work, which the models saw little of, "
            "and what they say of tokens that follow tells next to nothing; let the digital twin verify"
        )
    if workload.switches:
        times = float(busiest.rate.sum() / max(workload.rate.sum() * mean_scale(workload.phases), 1e-300))
        brings = f"{few(times)} times the mean" if times > EVEN else "no more than the mean"
        warnings.append(
            f"rates or gaps switch over time: this is for the busiest minute, which brings {brings}, and so are the "
            "times and the throughput; a verification by the digital twin serves the phases of the busiest hour"
        )
    return warnings
