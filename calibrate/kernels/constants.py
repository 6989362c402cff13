"""LoRA's terms with their intervals, as `advisor/derive/lora.py` has those of current versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tomli_w

from advisor.derive.gpus import gpu as gpus
from advisor.derive.lora import CURRENT_MODEL
from calibrate.fit.regression import significant
from calibrate.kernels.fit import ENDS, Layer, Terms, Timed, residuals

Interval = tuple[float, float, float]
"""Middle, lowest, highest."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What the timed layers say."""

    source: str
    gpu: str
    """The catalogue's name."""
    vllm: str
    terms_ms: Mapping[str, Interval]
    """Of a step of Llama-3.1-8B on this GPU."""
    residual_percent: Mapping[str, float]

    def python(self) -> str:
        """The terms as `advisor/derive/lora.py` has them."""
        rows = "".join(f'    "{name}": {_tuple(values)},\n' for name, values in self.terms_ms.items())
        return f'CURRENT_MS: Mapping[str, tuple[float, float, float]] = {{\n{rows}}}\n"""{self.source}"""'

    def to_toml(self) -> str:
        """All of it as a file."""
        return tomli_w.dumps(
            {
                "source": self.source,
                "model": CURRENT_MODEL,
                "gpu": self.gpu,
                "vllm": self.vllm,
                "step": {name: list(values) for name, values in self.terms_ms.items()},
                "residual_percent": dict(self.residual_percent),
            }
        )


def constants(first: Timed, found: Sequence[Layer], terms: Terms, gpu: str) -> Constants:
    """What fitted terms mean for derived Profiles.

    `first` is any of the timed cases, for what card and versions they are of; `gpu` is any name of the card.

    Raises:
        InputError: the catalogue has no such GPU.
    """
    off = {each.what: significant(100 * each.mean) for each in residuals(found, terms)}
    return Constants(
        source=(
            f"LoRA's kernels of vLLM {first.vllm} alone, {len(found)} layers on {first.gpu}, torch {first.torch}: "
            f"{off['all layers']:.1f} % off in the mean (`python -m calibrate fit-kernels`)"
        ),
        gpu=gpus.short_name(gpu),
        vllm=first.vllm,
        terms_ms={name: _interval(value, [each[name] for each in terms.resampled]) for name, value in terms.ms.items()},
        residual_percent=off,
    )


def _interval(middle: float, others: Sequence[float]) -> Interval:
    low, high = np.percentile(others, ENDS)
    return significant(middle), significant(min(low, middle)), significant(max(high, middle))


def _tuple(values: Interval) -> str:
    return f"({', '.join(f'{value:.3g}' for value in values)})"
