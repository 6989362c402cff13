"""More adapters, or more traffic, than one GPU serves whatever its settings.

The admission limit is what one GPU serves of the inventory's mix while it stays steady. Beyond it the queue grows all
hour with any number of slots.

Serve the admitted adapters here (`advisor recommend` names them) and the others from another GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.names import counted, listed

RULE = Rule("AD202", "beyond-the-limit", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the inventory with the admission limit."""
    target = server.comparable
    if target is None or server.lora is not True or server.deployment.partial:
        return
    advice = target.recommendation
    if not advice.feasible:
        yield RULE.finding(server, f"no settings serve this inventory: {advice.reason}", server.place("max_loras"))
    elif rejected := advice.admission.rejected:
        admission, mix, unit = advice.admission, target.inventory.mix, target.pair.basis.unit
        offered, beside = mix.offered_tok_s - mix.base_tok_s, " beside requests that name none" if mix.base else ""
        yield RULE.finding(
            server,
            f"{admission.of:,} adapters with {offered:,.0f} tokens/s{beside} are more than one {unit} serves: "
            f"{admission.adapters:,} of this mix, {admission.token_rate:,.0f} tokens/s",
            server.place("max_loras"),
            why=f"beyond the admission limit the queue grows with any settings{target.counted}",
            fix=Fix(f"serve {counted(len(rejected), 'adapter')} elsewhere: {listed(rejected)}"),
        )
