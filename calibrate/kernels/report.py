"""What a fit to timed kernels found, in tables."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from advisor.derive.lora import CURRENT_MODEL
from calibrate.kernels.constants import Constants
from calibrate.kernels.fit import Residual


def term_table(found: Constants) -> Table:
    """LoRA's terms of a step with their intervals."""
    table = Table(title="LoRA's terms of a step", title_justify="left")
    table.add_column(f"ms, {CURRENT_MODEL.rpartition('/')[2]} on {found.gpu}, vLLM {found.vllm}")
    for name in ("middle", "lowest", "highest"):
        table.add_column(name, justify="right")
    for name, values in found.terms_ms.items():
        table.add_row(name, *(f"{value:.4g}" for value in values))
    return table


def residual_table(found: Iterable[Residual]) -> Table:
    """How far the terms are off, part by part: where the form of a step is not that of the kernels."""
    table = Table(title="terms beside what was timed", title_justify="left")
    table.add_column("part")
    for name in ("layers", "off, mean", "19 of 20 below", "bias"):
        table.add_column(name, justify="right")
    for each in found:
        off = (f"{100 * each.mean:.1f} %", f"{100 * each.p95:.1f} %", f"{100 * each.bias:+.1f} %")
        table.add_row(each.what, str(len(each.errors)), *off)
    return table
